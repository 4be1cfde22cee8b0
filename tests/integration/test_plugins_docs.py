"""What the page about plugins shows is so."""

import re
from pathlib import Path

import orjson
import pytest

import worker.plugins
from schemas.dispatch import Dispatch
from schemas.payment import Payment
from tests.support.payments import NOW, payment
from tests.support.plugins import EXAMPLE, AnyPlugin
from worker.plugins.calls import MOST_OVERSTAYING
from worker.plugins.offers import METHODS
from worker.plugins.registry import GROUPS
from worker.plugins.threads import AT_ONCE
from worker.rules_file import load_rules

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_rules_shown_load(tmp_path: Path, number: int) -> None:
    """Each piece of rules is sound where its plugins are there."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        f"version: 1\nprocessors: {{borealis: {{}}}}\ndefault: {{to: borealis}}\n{SNIPPETS[number]}"
    )
    assert load_rules([path], catalogue=AnyPlugin())


def test_the_plugin_shown_is_the_examples_own() -> None:
    """The code on the page runs, and says what the example's says."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, type] = {}
    exec(compile(code, "plugins.md", "exec"), names)  # noqa: S102 - our own page
    made = names["OddHours"](names["OddHoursArguments"](ends=4))
    night = Payment.model_validate(payment(created_at="2026-11-24T05:30:00+02:00"))
    assert made.holds(night, NOW)
    assert not made.holds(Payment.model_validate(payment()), NOW)


def test_names_and_figures_on_the_page() -> None:
    """Groups, methods, bounds and the author's names are those of the code."""
    for word in (*GROUPS.values(), *METHODS.values(), *worker.plugins.__all__):
        if not word.endswith("_SECONDS"):
            assert word in PAGE, word
    assert f"{MOST_OVERSTAYING} calls of one plugin hang" in PAGE
    assert AT_ONCE == 4
    assert worker.plugins.DEFAULT_DEADLINE_SECONDS == 1
    assert f"{worker.plugins.MAX_DEADLINE_SECONDS:g} at most" in PAGE
    ready = (worker.plugins.DEFAULT_READY_SECONDS, worker.plugins.MAX_READY_SECONDS)
    assert "**`ready_seconds`**, {:g} by default, {:g} at most".format(*ready) in PAGE


def test_the_example_names_what_it_offers() -> None:
    """Its entry points stand in the groups that the worker reads."""
    text = (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    assert set(re.findall(r'entry-points\."(.*?)"', text)) == set(GROUPS.values())


def test_the_members_shown_for_a_dispatch_are_its_members() -> None:
    """The page about messages shows accounts, settlement, expiry and enrichment as the schema has them."""
    page = (DOCS / "messages.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```json\n(\{\n  \"expires_at\".*?)```", page, re.DOTALL)
    base = {
        **payment(value="12.34"),
        "dispatch_id": "0" * 32,
        "processor": "aurora",
        "attempt": 1,
        "rule": "cards",
        "rules_version": "v1",
        "gross": {"value": "12.34", "currency": "EUR"},
        "fees": [],
        "net": {"value": "12.34", "currency": "EUR"},
    }
    sent = Dispatch.model_validate_json(orjson.dumps({**base, **orjson.loads(shown)}))
    assert sent.settlement is not None
    assert sent.settlement.remainder == "0.002476"
