"""Plugins on a real broker: misbehaviour costs its own payments only, and the example package works."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import payment
from tests.support.plugins import (
    EXAMPLE,
    EXAMPLE_NAMES,
    MISBEHAVING,
    MISBEHAVING_NAMES,
    MISBEHAVING_OFFERS,
    install_example,
    write_distribution,
)
from tests.support.stage import Received, Stage, eventually
from worker.plugins.registry import Registry
from worker.reload import RulesWatch
from worker.rules_file import load
from worker.session import Worker, prepare_topology

RULES = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha"}}
  beta: {{exchange: "{prefix}.proc.beta"}}
fees:
  taxed: {{plugin: {{tax: {{}}}}}}
steps:
  - {{name: look, when: {{type: stepped}}, plugin: {{by_customer: {{}}}}}}
  - {{name: wait, when: {{type: awaited}}, plugin: {{by_customer_async: {{}}}}}}
rules:
  - {{name: vips, when: {{type: asked, plugin: {{vip: {{}}}}}}, route: {{to: beta}}}}
  - {{name: taxed, when: {{type: taxed}}, route: {{to: alpha, fees: taxed}}}}
  - {{name: others, when: {{}}, route: {{to: alpha}}}}
default: {{hold: nothing comes here}}
"""
NEIGHBOURS = 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path with the misbehaving plugins and, installed by pip, the example package."""
    folder = tmp_path_factory.mktemp("site")
    write_distribution(folder, "misbehaving_plugins", MISBEHAVING, MISBEHAVING_OFFERS)
    install_example(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


async def use_rules(stage: Stage, text: str, *names: str) -> Registry:
    """Put other rules on the stage, with the plugins of these names allowed."""
    registry = Registry.of(names)
    stage.rules.write_text(text)
    stage.table = load([stage.rules], catalogue=registry).table
    await prepare_topology(stage.settings, stage.table)
    return registry


def by(customer: str, kind: str, number: int = 0) -> bytes:
    return payment(f"{kind}-{customer}-{number}", type=kind, customer_id=customer)


@asynccontextmanager
async def misbehaving(stage: Stage) -> AsyncIterator[Worker]:
    await use_rules(stage, RULES.format(prefix=stage.prefix), *MISBEHAVING_NAMES)
    async with stage.working(prefetch=200) as worker:
        yield worker


def ids(received: list[Received]) -> list[str]:
    return sorted(one.json["payment_id"] for one in received)


@pytest.mark.parametrize(
    ("customer", "kind", "code"),
    [
        ("raises", "stepped", "retries_exhausted"),
        ("exits", "stepped", "retries_exhausted"),
        ("hangs", "stepped", "retries_exhausted"),
        ("retries", "stepped", "retries_exhausted"),
        ("nonsense", "stepped", "plugin_failed"),
        ("rejects", "stepped", "not_wanted"),
        ("hangs", "awaited", "retries_exhausted"),
        ("blocks", "awaited", "retries_exhausted"),
        ("ignores", "awaited", "retries_exhausted"),
        ("cancels", "awaited", "retries_exhausted"),
        ("nonsense", "awaited", "plugin_failed"),
        ("raises", "asked", "retries_exhausted"),
        ("hangs", "asked", "retries_exhausted"),
        ("nonsense", "asked", "plugin_failed"),
        ("negative", "taxed", "plugin_failed"),
        ("fraction", "taxed", "plugin_failed"),
        ("much", "taxed", "fee_exceeds_amount"),
    ],
)
async def test_misbehaviour_costs_its_own_payments_only(
    stage: Stage, site: Path, customer: str, kind: str, code: str
) -> None:
    """Every neighbour is dispatched, of this plugin too, while the bad ones end dead with their reason."""
    bad = [by(customer, kind, number) for number in range(3)]
    good = [by("good", kind, number) for number in range(3)]
    plain = [by("good", "card", number) for number in range(NEIGHBOURS)]
    async with misbehaving(stage):
        for number, message in enumerate(plain):
            await stage.publish(message)
            if number % 10 == 0 and number < 30:
                await stage.publish(bad[number // 10])
                await stage.publish(good[number // 10])
        dispatched = await stage.dispatched("alpha", len(plain) + len(good))
        dead = await stage.dead(len(bad))
    expected = [json.loads(message)["payment_id"] for message in (*plain, *good)]
    assert ids(dispatched) == sorted(expected)
    assert sorted(one.body for one in dead) == sorted(bad)
    assert {one.letter.error_code for one in dead} == {code}
    if code == "retries_exhausted":
        assert {attempt.code for one in dead for attempt in one.attempts} == {"step_unavailable"}
    if code == "plugin_failed":
        assert all(" answered " in one.letter.error_message for one in dead)
    assert await stage.leftovers() == {}


async def test_a_flood_of_hanging_payments_stops_nobody(stage: Stage, site: Path) -> None:
    """More of them than a worker may hold at once: the others come through, and the flood ends dead."""
    bad = [by("hangs", "stepped", number) for number in range(30)]
    plain = [by("good", "card", number) for number in range(NEIGHBOURS)]
    await use_rules(stage, RULES.format(prefix=stage.prefix), *MISBEHAVING_NAMES)
    for message in (*bad, *plain):
        await stage.publish(message)
    async with stage.working(prefetch=20):
        dispatched = await stage.dispatched("alpha", len(plain))
        dead = await stage.take(stage.names.dead, len(bad), within_seconds=30)
    assert ids(dispatched) == sorted(json.loads(message)["payment_id"] for message in plain)
    assert sorted(one.body for one in dead) == sorted(bad)
    assert await stage.leftovers() == {}


async def test_a_plugin_that_comes_back_is_forgiven(stage: Stage, site: Path) -> None:
    """The first failure costs a try, not the payment."""
    async with misbehaving(stage):
        await stage.publish(by("once", "stepped"))
        (sent,) = await stage.dispatched()
    assert sent.json["enrichment"] == {"look.seen": True}
    assert await stage.leftovers() == {}


async def test_a_stop_does_not_wait_for_what_hangs(stage: Stage, site: Path) -> None:
    """Payments in a plugin's hands have their deadline; the drain ends with it."""
    async with misbehaving(stage) as worker:
        for number in range(6):
            await stage.publish(by("hangs", "stepped", number))
        await eventually(_taken(stage), "the payments are taken")
        started = time.monotonic()
        worker.stop.set()
    assert time.monotonic() - started < 2.0
    assert sum((await stage.leftovers()).values() or [0]) == 6  # type: ignore[arg-type]


