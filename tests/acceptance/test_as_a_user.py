"""The whole way, as a user goes it: commands only, and clients that are not ours."""

import json
from collections import Counter
from pathlib import Path

from tests.support.bodies import payment
from tests.support.books import Books
from tests.support.command import StartWorker, run_command, wait_until
from worker.local_broker import LocalBroker

ONE_WAY = """\
version: 1
processors:
  alpha: {{exchange: "{prefix}.proc.alpha"}}
  beta: {{exchange: "{prefix}.proc.beta"}}
fees:
  flat: {{components: [{{name: processing, percent: "3"}}]}}
rules:
  - {{name: cards, when: {{type: card}}, route: {{to: alpha, fees: flat}}}}
default: {{to: beta, fees: flat}}
"""


def test_pikas_payments_are_dispatched_or_dead_lettered(books: Books, start_worker: StartWorker) -> None:
    """A stream published by pika while two processes work is accounted for, payment by payment."""
    good = [payment(f"pay-{number}") for number in range(300)]
    bad = [b"{bad %d" % number for number in range(20)]
    with start_worker() as worker:
        worker.wait_for_sessions(2)
        books.publish([*good[:150], *bad, *good[150:]])
        books.wait_for(320)
        assert worker.terminate()[0] == 0
    books.check(good, bad)
    assert books.repeats == 0


def test_amqp_tools_payments_are_dispatched_or_dead_lettered(books: Books, start_worker: StartWorker) -> None:
    """So is a stream that Debian's amqp-publish sends; where it is missing, pika stands in."""
    good = [payment(f"pay-{number}", type="wallet") for number in range(50)]
    bad = [payment(f"bad-{number}", currency="EUX") for number in range(10)]
    sent = books.publish_with_amqp_tools([*good, *bad])
    with start_worker() as worker:
        books.wait_for(60)
        assert worker.terminate()[0] == 0
    books.check(sent[:50], sent[50:])
    assert books.codes == {"unknown_currency": 10}


def test_generated_payments_go_from_command_to_command(
    books: Books, options: tuple[str, ...], rules: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    """generate, publish, run, dead-letters list: what one command writes the next one reads, to the last."""
    rules.write_text(ONE_WAY.format(prefix=books.prefix))
    broker = options[:4]
    generated = run_command("generate", "400", "--seed", "9", "--bad", "0.1").stdout
    said = run_command("publish", "-", *broker, stdin=generated.encode()).stdout
    assert said == f"400 payments confirmed by the exchange {books.prefix}\n"
    with start_worker() as worker:
        wait_until(lambda: _landed(books) >= 400, "every payment at its place")
        assert worker.terminate()[0] == 0
    listed = run_command("dead-letters", "list", "--json", "--limit", "1000", *broker)
    letters = [json.loads(line) for line in listed.stdout.splitlines()]
    assert books.collect() == 400
    assert Counter(letter["code"] for letter in letters) == books.codes
    assert 20 <= len(letters) <= 70
    lines = Counter(line.encode() for line in generated.splitlines())
    assert books.dead <= lines
    books.check(list((lines - books.dead).elements()), list(books.dead.elements()))


def _landed(books: Books) -> int:
    return sum(books.depth(name) for name in ("proc.alpha.inbox", "proc.beta.inbox", "dead"))


def test_worker_waits_for_a_broker_that_goes_and_comes_back(
    broker: LocalBroker, start_worker: StartWorker, books: Books
) -> None:
    """When the broker closes every connection of the worker, its sessions start again and nothing is lost."""
    good = [payment(f"pay-{number}") for number in range(2000)]
    books.stock(good)
    with start_worker("--prefetch", "20") as worker:
        books.wait_for_stream(100)
        for line in broker.rabbitmqctl("list_connections", "pid", "client_properties").splitlines():
            if "payment-worker" in line:
                broker.rabbitmqctl("close_connection", line.split("\t")[0], "test")
        books.wait_for(2000)
        assert worker.terminate()[0] == 0, worker.log
        assert "Traceback" not in worker.log
    books.check(good)


def test_demo_accounts_for_every_payment() -> None:
    """The demo of 2,000 payments, one worker killed on the way, exits 0 and says that the money adds up."""
    done = run_command("demo", "--payments", "2000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every payment is accounted for, and the money adds up. 2,000 payments" in done.stdout
    assert "the worker exited with 0" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
