"""Exact money: currencies, two kinds of amount, rounding, fees, allocation and exchange, in integers only."""

from worker.money.allocation import REST, Allocated, Share, Split, allocate
from worker.money.amount import Amount
from worker.money.carry import Carry
from worker.money.charge import Charge, CompiledSchedule, Fee
from worker.money.currency import ISO_4217, Currency, CurrencyKind, CurrencyRegistry, Withdrawn
from worker.money.fees import (
    FeeBase,
    FeeComponent,
    FeeMode,
    FeeSchedule,
    FixedTerm,
    PercentTerm,
    PerItemTerm,
    Prices,
    TaxComponent,
    Tier,
    TieredTerm,
    TierKind,
    WhenFeeExceeds,
)
from worker.money.gateways import (
    ADYEN,
    ISO_MINOR_UNITS,
    STRIPE_CHARGES,
    STRIPE_PAYOUTS,
    MinorUnit,
    MinorUnits,
)
from worker.money.percent import Percent
from worker.money.rate import Exchange, Quote, Rate, RateBook
from worker.money.rounding import Rounding, divide, rescale
from worker.money.settled import Money, Rounded, money_reader, settle, settle_carrying
from worker.money.straight import ChargedUnits
from worker.money.text import MAX_SCALE, MAX_UNITS, MIN_UNITS, format_units, formatter, parse_units
from worker.money.trail import RoundingStep, Rule
from worker.money.wire import (
    GoogleMoney,
    from_google_money,
    from_iso_20022,
    to_google_money,
    to_iso_20022,
)

__all__ = [
    "ADYEN",
    "ISO_4217",
    "ISO_MINOR_UNITS",
    "MAX_SCALE",
    "MAX_UNITS",
    "MIN_UNITS",
    "REST",
    "STRIPE_CHARGES",
    "STRIPE_PAYOUTS",
    "Allocated",
    "Amount",
    "Carry",
    "Charge",
    "ChargedUnits",
    "CompiledSchedule",
    "Currency",
    "CurrencyKind",
    "CurrencyRegistry",
    "Exchange",
    "Fee",
    "FeeBase",
    "FeeComponent",
    "FeeMode",
    "FeeSchedule",
    "FixedTerm",
    "GoogleMoney",
    "MinorUnit",
    "MinorUnits",
    "Money",
    "PerItemTerm",
    "Percent",
    "PercentTerm",
    "Prices",
    "Quote",
    "Rate",
    "RateBook",
    "Rounded",
    "Rounding",
    "RoundingStep",
    "Rule",
    "Share",
    "Split",
    "TaxComponent",
    "Tier",
    "TierKind",
    "TieredTerm",
    "WhenFeeExceeds",
    "Withdrawn",
    "allocate",
    "divide",
    "format_units",
    "formatter",
    "from_google_money",
    "from_iso_20022",
    "money_reader",
    "parse_units",
    "rescale",
    "settle",
    "settle_carrying",
    "to_google_money",
    "to_iso_20022",
]
