"""What planning needs to know from plugins. Planning itself calls none: it raises the question.

Whoever plans finds the answer, under a deadline and away from other payments, and plans again with all that
was answered so far. A payment that meets no plugin never comes here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")
MAX_QUESTIONS: Final = 1000
"""Questions that one payment may raise; more than any rules need, so that no loop is endless."""


class Kind(Enum):
    """What a plugin is for, in the words of messages."""

    PREDICATE = "predicate"
    STEP = "step"
    FEES = "fee schedule"
    RATES = "rate provider"


@dataclass(frozen=True, slots=True)
class Use:
    """A plugin as the rules use it: which one, with which arguments (JSON, keys sorted).

    ``bound`` is what is called in the end; the rules never look at it.
    """

    kind: Kind
    name: str
    arguments: str
    bound: object = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Question:
    """One call of a plugin. ``about`` tells it from other calls of the same use for the same payment."""

    use: Use
    about: tuple[str, ...]
    given: tuple[Any, ...] = field(compare=False, repr=False)


Answers: TypeAlias = Mapping[Question, object]
"""What plugins said of one payment, as they said it: whoever uses an answer checks it."""
Ask: TypeAlias = Callable[[Question], object]
NO_ANSWERS: Final[Answers] = MappingProxyType({})


class PluginNeeded(Exception):
    """Planning cannot go on without an answer. It is no error and never leaves those who plan."""

    def __init__(self, question: Question) -> None:
        super().__init__(f"{question.use} is asked")
        self.question = question


def answer_to(question: Question, answers: Answers) -> object:
    """Return the answer to a question; raises ``PluginNeeded`` where there is none yet."""
    try:
        return answers[question]
    except KeyError:
        raise PluginNeeded(question) from None


def answered(decide: Callable[[Answers], T], ask: Ask | None) -> T:
    """Return what ``decide`` returns once ``ask`` has answered all it needs.

    Raises ``PluginNeeded`` when there is nobody to ask, and whatever the two raise.
    """
    answers: dict[Question, object] = {}
    for _ in range(MAX_QUESTIONS):
        try:
            return decide(answers)
        except PluginNeeded as needed:
            if ask is None or needed.question in answers:
                raise
            answers[needed.question] = ask(needed.question)
    raise PluginNeeded(next(iter(answers)))
