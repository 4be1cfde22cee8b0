"""``route:`` as it is written, turned into an action; names, weights and shares are checked here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import assert_never

from schemas.rules import HoldRoute, LeastCostRoute, RejectRoute, Route, SplitRoute, ToRoute
from schemas.rules import RouteSettings as SettingsSpec
from worker.money import parse_units
from worker.routing.actions import Action, Hold, Reject, Send
from worker.routing.decision import NO_SETTINGS, AccountShare, Held, Rejected, RouteSettings
from worker.routing.fees import FeeBook
from worker.routing.names import Names
from worker.routing.plugin_fees import PluginFees
from worker.routing.problems import Path
from worker.routing.processors import Processor
from worker.routing.uses import Uses

NO_FEES = "none"
PERCENT_SCALE = 12
WHOLE = 100 * 10**PERCENT_SCALE


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What routes refer to. A name that maps to None is defined, but wrongly."""

    names: Names
    processors: Mapping[str, Processor | None]
    fees: Mapping[str, FeeBook | PluginFees | None]
    defaults: SettingsSpec
    uses: Uses


def build_action(rule: str, route: Route, path: Path, around: Surroundings) -> Action:
    """Return what the route does; problems are collected in the surroundings' names."""
    orders: tuple[tuple[Processor, ...], ...]
    ends: tuple[int, ...] = (1,)
    cheapest = 0
    match route:
        case RejectRoute(reject=reject):
            reason = reject.reason or f"rule {rule} refuses it"
            return Reject(Rejected(rule, reject.code, reason))
        case HoldRoute(hold=reason):
            return Hold(Held(rule, reason))
        case ToRoute():
            first = _processors([route.to], (*path, "to"), around, listed=False)
            orders = (first,)
        case SplitRoute():
            orders, ends = _arms(route.split, (*path, "split"), around)
        case LeastCostRoute():
            competing = _processors(route.least_cost, (*path, "least_cost"), around)
            _check_costs(competing, route.least_cost, (*path, "least_cost"), around)
            orders, cheapest = (competing,), len(competing)
        case _:
            assert_never(route)
    fallback = _processors(route.fallback, (*path, "fallback"), around)
    _check_repeats(route, (*path, "fallback"), around)
    fees, settings = _settings(route, path, around)
    lists = tuple((*order, *(one for one in fallback if one not in order)) for order in orders)
    return Send(rule, lists, ends, cheapest, fees, settings)


def check_defaults(around: Surroundings) -> None:
    """Report what is wrong with ``route_defaults``, once, rather than at every route."""
    _fee_book(around.defaults.fees, ("route_defaults", "fees"), around)
    _accounts(around.defaults, ("route_defaults",), around)
    _settlement(around.defaults, ("route_defaults",), around)


def _processors(
    names: Sequence[str], path: Path, around: Surroundings, *, listed: bool = True
) -> tuple[Processor, ...]:
    found = []
    for i, name in enumerate(names):
        processor = around.names.known(name, around.processors, "processor", (*path, i) if listed else path)
        if processor is not None:
            found.append(processor)
    return tuple(found)


def _arms(
    weights: Mapping[str, str], path: Path, around: Surroundings
) -> tuple[tuple[tuple[Processor, ...], ...], tuple[int, ...]]:
    """Return one candidate list for each arm with a weight, and the arms' cumulative weights."""
    arms: list[tuple[Processor, int]] = []
    for name, text in weights.items():
        processor = around.names.known(name, around.processors, "processor", (*path, name), on_key=True)
        units, scale = parse_units(text)
        weight = units * 10 ** (PERCENT_SCALE - scale)
        if processor is not None and weight:
            arms.append((processor, weight))
    total = _hundred(list(weights.values()))
    if total is not None:
        around.names.problems.add(path, f"the weights sum to {total} %, not to 100 %")
    everyone = [processor for processor, _ in arms]
    orders = tuple((one, *(other for other in everyone if other is not one)) for one in everyone)
    return orders, tuple(accumulate(weight for _, weight in arms))


