"""How a dispatch's fees were rounded: as the journal has it, or worked out again by the same rules. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from schemas.dispatch import DISPATCH_ONLY_FIELDS
from schemas.payment import Payment
from worker.bookkeeping.amounts import worth
from worker.errors import WorkerError
from worker.journal.books import Standing
from worker.journal.times import moment
from worker.money import Amount, CompiledSchedule, parse_units
from worker.routing import NO_ANSWERS, PluginNeeded, Routed, RuleTable
from worker.routing.alone import explain_alone

Steps = Sequence[Mapping[str, str]]


def kept_steps(standing: Standing) -> Steps:
    """Return the steps that the journal keeps of fees rounded by carry; none if they are of other fees."""
    steps: Steps = orjson.loads(standing.trail) if standing.trail else ()
    return steps if _make(steps, fees_of(standing)) else ()


def steps_by_rules(standing: Standing, table: RuleTable) -> Steps:
    """Return the steps by a rule table; none where it is another version, or does not make these fees."""
    if standing.body is None or table.version != standing.rules_version:
        return ()
    try:
        document = orjson.loads(standing.body)
        own = {name: value for name, value in document.items() if name not in DISPATCH_ONLY_FIELDS}
        payment = Payment.__pydantic_validator__.validate_python(own)
        units, scale = parse_units(payment.amount.value)
        decision = table.route(payment, moment(standing.created), NO_ANSWERS, worth(units, scale))
        if not isinstance(decision, Routed) or not isinstance(decision.fees, CompiledSchedule):
            return ()
        amount = Amount(units, scale, table.currencies.lookup(payment.amount.currency))
        steps = [step.as_dict() for step in explain_alone(decision.fees, amount).trail]
    except (WorkerError, PluginNeeded, ValueError):
        return ()
    return steps if _make(steps, fees_of(standing)) else ()


def fees_of(standing: Standing) -> Sequence[dict[str, Any]]:
    """Return a dispatch's fees as its bytes have them; none where nothing is dispatched, or no dispatch."""
    try:
        fees: Sequence[dict[str, Any]] = orjson.loads(standing.body or b'{"fees":[]}')["fees"]
    except (ValueError, KeyError, TypeError):  # the audit tells of it
        return ()
    return fees


def _make(steps: Steps, fees: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last step of each fee makes that fee."""
    results = {step["step"].partition(" (")[0]: step["result"] for step in steps}
    return results == {fee["name"]: fee["amount"]["value"] for fee in fees}
