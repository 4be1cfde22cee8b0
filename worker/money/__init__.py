"""Exact money: currencies, two kinds of amount, rounding, fees, allocation and exchange, in integers only."""

from worker.money.amount import Amount, Money, Rounded
from worker.money.carry import Carry
from worker.money.charge import Charge, ChargedUnits, CompiledSchedule, Fee
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
from worker.money.percent import Percent
from worker.money.rounding import Rounding, divide, rescale
from worker.money.text import MAX_SCALE, MAX_UNITS, MIN_UNITS, format_units, parse_units
from worker.money.trail import RoundingStep

__all__ = [
    "ISO_4217",
    "MAX_SCALE",
    "MAX_UNITS",
    "MIN_UNITS",
    "Amount",
    "Carry",
    "Charge",
    "ChargedUnits",
    "CompiledSchedule",
    "Currency",
    "CurrencyKind",
    "CurrencyRegistry",
    "Fee",
    "FeeBase",
    "FeeComponent",
    "FeeMode",
    "FeeSchedule",
    "FixedTerm",
    "Money",
    "PerItemTerm",
    "Percent",
    "PercentTerm",
    "Prices",
    "Rounded",
    "Rounding",
    "RoundingStep",
    "TaxComponent",
    "Tier",
    "TierKind",
    "TieredTerm",
    "WhenFeeExceeds",
    "Withdrawn",
    "divide",
    "format_units",
    "parse_units",
    "rescale",
]
