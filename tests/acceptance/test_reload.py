"""Rules that change while the worker runs: nothing is lost, and each dispatch matches the rules it names."""

import json
import os
import signal
import threading
from collections import Counter
from pathlib import Path

from tests.support.bodies import RULES, payment
from tests.support.books import Books
from tests.support.command import RunningWorker, StartWorker, wait_until
from worker.rules_file import load_rules

PAYMENTS = 1500
GOOD = [payment(f"pay-{number}") for number in range(PAYMENTS)]
BROKEN = "version: 1\nprocessors: {alpha: {}}\nrules: [\n"


def replace(path: Path, text: str) -> None:
    """Replace a file as one, as editors and deployments do."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


def versions(path: Path, texts: dict[str, str]) -> dict[str, str]:
    """Which processor cards go to, by the version of the rules that say so."""
    found = {}
    for processor, text in texts.items():
        replace(path, text)
        found[load_rules([path]).version] = processor
    return found


def converged(worker: RunningWorker, version: str, times: int) -> bool:
    """Whether every process has put a version in force so often."""
    lines = [json.loads(line) for line in worker.log.splitlines() if '"rules reloaded"' in line]
    return _both(Counter(line["pid"] for line in lines if line["version"] == version), times)


def refused(worker: RunningWorker, times: int) -> bool:
    """Whether every process has read the broken file so often, and said where it is broken."""
    lines = [json.loads(line) for line in worker.log.splitlines() if "rules.yaml:3:9" in line]
    return _both(Counter(line["pid"] for line in lines), times)


def _both(by_process: "Counter[int]", times: int) -> bool:
    return len(by_process) == 2 and min(by_process.values()) >= times


def test_editing_under_load_misroutes_nothing(
    books: Books, start_worker: StartWorker, rules: Path, prefix: str
) -> None:
    """Two processes change between two sets of rules, with a broken file in between, and converge."""
    to_alpha = RULES.format(prefix=prefix)
    to_beta = to_alpha.replace("{to: alpha, fees: standard}", "{to: beta, fees: micro}")
    by_version = versions(rules, {"beta": to_beta, "alpha": to_alpha})
    version_of = {processor: version for version, processor in by_version.items()}
    with start_worker("--prefetch", "20") as worker:
        worker.wait_for_sessions(2)
        publishing = threading.Thread(target=_publish_all, args=(books.url, books.prefix))
        publishing.start()
        broken = 0
        for round_ in (1, 2, 3):
            for processor, text in (("beta", to_beta), ("alpha", to_alpha)):
                replace(rules, text)
                worker.process.send_signal(signal.SIGHUP)
                wait_until(
                    lambda p=processor, r=round_: converged(worker, version_of[p], r),
                    f"rules for {processor}",
                )
                replace(rules, BROKEN)
                worker.process.send_signal(signal.SIGHUP)
                broken += 1
                wait_until(lambda n=broken: refused(worker, n), "the broken rules to be refused")
        publishing.join()
        books.wait_for(PAYMENTS)
        assert worker.terminate()[0] == 0
    books.check(GOOD)
    sent = [json.loads(bodies[0]) for bodies in books.dispatched.values()]
    assert {(d["rules_version"], d["processor"]) for d in sent} == set(by_version.items())


def _publish_all(url: str, exchange: str) -> None:
    from tests.support.producer import pika_channel

    with pika_channel(url) as channel:
        Books(channel, url, exchange).publish(GOOD)


def test_a_process_that_restarts_beside_broken_rules_keeps_the_good_ones(
    books: Books, start_worker: StartWorker, rules: Path
) -> None:
    """A crash while the file is broken does not take the rules away from the process that replaces it."""
    with start_worker() as worker:
        worker.wait_for_sessions(2)
        replace(rules, BROKEN)
        for child in worker.children:
            os.kill(child, signal.SIGKILL)
        worker.wait_for_sessions(4)
        books.publish(GOOD[:10])
        books.wait_for(10)
        assert worker.terminate()[0] == 0
    books.check(GOOD[:10])


def test_new_processors_get_their_queues(
    books: Books, start_worker: StartWorker, rules: Path, prefix: str
) -> None:
    """A processor that a reload brings is declared before the first payment goes to it."""
    text = rules.read_text()
    with start_worker() as worker:
        worker.wait_for_sessions(2)
        added = text.replace("processors:\n", f'processors:\n  gamma: {{exchange: "{prefix}.proc.gamma"}}\n')
        dead = "  - name: dead\n    when: {type: card}\n    route: {to: beta}\ndefault:"
        added = added.replace("default:", dead)
        replace(rules, added.replace("{to: alpha, fees: standard}", "{to: gamma}"))
        version = load_rules([rules]).version
        wait_until(lambda: converged(worker, version, 1), "the new rules")
        books.publish(GOOD[:10])
        wait_until(lambda: books.depth("proc.gamma.inbox") == 10, "10 dispatches at gamma")
        assert "rules warn" in worker.log
        assert "rule dead" in worker.log
        assert worker.terminate()[0] == 0
    books.channel.queue_delete(f"{prefix}.proc.gamma.inbox")


def test_an_overlay_is_in_force_and_watched(
    books: Books, start_worker: StartWorker, rules: Path, prefix: str, tmp_path: Path
) -> None:
    """The file of one environment lies over the rules, and its change is a change of the rules."""
    overlay = tmp_path / "production.overlay"
    overlay.write_text("rules:\n  - {name: cards, route: {to: beta}}\n")
    with start_worker("--overlay", str(overlay)) as worker:
        worker.wait_for_sessions(2)
        books.publish(GOOD[:5])
        wait_until(lambda: books.depth("proc.beta.inbox") == 5, "5 dispatches at beta")
        replace(overlay, "rules:\n  - {name: cards, route: {to: alpha}}\n")
        version = load_rules([rules], [overlay]).version
        wait_until(lambda: converged(worker, version, 1), "the changed overlay")
        books.publish(GOOD[5:10])
        wait_until(lambda: books.depth("proc.alpha.inbox") == 5, "5 dispatches at alpha")
        assert worker.terminate()[0] == 0
