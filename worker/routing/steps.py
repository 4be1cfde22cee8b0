"""Steps: plugins that look at a payment before the rules do, in the order written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from schemas.payment import Payment
from schemas.rules import StepSpec
from worker.errors import StepUnavailable
from worker.routing.answers import Continue, Reject, Retry, Scalar, read_step
from worker.routing.asking import asks
from worker.routing.checks import Check, compile_check
from worker.routing.conditions import Condition
from worker.routing.decision import Rejected
from worker.routing.names import Names
from worker.routing.parse import read_when
from worker.routing.questions import Answers, Kind, Question, Use, answer_to
from worker.routing.uses import Uses


@dataclass(frozen=True, slots=True)
class Step:
    """A plugin with the payments it looks at."""

    name: str
    condition: Condition
    check: Check
    use: Use


@dataclass(frozen=True, slots=True)
class Passed:
    """The payment as rules see it, and what steps have added to it, by ``STEP.KEY``."""

    payment: Payment
    added: dict[str, Scalar]
    asked: tuple[str, ...] = ()


def build_steps(specs: Sequence[StepSpec], names: Names, uses: Uses) -> tuple[Step, ...]:
    """Return the steps that are enabled; problems are collected in ``names`` and ``uses``."""
    steps: list[Step] = []
    seen: dict[str, int] = {}
    for i, spec in enumerate(specs):
        if spec.name in seen:
            message = f"a step named {spec.name} is already there, as step {seen[spec.name] + 1}"
            names.problems.add(("steps", i, "name"), message)
        seen.setdefault(spec.name, i)
        condition = read_when(spec.when.root, ("steps", i, "when"), names, uses)
        if asks(condition):
            message = "a step's `when` has no plugins: let the step itself look at more"
            names.problems.add(("steps", i, "when"), message)
        found = uses.read(Kind.STEP, spec.plugin, ("steps", i, "plugin"))
        if spec.enabled:
            steps += [Step(spec.name, condition, compile_check(condition), use) for use in found]
    return tuple(steps)


def pass_steps(
    steps: Sequence[Step], payment: Payment, amount: int, now: datetime, answers: Answers
) -> Passed | Rejected:
    """Return the payment after all steps that look at it, or the rejection by one; ``amount`` in 10^-12.

    What a producer wrote under a step's own keys counts for nothing.

    Raises:
        PluginNeeded: a step has not answered yet.
        PluginFailed: its answer is none that a step may give.
        StepUnavailable: it asks for another try.
    """
    payment = _without_forged(steps, payment)
    added: dict[str, Scalar] = {}
    asked: list[str] = []
    for step in steps:
        if not step.check(payment, amount, now):
            continue
        question = Question(step.use, (step.name,), (payment, now))
        result = read_step(step.use, answer_to(question, answers))
        asked.append(step.name)
        match result:
            case Continue(add):
                if add:
                    added |= {f"{step.name}.{key}": value for key, value in add.items()}
                    payment = payment.model_copy(update={"metadata": {**payment.metadata, **added}})
            case Reject(code, reason):
                return Rejected(f"step {step.name}", code, reason)
            case Retry(reason):
                raise StepUnavailable(f"step {step.name} asks for another try: {reason}")
            case _:
                assert_never(result)
    return Passed(payment, added, tuple(asked))


def _without_forged(steps: Sequence[Step], payment: Payment) -> Payment:
    """Return the payment without metadata that looks as if a step had added it."""
    if not payment.metadata:
        return payment
    prefixes = tuple(f"{step.name}." for step in steps)
    kept = {key: value for key, value in payment.metadata.items() if not key.startswith(prefixes)}
    if len(kept) == len(payment.metadata):
        return payment
    return payment.model_copy(update={"metadata": kept})
