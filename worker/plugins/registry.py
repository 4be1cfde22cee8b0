"""Which plugins are installed, which of them the settings allow, and how rules get hold of one.

Plugins are found by their entry points' metadata. Nothing is imported before rules name it, and nothing that
is not allowed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from worker.errors import UnknownPlugin
from worker.plugins.offers import Offer, read_offer, wrong_name
from worker.plugins.outcome import Failed, Returned
from worker.plugins.ready import Ready
from worker.routing.problems import Problem, listing, nearest
from worker.routing.questions import Kind, Use
from worker.routing.uses import Refused, arguments_text

GROUPS: Final[Mapping[Kind, str]] = {
    Kind.PREDICATE: "payment_worker.predicates",
    Kind.STEP: "payment_worker.steps",
    Kind.FEES: "payment_worker.fee_schedules",
    Kind.RATES: "payment_worker.rates",
}
IMPORT_SECONDS: Final = 30.0
"""How long a plugin's module may take to be imported."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that some distribution offers; it is not imported yet."""

    kind: Kind
    name: str
    distribution: str
    version: str
    entry: EntryPoint


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
    _ready: Ready = field(default_factory=Ready)

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
            lines.append("install its distribution, or correct PAYMENT_WORKER_PLUGINS")
            raise UnknownPlugin("\n".join(lines))

    def use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use:
        """Return a plugin made ready with its arguments; see ``Catalogue``."""
        offer = self.offer(self._find(kind, name))
        remedy = "see what its `__init__` waits for, or give the class a larger `ready_seconds`"
        made = self._ready.run(
            f"{kind.value} {name}", offer.ready_seconds, lambda: offer.bind(arguments), remedy
        )
        match made:
            case Returned(bound):
                return Use(kind, name, arguments_text(arguments), bound)
            case Failed(Refused() as refused):
                raise refused
            case Failed(error):
                message = f"{kind.value} {name} cannot be made ready: {_named(error)}"
                raise Refused((Problem((), message),)) from error

    def offer(self, one: Installed) -> Offer:
        """Import a plugin, once; raises ``Refused`` when that fails or hangs, or it is none."""
        if one.name not in self.allowed:
            raise wrong_name(f"{one.kind.value} plugin {one.name!r} is not allowed")
        if one not in self._offers:
            source = f"{one.entry.value} of {one.distribution} {one.version}"
            remedy = f"see what importing {source} waits for"
            match self._ready.run(f"{one.kind.value} {one.name}", IMPORT_SECONDS, one.entry.load, remedy):
                case Returned(found):
                    self._offers[one] = read_offer(one.kind, one.name, found, source)
                case Failed(error):
                    message = f"plugin {one.name} cannot be imported, {source}: {_named(error)}"
                    raise wrong_name(message) from error
        return self._offers[one]

    def _find(self, kind: Kind, name: str) -> Installed:
        found = [one for one in self.installed if one.kind is kind and one.name == name]
        if name not in self.allowed and found:
            raise wrong_name(
                f"{kind.value} plugin {name!r} is installed ({found[0].distribution} {found[0].version}) but "
                "not allowed; add it to PAYMENT_WORKER_PLUGINS if it may decide about payments"
            )
        if len(found) > 1:
            owners = listing(f"{one.distribution} {one.version}" for one in found)
            raise wrong_name(f"{kind.value} plugin {name!r} is offered more than once, by {owners}")
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
        raise wrong_name(f"unknown {kind.value} plugin {name!r}{hint} ({known})")


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
