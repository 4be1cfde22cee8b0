"""A ledger that is kept from events alone balances after faults, and says what audit and processors say."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing, suppress
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.faults.conftest import JOURNALS, Scale
from tests.support.bench import Bench, open_bench
from tests.support.journals import load_ledger
from tests.support.load import BROKEN, RULES_HEAD, Sent, channel_to
from tests.support.stage import eventually
from worker.bookkeeping.audit import Audit, Place, audit
from worker.journal.address import Postgresql, SqliteFile
from worker.journal.opening import open_books
from worker.journal.postgresql.upkeep import PostgresqlUpkeep
from worker.journal.sqlite.upkeep import SqliteUpkeep
from worker.journal.upkeep import Upkeep
from worker.local_broker import LocalBroker

RULES = (
    RULES_HEAD
    + """\
fees:
  standard:
    components:
      - {{name: processing, percent: "2.9"}}
      - {{name: platform, percent: "1.25"}}
    when_fee_exceeds: clamp
  carried: {{rounding: carry, components: [{{name: micro, percent: "1.37"}}]}}
rules:
  - name: cards
    when: {{type: card}}
    route:
      to: alpha
      fees: standard
      accounts: [{{account: seller, rest: true}}, {{account: reserve, percent: "5"}}]
  - name: wallets
    when: {{type: wallet}}
    route: {{to: alpha, fallback: [beta], fees: carried}}
  - name: vouchers
    when: {{type: voucher}}
    route: {{to: gamma}}
default:
  reject: {{code: no_route, reason: no rule covers this payment}}
"""
)
CURRENCIES = ("EUR", "JPY", "KWD")
SOME = 5
Amounts = dict[tuple[str, str], int]
"""By account and currency, in 1/10**12 of a unit."""


@pytest.fixture
async def bench(
    broker: LocalBroker,
    prefix: str,
    tmp_path: Path,
    workers: ForkServerContext,
    chance: random.Random,
    journal: str,
) -> AsyncIterator[Bench]:
    """A bench with fees of several names, carried ones, divided nets, and events."""
    async with open_bench(
        broker.url, prefix, tmp_path, workers, chance, rules=RULES, journal=journal, events="on"
    ) as opened:
        yield opened


@asynccontextmanager
async def following(bench: Bench, ledger: ModuleType, books: sqlite3.Connection) -> AsyncIterator[None]:
    """Let the ledger of the documents follow the events for the block; its queue goes at the end."""
    queue = f"{bench.settings.prefix}.example-ledger"
    follower = asyncio.create_task(ledger.follow(bench.url, bench.settings.prefix, books))
    try:
        async with channel_to(bench.url) as channel:

            async def bound() -> bool:
                try:
                    async with channel_to(bench.url) as other:
                        found = await other.queue_declare(queue, passive=True)
                except BROKEN:
                    return False
                return bool(found.consumer_count)

            await eventually(bound, "the ledger's queue")
            yield
            follower.cancel()
            await asyncio.wait([follower])
            await channel.queue_delete(queue)
    finally:
        follower.cancel()


async def give_back(bench: Bench, returned: set[str], over: asyncio.Event) -> None:
    """Be alpha's connector now and then: it refuses whatever lies in its inbox just then."""
    async with channel_to(bench.url) as channel:
        inbox = bench.ledger.inbox_of("alpha")
        while not over.is_set():
            for _ in range(bench.chance.randrange(1, 5)):
                message = await channel.basic_get(inbox)
                if message.delivery_tag is None:
                    break
                returned.add(json.loads(message.body)["dispatch_id"])
                await channel.basic_reject(message.delivery_tag, requeue=False)
            await asyncio.sleep(bench.chance.uniform(0.05, 0.3))


def several_currencies(payments: Collection[Sent], chance: random.Random) -> None:
    """Let payments be in currencies of two, none and three decimals; bad ones stay as they are."""
    for one in payments:
        if one.code is None:
            document = json.loads(one.body)
            document["amount"]["currency"] = chance.choice(CURRENCIES)
            one.body = json.dumps(document).encode()


def other_than(one: Sent) -> Sent:
    """Another payment of the same id."""
    document = json.loads(one.body)
    document["amount"]["value"] = "7"
    return Sent(f"another {one.payment_id}", json.dumps(document).encode(), one.routing_key, code="?")


def upkeep_of(bench: Bench) -> Upkeep:
    match bench.settings.journal_address:
        case SqliteFile(path):
            return SqliteUpkeep(Path(path))
        case Postgresql(url):
            return PostgresqlUpkeep(url)
    raise AssertionError("no journal")