def _taken(stage: Stage) -> Any:
    async def taken() -> bool:
        return await stage.depth(stage.names.incoming) == 0

    return taken


async def test_predicates_route(stage: Stage, site: Path) -> None:
    """Who the plugin says yes to goes by its rule."""
    async with misbehaving(stage):
        await stage.publish(by("vip", "asked"))
        await stage.publish(by("good", "asked"))
        (vip,), (other,) = await stage.dispatched("beta"), await stage.dispatched("alpha")
    assert (vip.json["rule"], other.json["rule"]) == ("vips", "others")


# --- the example package ------------------------------------------------------------------------------------


@pytest.fixture
def example_rules(stage: Stage, tmp_path: Path) -> str:
    """The example's rules, with this test's exchanges and files."""
    (tmp_path / "blocked.txt").write_text("player-9\n")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    (tmp_path / "rates.txt").write_text(f"EUR USD 1.0812 {now}\n")
    text = (EXAMPLE / "rules.yaml").read_text()
    for file in ("blocked.txt", "rates.txt"):
        text = text.replace(file, f'"{tmp_path / file}"')
    text = text.replace("aurora: {", f'aurora: {{exchange: "{stage.exchange_of("alpha")}", ')
    return text.replace("borealis: {", f'borealis: {{exchange: "{stage.exchange_of("beta")}"')


def card(number: int, customer: str, hour: int = 12, **more: Any) -> bytes:
    created = f"2026-11-24T{hour:02}:00:00Z"
    return payment(f"pay-{number}", type="card", customer_id=customer, created_at=created, **more)


