"""What the rule table says about one payment: a closed union, matched with ``assert_never``."""

from dataclasses import dataclass, field

from worker.money import CompiledSchedule
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.processors import Processor


@dataclass(frozen=True, slots=True)
class Skipped:
    """A processor that the route names and that cannot take this payment."""

    processor: str
    reason: str


@dataclass(frozen=True, slots=True)
class AccountShare:
    """One account's part of the net, as an exact decimal percentage; None is the rest."""

    account: str
    percent: str | None


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What a route says beside the processor; None is unsaid."""

    accounts: tuple[AccountShare, ...] = ()
    settlement_currency: str | None = None
    priority: int | None = None
    expires_after_seconds: int | None = None


NO_SETTINGS = RouteSettings()


@dataclass(frozen=True, slots=True)
class Routed:
    """The payment goes to the first of these processors that takes it; all of them accept it by the rules."""

    rule: str
    candidates: tuple[Processor, ...]
    fees: CompiledSchedule | PluginSchedule | None = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    settings: RouteSettings = NO_SETTINGS


@dataclass(frozen=True, slots=True)
class Rejected:
    """The payment is dead-lettered with this code: the rules refuse it, or nothing can take it."""

    rule: str
    code: str
    reason: str
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """The payment is dead-lettered for a person to look at."""

    rule: str
    reason: str


Decision = Routed | Rejected | Held
