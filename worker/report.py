"""What became of each payment: counted, traced, logged."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, assert_never

from worker.errors import BrokerUnavailable, Crashed, Returned
from worker.outcome import DeadLettered, Delayed, Dispatched, Duplicate, Outcome, Released, SetAside
from worker.source import SUSPECT_AFTER
from worker.telemetry import attributes as names
from worker.telemetry.logs import Log
from worker.work import Step, ToAside, ToAsk, ToDead, ToDelay, ToProcessor, Work


@dataclass(frozen=True, slots=True)
class Reporter:
    """Reports outcomes. ``each_dispatch`` logs dispatches too, one line a payment."""

    counts: Counter[str]
    log: Log
    each_dispatch: bool

    def finish(self, work: Work, outcome: Outcome) -> None:
        """Report what became of a payment, and end its trace."""
        name = outcome.name
        self.counts[name] += 1
        match outcome:
            case Dispatched():
                work.trace.sent(None)
                code = None
                if self.each_dispatch:
                    self._say(work, outcome, processor=outcome.processor, dispatch_id=outcome.dispatch_id)
            case Duplicate():
                code = None
                if self.each_dispatch or work.parts is None or not work.orphaned:  # else many, after a crash
                    self._say(work, outcome, processor=outcome.processor, dispatch_id=outcome.dispatch_id)
            case Delayed():
                work.trace.sent(None)
                code = outcome.code
                self._say(work, outcome, code=code, seconds=outcome.seconds)
            case DeadLettered():
                work.trace.sent(None)
                code = outcome.error.code
                self._say(work, outcome, code=code, reason=str(outcome.error))
            case SetAside():
                work.trace.sent(None)
                code = Crashed.code
                self._say(work, outcome, code=code, reason=_why_aside(outcome), crashes=outcome.crashes)
            case Released():
                work.trace.sent(BrokerUnavailable.code)
                code = BrokerUnavailable.code
                self._say(work, outcome, code=code, reason=outcome.reason)
            case _:
                assert_never(outcome)
        work.trace.end(name, code, lambda: _describe(work, outcome))

    def refused(self, work: Work, code: str, reason: str) -> None:
        """Report that a publish was refused, or that nobody knows what became of it; the payment goes on."""
        work.trace.sent(code)
        held_back = not isinstance(work.step, ToProcessor)
        say = self.log.warning if held_back and work.tries <= 1 else self.log.debug
        say(
            "held back" if held_back else "publish refused", code=code, reason=_refuser(work.step) + reason,
            payment_id=work.payment_id, processor=work.dispatch and work.dispatch.processor,
            trace_id=work.trace.trace_id, attempt=work.arrival.attempt, tries=work.tries,
        )  # fmt: skip

    def given_back(self, work: Work, processor: str) -> None:
        """Report that a processor gave a payment back; what becomes of it is still to come."""
        self.counts["returned"] += 1
        self.log.warning(
            "returned",
            code=Returned.code,
            reason=f"{processor} gave its dispatch back",
            payment_id=work.payment_id,
            trace_id=work.trace.trace_id,
            attempt=work.arrival.attempt,
            processor=processor,
        )

    def _say(self, work: Work, outcome: Outcome, **details: Any) -> None:
        say = self.log.info if isinstance(outcome, Dispatched | Duplicate) else self.log.warning
        say(
            outcome.name,
            payment_id=work.payment_id,
            trace_id=work.trace.trace_id,
            attempt=work.arrival.attempt,
            **details,
        )


def _why_aside(outcome: SetAside) -> str:
    if outcome.crashes < SUSPECT_AFTER:
        return "the message that it was a line of is to be taken alone"
    return f"{outcome.crashes} sessions have ended with it in hand, any of which it may have ended"


def _refuser(step: Step) -> str:
    """Name what a refused publish was for, where it was not for a processor."""
    match step:
        case ToDelay():
            return f"no delay queue of {step.seconds:g} s takes it: "
        case ToDead():
            return "no dead-letter queue takes it: "
        case ToAside():
            return f"no queue takes it at the exchange {step.exchange}, under {step.routing_key}: "
        case ToProcessor() | ToAsk():
            return ""
        case _:
            assert_never(step)


def _describe(work: Work, outcome: Outcome) -> dict[str, Any]:
    """Return the attributes that a process span has only at its end."""
    described: dict[str, Any] = {}
    if work.payment_id is not None:
        described |= {names.PAYMENT_ID: work.payment_id, names.CONVERSATION_ID: work.payment_id}
    if work.plan is not None:
        described |= {names.PAYMENT_RULE: work.plan.rule, names.RULES_VERSION: work.plan.rules_version}
    if isinstance(outcome, Dispatched):
        described |= {names.PAYMENT_PROCESSOR: outcome.processor, names.DISPATCH_ID: outcome.dispatch_id}
    return described
