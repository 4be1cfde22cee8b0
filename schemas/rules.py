"""The rule file: what payment operations people write, as pydantic models and as a JSON Schema for editors.

Shape only. What names mean, which values a field may have and whether weights add up is checked when the
rules compile, because that needs the whole document.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from schemas.rule_conditions import COUNTRY, When, when_schema
from schemas.rule_words import (
    AccountName,
    AmountText,
    CountryRef,
    CurrencyCode,
    CurrencyRef,
    Decimal,
    ErrorCode,
    ExchangeName,
    GroupName,
    Name,
    PerCurrency,
    PluginName,
    RuleName,
    Scalar,
    StepName,
    TypeRef,
    Wait,
)


class Strict(BaseModel):
    """A part of the rule file: immutable, no conversions, unknown fields refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


class AmountBounds(Strict):
    """Amounts a processor takes; each bound applies to the payment's own currency unless it names one."""

    gt: AmountText | list[AmountText] | None = None
    gte: AmountText | list[AmountText] | None = None
    lt: AmountText | list[AmountText] | None = None
    lte: AmountText | list[AmountText] | None = None


class Tier(Strict):
    """One step of a tiered fee: amounts up to ``up_to`` (every amount when it is absent)."""

    up_to: PerCurrency | None = None
    percent: Decimal = "0"
    fixed: PerCurrency | None = Field(default=None, description="due once the tier is reached")


class FeeComponent(Strict):
    """One item of a fee schedule: a percentage plus a fixed part, tiers, a fee per item, or a tax on fees."""

    name: Name
    percent: Decimal | None = None
    fixed: PerCurrency | None = None
    minimum: PerCurrency | None = None
    maximum: PerCurrency | None = None
    per_item: PerCurrency | None = None
    graduated: list[Tier] | None = Field(default=None, description="each slice of the amount at its own tier")
    volume: list[Tier] | None = Field(default=None, description="the whole amount at the tier it falls into")
    base: Literal["amount", "remaining"] = Field(
        default="amount", description="what percentages look at: the amount, or what earlier fees left of it"
    )
    tax: Decimal | None = Field(default=None, description="percent of the fees named by `of`")
    of: list[Name] | None = Field(default=None, description="fees that are taxed; all earlier ones if absent")


RoundingName = Literal["half_even", "half_up", "half_down", "up", "down", "ceiling", "floor"]
FeeRoundingName = Literal["half_even", "half_up", "half_down", "up", "down", "ceiling", "floor", "carry"]


PluginUse = Annotated[
    dict[PluginName, dict[str, Any]],
    Field(
        min_length=1,
        max_length=1,
        examples=[{"night_surcharge": {"percent": "1"}}],
        description="the name of an allowed plugin, with its arguments: {name: {argument: value}}",
    ),
]


class FeeScheduleSpec(Strict):
    """A named fee schedule: components that apply in the order written, or a plugin that says the fees."""

    description: str | None = None
    mode: Literal["inclusive", "exclusive"] = "inclusive"
    rounding: FeeRoundingName = "half_even"
    when_fee_exceeds: Literal["error", "clamp"] = "error"
    currencies: list[CurrencyRef] | None = None
    components: Annotated[list[FeeComponent], Field(min_length=1)] | None = None
    plugin: PluginUse | None = Field(default=None, description="instead of components")


class Health(Strict):
    """When a processor counts as unwell; the worker's circuit breaker reads these thresholds."""

    failure_percent: Decimal = "50"
    minimum_payments: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    open_seconds: Annotated[int, Field(ge=1, le=86_400)] = 30


class BatchSpec(Strict):
    """How many dispatches may go to a processor in one message, and how long one may wait for others."""

    max_payments: Annotated[int, Field(ge=2, le=1000)] = 100
    max_wait: Wait = "5ms"


class ProcessorSpec(Strict):
    """A payment processor: where its dispatches go and what it can take. Absent means anything."""

    description: str | None = None
    exchange: ExchangeName | None = None
    enabled: bool = True
    types: list[TypeRef] | None = None
    currencies: list[CurrencyRef] | None = None
    countries: list[CountryRef] | None = None
    amount: AmountBounds | None = None
    exponents: dict[CurrencyCode, Annotated[int, Field(ge=0, le=12)]] = Field(default_factory=dict)
    cost: FeeScheduleSpec | Name | None = Field(
        default=None, description="what this processor charges us: a schedule, or the name of one under fees"
    )
    health: Health | None = None
    batch: BatchSpec | None = Field(
        default=None, description="dispatches travel as NDJSON, one a line; absent: each in its own message"
    )