async def test_the_example_package(stage: Stage, site: Path, example_rules: str) -> None:
    """Installed by pip and allowed by name, each of its plugins has its say."""
    await use_rules(stage, example_rules, *EXAMPLE_NAMES)
    async with stage.working():
        await stage.publish(card(1, "player-2", metadata={"level": 3}, value="100.00"))
        await stage.publish(card(2, "player-9"))
        await stage.publish(card(3, "player-2", hour=3, value="100.00"))
        (day,), (night,), (blocked,) = (
            await stage.dispatched("alpha"),
            await stage.dispatched("beta"),
            await stage.dead(),
        )
    assert blocked.letter.error_code == "customer_blocked"
    assert (day.json["rule"], night.json["rule"]) == ("cards", "night-cards")
    assert day.json["enrichment"] == night.json["enrichment"] == {"risk.score": 9}
    assert day.json["fees"] == [{"name": "service", "amount": {"value": "2.20", "currency": "EUR"}}]
    assert night.json["fees"][0]["amount"]["value"] == "2.50"
    settled = day.json["settlement"]
    assert (settled["amount"], settled["rate"]) == ({"value": "105.74", "currency": "USD"}, "1.0812")
    assert (settled["source"], settled["remainder"]) == ("treasury", "0.00136")
    assert "settlement" not in night.json


async def test_rules_with_plugins_are_reloaded(stage: Stage, site: Path, example_rules: str) -> None:
    """A change of arguments is in force after a reload; a wrong one is refused and the old rules stay."""
    registry = await use_rules(stage, example_rules, *EXAMPLE_NAMES)
    async with stage.working() as worker:
        watch = RulesWatch(
            paths=[stage.rules],
            overlays=(),
            loaded=load([stage.rules], catalogue=registry),
            apply=worker.use,
            catalogue=registry,
        )
        await stage.publish(card(1, "player-2", value="100.00"))
        (before,) = await stage.dispatched()
        stage.rules.write_text(example_rules.replace("basis_points: 250", "basis_points: 100"))
        assert await watch._reload()
        await stage.publish(card(2, "player-2", value="100.00"))
        (after,) = await stage.dispatched()
        stage.rules.write_text(example_rules.replace("basis_points: 250", "basis_points: many"))
        await watch._reload()
        await stage.publish(card(3, "player-2", value="100.00"))
        (still,) = await stage.dispatched()
    assert [one.json["fees"][0]["amount"]["value"] for one in (before, after, still)] == [
        "2.50",
        "1.00",
        "1.00",
    ]
    assert before.json["rules_version"] != after.json["rules_version"] == still.json["rules_version"]
    assert watch.results == {"done": 1, "invalid_rules": 1}


async def test_a_missing_rate_waits_for_one(
    stage: Stage, site: Path, example_rules: str, tmp_path: Path
) -> None:
    """The payment goes through the delay queues by that name until somebody loads the rate."""
    rates = tmp_path / "rates.txt"
    table = rates.read_text()
    rates.write_text("")
    await use_rules(stage, example_rules, *EXAMPLE_NAMES)
    async with stage.working():
        await stage.publish(card(1, "player-2"))
        await eventually(_waits(stage), "the payment in a delay queue")
        rates.write_text(table)
        (sent,) = await stage.dispatched()
    assert sent.headers["payment-attempt"] > 1
    assert sent.json["settlement"]["rate"] == "1.0812"


def _waits(stage: Stage) -> Any:
    async def waits() -> bool:
        found = [await stage.depth(f"{stage.prefix}.delay.{step}") for step in ("200ms", "300ms")]
        return any(found)

    return waits


async def test_priority_reaches_the_processors_queue(stage: Stage) -> None:
    """It is the AMQP property, which a priority queue obeys."""
    text = stage.rules.read_text().replace("{to: alpha, fees: standard}", "{to: alpha, priority: 7}")
    await use_rules(stage, text)
    async with stage.working():
        await stage.publish(by("good", "card"))
        (sent,) = await stage.dispatched()
    assert sent.properties.priority == 7
