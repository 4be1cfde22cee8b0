"""The commands beside ``run``, as a user types them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from schemas.payment import Payment
from tests.support.bodies import payment, write_rules
from tests.support.command import run_command, running_worker, wait_until
from tests.support.producer import pika_channel
from worker.local_broker import LocalBroker
from worker.rabbitmq import free_ports

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def rules(tmp_path: Path, prefix: str) -> Path:
    """A rule file without fault."""
    return write_rules(tmp_path / "rules.yaml", prefix)


@pytest.fixture
def run(broker: LocalBroker, prefix: str) -> Run:
    """Run a command against this test's part of the broker: exit code, stdout, stderr."""

    def run_one(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        done = run_command(*arguments, "--amqp-url", broker.url, "--prefix", prefix, stdin=stdin)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run_one


def declared(run: Run, rules: Path) -> str:
    """Declare the topology and return what was said."""
    code, out, err = run("topology", "declare", "--rules", str(rules))
    assert (code, err) == (0, "")
    return out


def test_topology_declare_shows_what_exists_and_can_be_repeated(run: Run, rules: Path, prefix: str) -> None:
    """Every queue and exchange is listed, and a second time is no error."""
    out = declared(run, rules)
    for name in ("incoming", "dead", "crashed", "return", "delay.1s", "delay.1h", "proc.alpha.inbox"):
        assert f"{prefix}.{name}" in out
    assert declared(run, rules) == out


def test_topology_of_several_shards(run: Run, rules: Path, prefix: str) -> None:
    """They are listed with the exchange before them, verified, and named where another number is wanted."""
    options = ("--rules", str(rules), "--shards")
    code, out, _ = run("topology", "declare", *options, "2")
    assert code == 0
    for text in (f"{prefix}.spread", "x-consistent-hash", f"{prefix}.incoming.0", f"{prefix}.incoming.1"):
        assert text in out
    assert run("topology", "verify", *options, "2")[0] == 0
    code, _, err = run("topology", "verify", *options, "1")
    assert code == 2
    assert f"{prefix}.incoming.0, of a time with more shards" in err
    code, _, err = run("topology", "verify", *options, "3")
    assert code == 2
    assert f"no queue {prefix}.incoming.2" in err


def test_topology_verify_creates_nothing(run: Run, rules: Path, prefix: str) -> None:
    """Before ``declare`` it names what is missing and exits 2, twice alike; afterwards it exits 0."""
    first = run("topology", "verify", "--rules", str(rules))
    assert first[0] == 2
    assert f"queue {prefix}.incoming" in first[2]
    assert run("topology", "verify", "--rules", str(rules)) == first
    declared(run, rules)
    assert run("topology", "verify", "--rules", str(rules))[0] == 0


def test_generate_is_repeatable_and_valid() -> None:
    """The same seed gives the same bytes, another seed others, and each line is a payment."""
    one, same, other = (run_command("generate", "50", "--seed", seed).stdout for seed in ("4", "4", "5"))
    assert one == same
    assert one != other
    lines = one.splitlines()
    assert len({Payment.model_validate_json(line).payment_id for line in lines}) == 50


def test_generate_makes_the_chosen_share_bad() -> None:
    """Every payment is bad with a share of 1, and none with the default."""
    done = run_command("generate", "40", "--bad", "1")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 40


def test_generate_into_a_closed_pipe_ends_quietly() -> None:
    """``generate | head`` is no error for people to read."""
    done = run_command("generate", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_publish_sends_each_line_byte_for_byte(
    run: Run, rules: Path, broker: LocalBroker, prefix: str
) -> None:
    """Good and bad lines arrive as they were written, blank ones not at all, and the count is said."""
    declared(run, rules)
    lines = [payment(), b'  {"odd":  1.50}  ', b"{bad", "\u20ac".encode(), b"\xff\xfe"]
    code, out, _ = run("publish", "-", stdin=b"\r\n".join(lines) + b"\n\n  \n")
    assert code == 0
    assert out == f"5 payments confirmed by the exchange {prefix}\n"
    with pika_channel(broker.url) as channel:
        taken = [channel.basic_get(f"{prefix}.incoming", auto_ack=True) for _ in lines]
    assert sorted(body for _, _, body in taken) == sorted(lines)
    keys = {body: method.routing_key for method, _, body in taken}
    assert keys[payment()] == "card.eur"
    assert keys[b"{bad"] == "unknown.unknown"
    assert {properties.delivery_mode for _, properties, _ in taken} == {2}


def test_publish_reads_a_file(run: Run, rules: Path, tmp_path: Path) -> None:
    """What ``generate`` wrote into a file is published whole."""
    declared(run, rules)
    file = tmp_path / "payments.ndjson"
    file.write_text(run_command("generate", "1200", "--seed", "2").stdout)
    code, out, _ = run("publish", str(file))
    assert (code, out.split()[0]) == (0, "1,200")


def test_publish_gathers_batches(run: Run, rules: Path, broker: LocalBroker, prefix: str) -> None:
    """With --batch, lines travel as NDJSON; each that is not taken is named by its own number."""
    declared(run, rules)
    lines = [payment(f"p-{number}") for number in range(5)]
    stdin = b"\n\n".join(lines)
    code, out, _ = run("publish", "-", "--batch", "2", stdin=stdin)
    assert (code, out) == (0, f"5 payments confirmed by the exchange {prefix}\n")
    with pika_channel(broker.url) as channel:
        taken = [channel.basic_get(f"{prefix}.incoming", auto_ack=True) for _ in range(3)]
        channel.queue_unbind(f"{prefix}.incoming", prefix, "#")
    assert [body.split() for _, _, body in taken] == [
        [word for line in lines[at : at + 2] for word in line.split()] for at in (0, 2, 4)
    ]
    kinds = [properties.content_type for _, properties, _ in taken]
    assert kinds == ["application/x-ndjson", "application/x-ndjson", "application/json"]
    code, _, err = run("publish", "-", "--batch", "2", stdin=stdin)
    assert code == 1
    assert re.findall(r"line (\d+)", err) == ["1", "3", "5", "7", "9"]


def test_publish_without_topology_says_so(run: Run, prefix: str) -> None:
    """An exchange that is not there is named, with the command that creates it."""
    code, out, err = run("publish", "-", stdin=payment() + b"\n")
    assert (code, out) == (2, "")
    assert f"no exchange {prefix}" in err
    assert "topology declare" in err


def test_publish_of_a_missing_file_says_so(run: Run, tmp_path: Path) -> None:
    """A file that is not there is named."""
    code, _, err = run("publish", str(tmp_path / "nothing.ndjson"))
    assert code == 2
    assert "nothing.ndjson" in err


def test_publish_names_the_lines_that_were_not_taken(
    run: Run, rules: Path, broker: LocalBroker, prefix: str
) -> None:
    """With nothing bound, each line is named as returned, and the exit code is 1."""
    declared(run, rules)
    with pika_channel(broker.url) as channel:
        channel.queue_unbind(f"{prefix}.incoming", prefix, "#")
    code, out, err = run("publish", "-", stdin=b"".join(payment(f"p-{n}") + b"\n" for n in range(12)))
    assert code == 1
    assert out.startswith("0 payments confirmed")
    assert "line 1: returned by the broker: NO_ROUTE" in err
    assert "and 2 more lines" in err


def test_dead_letters_are_listed_and_left_where_they_are(
    run: Run, rules: Path, broker: LocalBroker, prefix: str, tmp_path: Path
) -> None:
    """A table for people and JSON for machines, by code and up to a limit; looking takes nothing."""
    declared(run, rules)
    bad = [payment("pay-7", value="0"), payment("pay-8", currency="EUX"), b"{bad"]
    run("publish", "-", stdin=b"\n".join(bad))
    options = ("--rules", str(rules), "--amqp-url", broker.url, "--prefix", prefix)
    with running_worker(tmp_path / "log", *options) as worker:
        wait_until(lambda: worker.log.count('"dead_lettered"') >= 3, "3 dead letters")
        assert worker.terminate()[0] == 0
    code, out, _ = run("dead-letters", "list")
    assert code == 0
    assert "3 chosen of 3 dead letters" in out
    for text in ("pay-7", "amount_not_positive", "pay-8", "unknown_currency", "malformed_message"):
        assert text in out
    records = [json.loads(line) for line in run("dead-letters", "list", "--json")[1].splitlines()]
    assert [record["payment_id"] for record in records] == ["pay-7", "pay-8", None]
    assert [record["body_bytes"] for record in records] == [len(body) for body in bad]
    only = run("dead-letters", "list", "--json", "--code", "unknown_currency")[1].splitlines()
    assert [json.loads(line)["payment_id"] for line in only] == ["pay-8"]
    assert len(run("dead-letters", "list", "--json", "--limit", "2")[1].splitlines()) == 2
    with pika_channel(broker.url) as channel:
        wait_until(
            lambda: channel.queue_declare(f"{prefix}.dead", passive=True).method.message_count == 3,
            "all back",
        )


def test_dead_letters_of_other_programs_do_not_break_the_list(
    run: Run, rules: Path, broker: LocalBroker, prefix: str
) -> None:
    """A message that someone else put into the queue is listed too, as far as it can be."""
    declared(run, rules)
    with pika_channel(broker.url) as channel:
        odd = pika.BasicProperties(headers={"payment-id": b"\xff", "payment-error-code": 7})
        channel.basic_publish(f"{prefix}.dead", "any", b"\x00", odd, mandatory=True)
        channel.basic_publish(f"{prefix}.dead", "any", b"", mandatory=True)
    assert run("dead-letters", "list")[0] == 0
    assert run("dead-letters", "list", "--json")[0] == 0


def test_empty_dead_letter_queue_says_so(run: Run, rules: Path) -> None:
    """No dead letters is an answer, not an empty table."""
    declared(run, rules)
    assert run("dead-letters", "list") == (0, "no dead letters\n", "")


def test_dead_letters_without_topology_say_so(run: Run, prefix: str) -> None:
    """A queue that is not there is named, with the command that creates it."""
    code, _, err = run("dead-letters", "list")
    assert code == 2
    assert f"no queue {prefix}.dead" in err


@pytest.mark.parametrize("command", [("publish", "-"), ("dead-letters", "list"), ("topology", "declare")])
def test_commands_say_that_the_broker_cannot_be_reached(command: tuple[str, ...], rules: Path) -> None:
    """One line with the address, and exit code 1."""
    [port] = free_ports(1)
    extra = ("--rules", str(rules)) if command[0] == "topology" else ()
    done = run_command(*command, *extra, "--amqp-url", f"amqp://127.0.0.1:{port}/", stdin=payment())
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--help",),
        ("run", "--help"),
        ("topology", "--help"),
        ("dead-letters", "--help"),
        ("demo", "--help"),
    ],
)
def test_help_is_there_for_every_command(arguments: tuple[str, ...]) -> None:
    """Help goes to stdout and names the command."""
    done = run_command(*arguments)
    assert "Usage: payment-worker" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
