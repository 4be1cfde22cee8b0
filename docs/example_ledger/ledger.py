"""A double-entry ledger in SQLite, kept from the worker's events alone.

    python ledger.py --amqp-url amqp://guest:guest@127.0.0.1:5672/ ledger.db

Each payment that is dispatched is owed to us by its processor (gross), by us to its merchant (net, or each
account's share of it where the rules divide it), and earns us the fees; a payment that its processor gives
back is posted the other way round. Events come at least once: the event's id is the posting's key, so a
repeat changes nothing. Amounts are integers of 1/10**12 of a unit, kept as text, since they may need more
than SQLite's 64 bits.
"""

import argparse
import asyncio
import json
import sqlite3
from decimal import Decimal
from typing import Any

import aio_pika

TABLES = """
CREATE TABLE IF NOT EXISTS postings (event_id TEXT PRIMARY KEY, payment_id TEXT, occurred_at TEXT);
CREATE TABLE IF NOT EXISTS entries (event_id TEXT, account TEXT, currency TEXT, amount TEXT);
"""
SIGNS = {"payment.dispatched": 1, "payment.returned": -1}
SCALE = 12


def open_ledger(path: str) -> sqlite3.Connection:
    """Open a ledger, a new one if there is none."""
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    return connection


def post(connection: sqlite3.Connection, event: dict[str, Any]) -> bool:
    """Post an event; False where it was posted before, or moves no money."""
    sign = SIGNS.get(event["type"])
    if sign is None or not event["in_hand"]:
        return False
    lines = [
        (f"receivable:{event['processor']}", event["gross"], sign),
        *((account, amount, -sign) for account, amount in payable(event)),
        *((f"revenue:{fee['name']}", fee["amount"], -sign) for fee in event["fees"]),
    ]
    entries = [
        (event["event_id"], account, amount["currency"], str(direction * units(amount["value"])))
        for account, amount, direction in lines
    ]
    if sum(int(entry[3]) for entry in entries) != 0:
        raise ValueError(f"event {event['event_id']} of payment {event['payment_id']} does not balance")
    with connection:
        posted = connection.execute(
            "INSERT INTO postings VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (event["event_id"], event["payment_id"], event["occurred_at"]),
        )
        if posted.rowcount == 0:
            return False
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", entries)
    return True


def payable(event: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Return what the merchant is owed, by account where the net is divided."""
    merchant = f"payable:{event['merchant_id']}"
    if "accounts" not in event:
        return [(merchant, event["net"])]
    return [(f"{merchant}:{share['account']}", share["amount"]) for share in event["accounts"]]


def units(value: str) -> int:
    """Return a decimal string as an integer, exactly."""
    return int(Decimal(value).scaleb(SCALE))


def balances(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """Return what each account has in each currency, in 1/10**12 of a unit."""
    rows = connection.execute("SELECT account, currency, amount FROM entries")
    totals: dict[tuple[str, str], int] = {}
    for account, currency, amount in rows:
        totals[account, currency] = totals.get((account, currency), 0) + int(amount)
    return totals


async def follow(amqp_url: str, prefix: str, connection: sqlite3.Connection) -> None:
    """Post events as they come; each is acknowledged once it is posted."""
    broker = await aio_pika.connect_robust(amqp_url)
    async with broker:
        channel = await broker.channel()
        await channel.set_qos(prefetch_count=500)
        queue = await channel.declare_queue(
            f"{prefix}.example-ledger", durable=True, arguments={"x-queue-type": "quorum"}
        )
        for kind in SIGNS:
            await queue.bind(f"{prefix}.events", kind)
        async with queue.iterator() as messages:
            async for message in messages:
                post(connection, json.loads(message.body))
                await message.ack()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="Keep a double-entry ledger from payment events.")
    parser.add_argument("ledger", help="the ledger's file")
    parser.add_argument("--amqp-url", default="amqp://guest:guest@127.0.0.1:5672/")
    parser.add_argument("--prefix", default="payments")
    options = parser.parse_args()
    connection = open_ledger(options.ledger)
    try:
        asyncio.run(follow(options.amqp_url, options.prefix, connection))
    except KeyboardInterrupt:
        for (account, currency), amount in sorted(balances(connection).items()):
            print(f"{account:40} {Decimal(amount).scaleb(-SCALE):>20f} {currency}")


if __name__ == "__main__":
    main()
