"""Conditions that plugins have a say in, compiled to closures that also get the answers so far."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from schemas.payment import Payment
from worker.routing.answers import read_predicate
from worker.routing.checks import Check, compile_check
from worker.routing.conditions import All, Any, Condition, Not, Plugin
from worker.routing.questions import Answers, Question, Use, answer_to


class _NoneHolds(dict[Question, object]):
    """Answers for those who can ask nobody: no predicate says yes."""

    def __missing__(self, question: Question) -> bool:
        return False


NONE_HOLDS: Final[Answers] = _NoneHolds()
Asking = Callable[[Payment, int, datetime, Answers], bool]
"""As ``Check``, with what plugins have answered; raises ``PluginNeeded`` for what they have not."""


def asks(condition: Condition) -> bool:
    """Return whether the condition may need a plugin."""
    match condition:
        case Plugin():
            return True
        case All(parts) | Any(parts):
            return any(map(asks, parts))
        case Not(part):
            return asks(part)
        case _:
            return False


def compile_asking(condition: Condition) -> Asking:
    """Return a closure that tells whether the condition holds; plugins are asked only if need be."""
    match condition:
        case Plugin(use):
            return _plugin(use)
        case All(parts):
            return _joined([compile_asking(part) for part in sorted(parts, key=asks)], stop=False)
        case Any(parts):
            return _joined([compile_asking(part) for part in sorted(parts, key=asks)], stop=True)
        case Not(part):
            inner = compile_asking(part)
            return lambda payment, amount, now, answers: not inner(payment, amount, now, answers)
        case _:
            return _plain(compile_check(condition))


def _plain(check: Check) -> Asking:
    return lambda payment, amount, now, _answers: check(payment, amount, now)


def _plugin(use: Use) -> Asking:
    def ask(payment: Payment, _amount: int, now: datetime, answers: Answers) -> bool:
        return read_predicate(use, answer_to(Question(use, (), (payment, now)), answers))

    return ask


def _joined(parts: list[Asking], *, stop: bool) -> Asking:
    """Return a closure that ends at the first part whose answer is ``stop``."""

    def ask(payment: Payment, amount: int, now: datetime, answers: Answers) -> bool:
        for part in parts:
            if part(payment, amount, now, answers) is stop:
                return stop
        return not stop

    return ask
