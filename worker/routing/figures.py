"""Sums of money as text, at the currency's own decimals or as many as they need."""

from worker.money import CurrencyRegistry
from worker.routing.fields import AMOUNT_SCALE, POWERS


def amount_text(units: int, currency: str, registry: CurrencyRegistry) -> str:
    """Return units of 10^-12 as exact text with at least the currency's decimals."""
    exponent = _exponent(currency, registry)
    whole, fraction = divmod(abs(units), POWERS[AMOUNT_SCALE])
    digits = f"{fraction:0{AMOUNT_SCALE}}".rstrip("0").ljust(exponent, "0")
    return f"{'-' if units < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def minor_units_text(minor: int, currency: str, registry: CurrencyRegistry, *, signed: bool = False) -> str:
    """Return minor units of a currency as text; ``signed`` puts a plus before gains."""
    exponent = _exponent(currency, registry)
    whole, fraction = divmod(abs(minor), POWERS[exponent])
    sign = "-" if minor < 0 else "+" if signed and minor > 0 else ""
    return f"{sign}{whole}" + (f".{fraction:0{exponent}}" if exponent else "")


def _exponent(currency: str, registry: CurrencyRegistry) -> int:
    return registry.lookup(currency).exponent if currency in registry else 0
