"""A plugin's class as it was imported: whether it is one, what it says of itself, how it becomes ready."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from worker.plugins.api import (
    DEFAULT_DEADLINE_SECONDS,
    DEFAULT_READY_SECONDS,
    MAX_DEADLINE_SECONDS,
    MAX_READY_SECONDS,
    Arguments,
)
from worker.plugins.bound import Bound
from worker.routing.problems import Problem, listing, nearest
from worker.routing.questions import Kind
from worker.routing.uses import Refused
from worker.routing.wording import TYPES

METHODS: Final[Mapping[Kind, str]] = {
    Kind.PREDICATE: "holds",
    Kind.STEP: "check",
    Kind.FEES: "fees",
    Kind.RATES: "rate",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin's class, imported and found to be one."""

    kind: Kind
    name: str
    make: Callable[..., object]
    arguments: type[BaseModel]
    deadline_seconds: float
    ready_seconds: float

    def bind(self, arguments: Mapping[str, Any]) -> Bound:
        """Return the plugin made with its arguments.

        Raises ``Refused`` for wrong arguments, and whatever the class raises.
        """
        try:
            parsed = self.arguments.model_validate(arguments)
        except ValidationError as error:
            raise Refused(tuple(_argument_problems(error, self.arguments))) from None

        def make() -> Callable[..., Any]:
            method: Callable[..., Any] = getattr(self.make(parsed), METHODS[self.kind])
            return method

        call = make()
        return Bound(
            f"{self.kind.value} {self.name}",
            call,
            make,
            inspect.iscoroutinefunction(call),
            self.deadline_seconds,
            self.ready_seconds,
        )


def read_offer(kind: Kind, name: str, found: Any, source: str) -> Offer:
    """Return what an entry point leads to as a plugin; raises ``Refused`` when it is none.

    ``source`` says where it comes from.
    """
    if not callable(getattr(found, METHODS[kind], None)) or not callable(found):
        raise wrong_name(
            f"plugin {name} is no {kind.value}, {source}: expected a class with a method `{METHODS[kind]}`"
        )
    arguments = getattr(found, "arguments", Arguments)
    if not (isinstance(arguments, type) and issubclass(arguments, BaseModel)):
        raise wrong_name(f"plugin {name}, {source}: `arguments` is {arguments!r}, no pydantic model")

    def seconds(attribute: str, default: float, most: float) -> float:
        value = getattr(found, attribute, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= most:
            raise wrong_name(
                f"plugin {name}, {source}: `{attribute}` is {value!r}; expected a number above 0, "
                f"{most:g} at most"
            )
        return float(value)

    return Offer(
        kind,
        name,
        found,
        arguments,
        seconds("deadline_seconds", DEFAULT_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS),
        seconds("ready_seconds", DEFAULT_READY_SECONDS, MAX_READY_SECONDS),
    )


def wrong_name(message: str) -> Refused:
    """Return the refusal of a plugin's name."""
    return Refused((Problem((), message),), on_name=True)


def _argument_problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what pydantic found wrong with arguments, in people's words, unknown names with the nearest."""
    problems = []
    names = [field.alias or name for name, field in model.model_fields.items()]
    known = f"arguments are {listing(names)}" if names else "it has no arguments"
    for one in error.errors(include_url=False, include_context=False):
        path = one["loc"]
        match one["type"]:
            case "missing":
                message, on_key = f"argument `{path[-1]}` is missing ({known})", True
            case "extra_forbidden" if len(path) == 1:
                message, on_key = f"unknown argument {path[0]!r}{nearest(path[0], names)} ({known})", True
            case kind if kind in TYPES:
                message, on_key = f"expected {TYPES[kind]}, found {one['input']!r}", False
            case kind:
                text = one["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
                message, on_key = f"{text}; found {one['input']!r}", kind == "extra_forbidden"
        problems.append(Problem(path, message, on_key))
    return problems