class Share(Strict):
    """One account's part of the net: a percentage, or the rest."""

    account: AccountName
    percent: Decimal | None = None
    rest: Literal[True] | None = None


class RouteSettings(Strict):
    """What a route says beside the processor; each is optional and falls back to ``route_defaults``."""

    fees: Name | None = Field(default=None, description="a schedule under fees; `none` for no fees")
    accounts: list[Share] | None = Field(default=None, description="how the net is split between accounts")
    settlement_currency: CurrencyCode | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    expires_after_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None


class ToRoute(RouteSettings):
    """One processor, then its fallbacks in order."""

    to: Name
    fallback: list[Name] = Field(default_factory=list)


class SplitRoute(RouteSettings):
    """Processors by weight in percent, chosen by a hash of the payment id and the rule's name."""

    split: Annotated[dict[Name, Decimal], Field(min_length=1)]
    fallback: list[Name] = Field(default_factory=list)


class LeastCostRoute(RouteSettings):
    """The processor that charges least for this payment, then the next cheapest; ties by order."""

    least_cost: Annotated[list[Name], Field(min_length=1)]
    fallback: list[Name] = Field(default_factory=list)


class Rejection(Strict):
    """Why a payment is refused, for machines and for people."""

    code: ErrorCode
    reason: str | None = None


class RejectRoute(Strict):
    """The payment is dead-lettered with this code."""

    reject: Rejection


class HoldRoute(Strict):
    """The payment is dead-lettered for a person to look at."""

    hold: Annotated[str, Field(min_length=1, max_length=500)]


ROUTE_KINDS: Final = ("to", "split", "least_cost", "reject", "hold")


def _route_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((kind for kind in ROUTE_KINDS if kind in value), None)
    return None


Route = Annotated[
    Annotated[ToRoute, Tag("to")]
    | Annotated[SplitRoute, Tag("split")]
    | Annotated[LeastCostRoute, Tag("least_cost")]
    | Annotated[RejectRoute, Tag("reject")]
    | Annotated[HoldRoute, Tag("hold")],
    Discriminator(
        _route_kind,
        custom_error_type="route_kind",
        custom_error_message="a route is a mapping with one of: to, split, least_cost, reject, hold",
    ),
]


class RuleSpec(Strict):
    """One rule: the first whose conditions hold decides."""

    name: RuleName
    description: str | None = None
    enabled: bool = True
    when: When
    route: Route


class StepSpec(Strict):
    """A plugin that looks at payments before the rules: it lets them pass, adds to them, or stops them."""

    name: StepName
    description: str | None = None
    enabled: bool = True
    when: When = Field(default=When({}), description="which payments it looks at; all if absent")
    plugin: PluginUse


class RatesSpec(Strict):
    """Where exchange rates come from, for routes with a ``settlement_currency`` other than the payment's."""

    plugin: PluginUse
    max_age_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    markup_basis_points: Annotated[int, Field(ge=0, le=9_999)] = 0
    rounding: RoundingName = "half_even"


class UnitSpec(Strict):
    """A unit that ISO 4217 does not list, such as in-game coins."""

    exponent: Annotated[int, Field(ge=0, le=12, description="digits after the point")]
    name: str = ""


class RuleDocument(Strict):
    """The whole rule table, after files and overlays are merged."""

    version: Literal[1]
    units: dict[CurrencyCode, UnitSpec] = Field(
        default_factory=dict, description="currencies of your own, such as in-game coins"
    )
    include: list[str] = Field(default_factory=list, description="files read before this one")
    groups: dict[GroupName, Annotated[list[Scalar], Field(min_length=1)]] = Field(default_factory=dict)
    processors: dict[Name, ProcessorSpec] = Field(default_factory=dict)
    fees: dict[Name, FeeScheduleSpec] = Field(default_factory=dict)
    rates: RatesSpec | None = None
    steps: list[StepSpec] = Field(default_factory=list, description="plugins asked before the rules")
    route_defaults: RouteSettings | None = None
    rules: list[RuleSpec] = Field(default_factory=list)
    default: Route

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The JSON Schema of one file: conditions spelled out; `default` may stand in another file."""
        schema = super().model_json_schema(*args, **kwargs)
        schema["$defs"] |= {"When": when_schema(), "Country": COUNTRY}
        lists = schema["$defs"]["ProcessorSpec"]["properties"]["countries"]["anyOf"]
        lists[0]["items"] = {"$ref": "#/$defs/Country"}
        schema["required"] = ["version"]
        return schema
