"""What plugins may answer, and how an answer is read: what is none of these fails by the plugin's name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from reprlib import Repr
from types import NoneType
from typing import Any, Final, NoReturn

from worker.errors import PluginFailed
from worker.money import MAX_UNITS, Currency, Rate
from worker.routing.questions import Use

MAX_FEES: Final = 32
MAX_ADDED: Final = 32
"""Keys that one step may add to a payment."""
MAX_TEXT: Final = 1024
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CODE: Final = _KEY
_FEE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHOWN: Final = 80

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class Continue:
    """A step lets the payment pass. Rules and the processor see ``add``, rules as ``metadata.STEP.KEY``."""

    add: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """A step refuses the payment: it is dead-lettered with this code, lowercase letters, digits and ``_``."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A step cannot say yet: the payment is tried again, at last through the delay queues."""

    reason: str


StepResult = Continue | Reject | Retry
_RESULTS: Final = (Continue, Reject, Retry, Rate)
_PLAIN: Final = (float, bool, NoneType, Decimal, Fraction, Currency)


def read_predicate(use: Use, answer: object) -> bool:
    """Return a predicate's answer; raises ``PluginFailed`` unless it is ``True`` or ``False``."""
    if answer is True or answer is False:
        return answer
    return _refuse(use, answer, "True or False")


def read_step(use: Use, answer: object) -> StepResult:
    """Return a step's answer; raises ``PluginFailed`` for what no step may say."""
    match answer if type(answer) in _RESULTS else None:
        case Continue(add) as result if (
            type(add) is dict and len(add) <= MAX_ADDED and all(map(_added, add.items()))
        ):
            return result
        case Continue(add):
            wanted = f"at most {MAX_ADDED} lowercase keys, each with text, an integer or a boolean"
            return _refuse(use, add, f"Continue(add=...) with {wanted}")
        case Reject(code, reason) as result if (
            _is_text(reason) and type(code) is str and _CODE.fullmatch(code)
        ):
            return result
        case Retry(reason) as result if _is_text(reason):
            return result
        case _:
            return _refuse(use, answer, "Continue(), Reject(code, reason) or Retry(reason)")


def read_fees(use: Use, answer: object) -> dict[str, int]:
    """Return fees by name in minor units; raises ``PluginFailed`` unless all are integers of zero or more."""
    if type(answer) is dict and len(answer) <= MAX_FEES and all(map(_fee, answer.items())):
        return dict(answer)
    return _refuse(use, answer, "a dict of fee names and minor units, integers of zero or more")


def read_rate(use: Use, answer: object, base: Currency, quote: Currency) -> Rate:
    """Return a rate of this pair; raises ``PluginFailed`` for anything else."""
    if type(answer) is Rate and answer.base == base and answer.quote == quote and _is_text(answer.source):
        return answer
    return _refuse(use, answer, f"a Rate of {base.code}/{quote.code}")


def _added(item: tuple[object, object]) -> bool:
    key, value = item
    if type(key) is not str or not _KEY.fullmatch(key):
        return False
    if type(value) is int:
        return -MAX_UNITS <= value <= MAX_UNITS
    return type(value) is bool or _is_text(value)


def _fee(item: tuple[object, object]) -> bool:
    name, fee = item
    return (
        type(name) is str and _FEE.fullmatch(name) is not None and type(fee) is int and 0 <= fee <= MAX_UNITS
    )


def _is_text(value: object) -> bool:
    """Whether it is text that UTF-8 can carry, of at most 1,024 characters."""
    return type(value) is str and len(value) <= MAX_TEXT and not any("\ud800" <= c <= "\udfff" for c in value)


def _refuse(use: Use, answer: Any, wanted: str) -> NoReturn:
    try:
        text = _SHOW.repr(answer)
    except Exception:  # noqa: BLE001 - an integer of 5,000 digits is not shown, nor are keys that do not compare
        text = _typed(answer)
    text = text.encode(errors="backslashreplace").decode()
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    raise PluginFailed(f"{use} answered {shown}; expected {wanted}")


class _Show(Repr):
    """Shows an answer without running what the plugin wrote: a ``__repr__`` that asks a database may hang."""

    def repr_instance(self, x: Any, level: int) -> str:
        """Show our own results and plain values; of other objects the type says enough."""
        if type(x) in _RESULTS:
            fields = [f"{name}={self.repr1(getattr(x, name), level - 1)}" for name in x.__match_args__]
            return f"{type(x).__name__}({', '.join(fields)})"
        return repr(x) if type(x) in _PLAIN else _typed(x)


def _typed(answer: object) -> str:
    return f"an object of type {type(answer).__name__}"


_SHOW: Final = _Show()
_SHOW.maxstring = _SHOW.maxlong = _SHOWN