def _hundred(percents: Sequence[str]) -> str | None:
    """Return the sum of percentages as text unless it is 100."""
    parsed = [parse_units(text) for text in percents]
    total = sum(units * 10 ** (PERCENT_SCALE - scale) for units, scale in parsed)
    if total == WHOLE:
        return None
    whole, fraction = divmod(total, 10**PERCENT_SCALE)
    digits = f"{fraction:0{PERCENT_SCALE}}".rstrip("0")
    return f"{whole}{'.' if digits else ''}{digits}"


def _check_costs(found: Sequence[Processor], names: Sequence[str], path: Path, around: Surroundings) -> None:
    costed = {processor.name for processor in found if processor.cost is not None}
    stated = {processor.name for processor in found}
    for i, name in enumerate(names):
        if name in stated and name not in costed:
            message = f"processor {name} states no cost; give it `cost:` or route to it otherwise"
            around.names.problems.add((*path, i), message)
        if name in names[:i]:
            around.names.problems.add((*path, i), f"processor {name} is already in the list")


def _check_repeats(route: ToRoute | SplitRoute | LeastCostRoute, path: Path, around: Surroundings) -> None:
    match route:
        case ToRoute():
            seen = {route.to}
        case SplitRoute():
            seen = {name for name, weight in route.split.items() if parse_units(weight)[0]}
        case LeastCostRoute():
            seen = set(route.least_cost)
    for i, name in enumerate(route.fallback):
        if name in seen:
            around.names.problems.add((*path, i), f"processor {name} is already a candidate of this route")
        seen.add(name)


def _settings(
    spec: SettingsSpec, path: Path, around: Surroundings
) -> tuple[FeeBook | PluginFees | None, RouteSettings]:
    defaults = around.defaults
    fees = _fee_book(spec.fees, (*path, "fees"), around)
    if spec.fees is None and defaults.fees not in (None, NO_FEES):
        fees = around.fees.get(str(defaults.fees))
    accounts = _accounts(spec, path, around)
    settlement = _settlement(spec, path, around)
    seconds = spec.expires_after_seconds
    settings = RouteSettings(
        accounts=accounts or _shares(defaults),
        settlement_currency=settlement or defaults.settlement_currency,
        priority=defaults.priority if spec.priority is None else spec.priority,
        expires_after_seconds=defaults.expires_after_seconds if seconds is None else seconds,
    )
    return fees, NO_SETTINGS if settings == NO_SETTINGS else settings


def _fee_book(name: str | None, path: Path, around: Surroundings) -> FeeBook | PluginFees | None:
    if name is None or name == NO_FEES:
        return None
    around.names.known(name, around.fees, "fee schedule", path)
    return around.fees.get(name)


def _settlement(spec: SettingsSpec, path: Path, around: Surroundings) -> str | None:
    if spec.settlement_currency is not None:
        around.names.check_value("currency", spec.settlement_currency, (*path, "settlement_currency"))
    return spec.settlement_currency


def _shares(spec: SettingsSpec) -> tuple[AccountShare, ...]:
    return tuple(AccountShare(share.account, share.percent) for share in spec.accounts or ())


def _accounts(spec: SettingsSpec, path: Path, around: Surroundings) -> tuple[AccountShare, ...]:
    if spec.accounts is None:
        return ()
    shares, where = spec.accounts, (*path, "accounts")
    problems = around.names.problems
    rests = 0
    for i, share in enumerate(shares):
        if (share.percent is None) == (share.rest is None):
            problems.add((*where, i), f"account {share.account} needs either `percent` or `rest: true`")
        if any(share.account == earlier.account for earlier in shares[:i]):
            problems.add((*where, i, "account"), f"account {share.account} is already in the list")
        rests += share.rest is not None
    if rests > 1:
        problems.add(where, "only one account can take the rest")
    total = _hundred([share.percent for share in shares if share.percent is not None])
    over = total is not None and parse_units(total)[0] > 100 * 10 ** parse_units(total)[1]
    if shares and total is not None and (over or not rests):
        problems.add(where, f"the shares sum to {total} %; make them 100 %, or give one account `rest: true`")
    return _shares(spec)
