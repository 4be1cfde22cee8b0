"""Which plugins are installed, which of them the settings allow, and how rules get hold of one.

Plugins are found by their entry points' metadata. Nothing is imported before rules name it, and nothing that
is not allowed.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from worker.errors import UnknownPlugin
from worker.plugins.api import DEFAULT_DEADLINE_SECONDS, MAX_DEADLINE_SECONDS, Arguments
from worker.routing.problems import Problem, listing, nearest
from worker.routing.questions import Kind, Use
from worker.routing.uses import Refused

GROUPS: Final[Mapping[Kind, str]] = {
    Kind.PREDICATE: "payment_worker.predicates",
    Kind.STEP: "payment_worker.steps",
    Kind.FEES: "payment_worker.fee_schedules",
    Kind.RATES: "payment_worker.rates",
}
METHODS: Final[Mapping[Kind, str]] = {
    Kind.PREDICATE: "holds",
    Kind.STEP: "check",
    Kind.FEES: "fees",
    Kind.RATES: "rate",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that some distribution offers; it is not imported yet."""

    kind: Kind
    name: str
    distribution: str
    version: str
    entry: EntryPoint


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin's class, imported and found to be one."""

    make: Callable[..., object]
    arguments: type[BaseModel]
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Bound:
    """A plugin ready to be called; ``deadline_seconds`` is how long one call may take."""

    plugin: str
    call: Callable[..., Any]
    is_async: bool
    deadline_seconds: float


def find_installed() -> tuple[Installed, ...]:
    """Return the plugins of all installed distributions, by kind and name; reads metadata only."""
    found = []
    for kind, group in GROUPS.items():
        for entry in entry_points(group=group):
            name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
            found.append(Installed(kind, entry.name, name, version, entry))
    order = list(GROUPS)
    return tuple(sorted(found, key=lambda one: (order.index(one.kind), one.name, one.distribution)))


@dataclass(slots=True)
class Registry:
    """The plugins that rules may use: those with an allowed name. What is installed is looked up once."""

    allowed: frozenset[str] = frozenset()
    find: Callable[[], tuple[Installed, ...]] = find_installed
    _installed: tuple[Installed, ...] | None = None
    _offers: dict[Installed, Offer] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str]) -> "Registry":
        """Return the registry that allows these names."""
        return cls(frozenset(names))

    @property
    def installed(self) -> tuple[Installed, ...]:
        """Every plugin that is installed, allowed or not."""
        if self._installed is None:
            self._installed = self.find()
        return self._installed

    def check(self) -> None:
        """Raise ``UnknownPlugin`` for names that are allowed and that nothing installed offers."""
        names = {one.name for one in self.installed} if self.allowed else set()
        lines = [
            f"plugin {name!r} is allowed, but no installed distribution offers it{nearest(name, names)}"
            for name in sorted(self.allowed - names)
        ]
        if lines:
            lines.append("install its distribution, or correct the setting `plugins`")
            raise UnknownPlugin("\n".join(lines))

    def use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use:
        """Return a plugin made ready with its arguments; see ``Catalogue``."""
        offer = self.offer(self._find(kind, name))
        try:
            parsed = offer.arguments.model_validate(arguments)
        except ValidationError as error:
            raise Refused(tuple(_argument_problems(error, offer.arguments))) from None
        try:
            call = getattr(offer.make(parsed), METHODS[kind])
        except Exception as error:
            message = f"{kind.value} {name} cannot be made ready: {_named(error)}"
            raise Refused((Problem((), message),)) from error
        text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        is_async = inspect.iscoroutinefunction(call)
        return Use(kind, name, text, Bound(f"{kind.value} {name}", call, is_async, offer.deadline_seconds))

    def offer(self, one: Installed) -> Offer:
        """Import a plugin, once; raises ``Refused`` when that fails or it is none."""
        if one.name not in self.allowed:
            raise _wrong_name(f"{one.kind.value} plugin {one.name!r} is not allowed")
        if one not in self._offers:
            source = f"{one.entry.value} of {one.distribution} {one.version}"
            try:
                found = one.entry.load()
            except (Exception, SystemExit) as error:
                raise _wrong_name(
                    f"plugin {one.name} cannot be imported, {source}: {_named(error)}"
                ) from error
            self._offers[one] = _offer(one, found, source)
        return self._offers[one]

    def _find(self, kind: Kind, name: str) -> Installed:
        found = [one for one in self.installed if one.kind is kind and one.name == name]
        if name not in self.allowed and found:
            raise _wrong_name(
                f"{kind.value} plugin {name!r} is installed ({found[0].distribution} {found[0].version}) but "
                "not allowed; add it to the setting `plugins` if it may decide about payments"
            )
        if len(found) > 1:
            owners = listing(f"{one.distribution} {one.version}" for one in found)
            raise _wrong_name(f"{kind.value} plugin {name!r} is offered more than once, by {owners}")
        if found:
            return found[0]
        usable = sorted({one.name for one in self.installed if one.kind is kind} & self.allowed)
        known = (
            f"allowed {kind.value} plugins are {listing(usable)}"
            if usable
            else "none of that kind is allowed"
        )
        others = [one.kind.value for one in self.installed if one.name == name]
        hint = f"; it is a {others[0]}" if others else nearest(name, usable)
        raise _wrong_name(f"unknown {kind.value} plugin {name!r}{hint} ({known})")


def _wrong_name(message: str) -> Refused:
    return Refused((Problem((), message),), on_name=True)


def _offer(one: Installed, found: Any, source: str) -> Offer:
    if not callable(getattr(found, METHODS[one.kind], None)) or not callable(found):
        raise _wrong_name(
            f"plugin {one.name} is no {one.kind.value}, {source}: expected a class with a method "
            f"`{METHODS[one.kind]}`"
        )
    arguments = getattr(found, "arguments", Arguments)
    if not (isinstance(arguments, type) and issubclass(arguments, BaseModel)):
        raise _wrong_name(f"plugin {one.name}, {source}: `arguments` is {arguments!r}, no pydantic model")
    deadline = getattr(found, "deadline_seconds", DEFAULT_DEADLINE_SECONDS)
    number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if not number or not 0 < deadline <= MAX_DEADLINE_SECONDS:
        raise _wrong_name(
            f"plugin {one.name}, {source}: `deadline_seconds` is {deadline!r}; expected a number above 0, "
            f"{MAX_DEADLINE_SECONDS:g} at most"
        )
    return Offer(found, arguments, float(deadline))


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
            case kind:
                text = one["msg"].removeprefix("Value error, ")
                message, on_key = f"{text}; found {one['input']!r}", kind == "extra_forbidden"
        problems.append(Problem(path, message, on_key))
    return problems


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
