"""The comparison report in a real browser: drawn, sortable, self-contained."""

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from schemas.payment import Payment
from schemas.rules import RuleDocument
from worker.routing import compile_rules
from worker.routing.compare import Comparison
from worker.routing.report import html_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


def table(*targets: str):
    cost = {"components": [{"name": "c", "percent": "1", "fixed": {"EUR": "0.10", "USD": "0.20"}}]}
    document = {
        "version": 1,
        "processors": {
            "alpha": {"cost": cost},
            "beta": {},
            "gamma": {"cost": {"components": [{"name": "c", "percent": "2"}]}},
        },
        "rules": [
            {"name": f"rule-{i}", "when": {"metadata.group": i}, "route": {"to": name}}
            for i, name in enumerate(targets)
        ],
        "default": {"reject": {"code": "none"}},
    }
    return compile_rules(RuleDocument.model_validate(document), "v")


@pytest.fixture(scope="module")
def page() -> str:
    """A report of thirty payments in two currencies, some of which move."""
    comparison = Comparison(table("alpha", "alpha", "beta"), table("gamma", "beta"), NOW)
    comparison.add_all(
        Payment.model_validate(
            {
                "payment_id": f"pay-{i}",
                "type": "card",
                "amount": {"value": f"{i + 1}.00", "currency": "EUR" if i % 3 else "USD"},
                "merchant_id": "m",
                "created_at": "2026-01-07T12:00:00Z",
                "metadata": {"group": i % 4},
            }
        )
        for i in range(30)
    )
    return html_report(comparison, "old & <new>", "new", "traffic.ndjson")


class Outside(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.fetched += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href") and value
        ]


def test_the_page_fetches_nothing(page):
    """No script, style, font or image comes from elsewhere."""
    parser = Outside()
    parser.feed(page)
    assert parser.fetched == []
    assert "@import" not in page
    assert "url(" not in page


def test_names_are_escaped(page):
    """What people call their files cannot become markup."""
    assert "old &amp; &lt;new&gt;" in page
    assert "<new>" not in page


def test_nothing_moves():
    """Equal rules make a page that says so, without tables."""
    same = table("alpha")
    text = html_report(Comparison(same, same, NOW), "a", "b", "c")
    assert "<h1>Nothing moves</h1>" in text
    assert "<table" not in text


def dom(page: str, script: str, tmp_path: Path) -> str:
    """Return the page's document after a script ran at its end, from a headless browser."""
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
            "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_tables_sort_and_filter_in_a_browser(page, tmp_path):
    """A click on a heading sorts by numbers, a second click turns round, and the filter hides rows."""
    script = """
      const rows=()=>[...document.querySelectorAll("#moves tbody tr")].filter(row=>!row.hidden);
      const column=i=>rows().map(row=>Number(row.cells[i].dataset.sort));
      const head=document.querySelectorAll("#moves th button")[3];
      const found={};
      head.click();found.down=column(3);head.click();found.up=column(3);
      found.all=rows().length;
      const filter=document.getElementById("filter");
      filter.value="gamma";filter.dispatchEvent(new Event("input"));found.gamma=rows().length;
      found.bands=[...document.querySelectorAll("svg .band")].map(band=>band.getBBox().height>0);
      document.title=JSON.stringify(found);
    """
    text = dom(page, script, tmp_path)
    title = re.search(r"<title>(.*?)</title>", text)
    assert title, text[:500]
    found = json.loads(title[1].replace("&quot;", '"'))
    assert found["down"] == sorted(found["down"], reverse=True)
    assert found["up"] == sorted(found["up"])
    assert found["down"] != found["up"]
    assert 0 < found["gamma"] < found["all"]
    assert found["bands"]
    assert all(found["bands"])


def test_the_command_writes_it(tmp_path):
    """``rules diff --html`` writes the page and still says what moves."""
    rules = Path(__file__).parents[2] / "routing_rules"
    traffic = tmp_path / "t.ndjson"
    traffic.write_text("")
    target = tmp_path / "report.html"
    command = [sys.executable, "-m", "worker", "rules", "diff", rules, rules]
    done = subprocess.run(
        [*command, "--payments", traffic, "--html", target],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Nothing moves" in target.read_text()