def audited(bench: Bench) -> Audit:
    with closing(open_books(bench.settings.journal_address, "the journal")) as books:
        return audit(books)


def received(bench: Bench, returned: Collection[str], units: Any) -> Amounts:
    """What a ledger kept from the processors' queues would have: each dispatch once, unless it went back."""
    amounts: Counter[tuple[str, str]] = Counter()
    seen = set(returned)
    for processor, message in (each for found in bench.ledger.dispatched.values() for each in found):
        document = message.json
        if document["dispatch_id"] in seen:
            continue
        seen.add(document["dispatch_id"])
        payable = f"payable:{document['merchant_id']}"
        parts = [
            (f"receivable:{processor}", document["gross"], 1),
            *((f"revenue:{fee['name']}", fee["amount"], -1) for fee in document["fees"]),
            *((f"{payable}:{one['account']}", one["amount"], -1) for one in document.get("accounts", ())),
        ]
        if "accounts" not in document:
            parts.append((payable, document["net"], -1))
        for account, amount, sign in parts:
            amounts[account, amount["currency"]] += sign * units(amount["value"])
    return {key: amount for key, amount in amounts.items() if amount}


def of_kind(amounts: Amounts, kind: str) -> dict[str, int]:
    """By currency, what the accounts of a kind have together."""
    totals: Counter[str] = Counter()
    for (account, currency), amount in amounts.items():
        if account.partition(":")[0] == kind:
            totals[currency] += amount
    return totals


async def live(bench: Bench, returned: set[str], rounds: int) -> None:
    """Kill a worker in each round, while payments are new, repeated, delayed, given back; then conflicts."""
    over = asyncio.Event()
    connector = asyncio.create_task(give_back(bench, returned, over))
    await bench.unbind("gamma")
    for number in range(rounds):
        await one_round(bench)
        if number == rounds // 2:
            await bench.bind("gamma")
    bench.start()

    async def some_went_back() -> bool:
        return len(returned) >= SOME

    await eventually(some_went_back, "dispatches that are given back")
    over.set()
    await connector
    await bench.arrives(SOME)
    taken = [one for one in bench.load.sent if one.payment_id in bench.ledger.dispatched]
    await bench.load.publish([other_than(one) for one in taken[:SOME]])
    await bench.load.publish_again(taken[:SOME])


async def one_round(bench: Bench) -> None:
    while len(bench.alive) < 2:
        bench.start()
    payments = bench.load.make(60)
    several_currencies(payments, bench.chance)
    await bench.load.publish(payments)
    await bench.load.publish_again([one for one in payments[:20] if one.code is None])
    await asyncio.sleep(bench.chance.uniform(0.3, 1.0))
    victim = bench.chance.choice(bench.alive)
    victim.kill()
    await victim.ended()


@pytest.mark.parametrize("kept_in", JOURNALS)
async def test_the_ledger_is_right_after_kills(bench: Bench, tmp_path: Path, scale: Scale) -> None:
    """Workers are killed under load; payments are delayed, given back, repeated, in conflict, and bad."""
    ledger, returned = load_ledger(), set[str]()
    with closing(ledger.open_ledger(str(tmp_path / "ledger.db"))) as books:
        async with following(bench, ledger, books):
            await live(bench, returned, scale(4, 30))
            await bench.at_rest()
            await told(bench)

            def posted() -> Amounts:
                return {key: amount for key, amount in ledger.balances(books).items() if amount}

            expected = received(bench, returned, ledger.units)

            async def complete() -> bool:
                return posted() == expected

            with suppress(AssertionError):
                await eventually(complete, "the ledger")
            assert posted() == expected
    found = audited(bench)
    assert found.fits, found.misfits
    assert (found.count(Place.DELAYED), found.count(Place.IN_FLIGHT)) == (0, 0)
    assert returned, "nothing was given back"
    assert found.count(Place.DUPLICATES), "nothing was repeated"
    assert found.count(Place.UNCLAIMED), "nothing was in conflict"
    assert found.carries, "nothing was carried"
    for currency, sums in found.currencies.items():
        assert of_kind(expected, "receivable").get(currency, 0) == sums.gross
        assert of_kind(expected, "payable").get(currency, 0) == -sums.net
        assert of_kind(expected, "revenue").get(currency, 0) == -sums.fees


async def told(bench: Bench) -> None:
    """Let a worker run until every event is published."""
    worker, upkeep = bench.start(), upkeep_of(bench)

    async def all_told() -> bool:
        return bool(worker.sessions) and (await asyncio.to_thread(upkeep.status)).unpublished == 0

    with closing(upkeep):
        await eventually(all_told, "every event published")
    await bench.stop()
