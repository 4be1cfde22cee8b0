"""Decimal text to integer units and back, strictly and exactly; the only forms an amount has on our wire."""

from collections.abc import Callable
from functools import partial
from typing import Final

from worker.errors import AmountNotText, AmountOverflow, InvalidAmount, TooManyDigits

MAX_SCALE: Final = 12
"""Most digits after the point: enough for micro-payments, and 9 million whole units still fit in 64 bits."""

MAX_UNITS: Final = 2**63 - 1
"""Largest units of an amount, at its scale."""

MIN_UNITS: Final = -(2**63)
"""Smallest units of an amount, at its scale."""

POWERS: Final[tuple[int, ...]] = tuple(10**n for n in range(2 * MAX_SCALE + 3))
"""Powers of ten by exponent, as far as amounts times percentages need them."""

SURE_CHARACTERS: Final = MAX_SCALE + 2
"""Longest text that cannot break the bounds, whatever its digits are."""

_MAX_DIGITS: Final = 19 + MAX_SCALE
_LOOKED_UP_DECIMALS: Final = 3
_SHOWN_CHARACTERS: Final = 40


def shown(value: object) -> str:
    """Return a value as error messages show it: quoted, and cut when it is long."""
    text = repr(value[: _SHOWN_CHARACTERS + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARACTERS + 2 else f"{text[:_SHOWN_CHARACTERS]}..."


def require_integer(value: object, what: str) -> None:
    """Raise ``InvalidAmount`` for anything but an ``int``: a ``bool`` is none, a ``float`` never exact."""
    if type(value) is not int:
        raise InvalidAmount(
            f"{what} {shown(value)} is of type {type(value).__name__}: only int is exact here"
        )


def parse_units(text: str) -> tuple[int, int]:
    """Return (units, scale) of a plain decimal: ``"12.30"`` is ``(1230, 2)``.

    ASCII digits, a point with digits on both sides, a leading minus; no plus, exponent, separator, blank,
    leading zero or negative zero. Raises ``AmountNotText`` for anything but ``str``, ``InvalidAmount`` for
    another form, ``TooManyDigits`` over 12 decimals and ``AmountOverflow`` outside signed 64 bits.
    """
    if type(text) is str and len(text) <= SURE_CHARACTERS:
        whole, point, fraction = text.partition(".")
        digits = whole + fraction
        # text of digits alone is at least "1" unless it is empty or begins with a zero
        if (
            digits.isdigit()
            and digits.isascii()
            and (whole >= "1" or whole == "0")
            and (fraction or not point)
        ):
            return int(digits), len(fraction)
    return _parse_slowly(text)


def _parse_slowly(text: str) -> tuple[int, int]:
    """Read what is negative or near the bounds, and say what is wrong with the rest."""
    if type(text) is not str:
        raise AmountNotText(
            f'amount {shown(text)} is of type {type(text).__name__}: write it as text, such as "12.34"'
        )
    body = text[1:] if text[:1] == "-" else text
    whole, point, fraction = body.partition(".")
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii() and whole) or (point and not fraction):
        raise InvalidAmount(f'amount {shown(text)}: expected a plain decimal, such as "12.34" or "-0.5"')
    if whole[0] == "0" and len(whole) > 1:
        raise InvalidAmount(f"amount {shown(text)}: it must not begin with a zero that means nothing")
    scale = len(fraction)
    if scale > MAX_SCALE:
        raise TooManyDigits(f"amount {shown(text)}: {scale} digits after the point, {MAX_SCALE} at most")
    if len(digits) > _MAX_DIGITS:
        raise _overflow(shown(text), scale)
    units = int(digits)
    if body is not text:
        if not units:
            raise InvalidAmount(f"amount {shown(text)}: zero has no sign")
        units = -units
    if not MIN_UNITS <= units <= MAX_UNITS:
        raise _overflow(shown(text), scale)
    return units, scale


def format_units(units: int, scale: int) -> str:
    """Return units at a scale as plain decimal text: ``(1230, 2)`` is ``"12.30"``; exact at any size.

    Raises ``InvalidAmount`` for units or a scale that are not ``int``, or a scale below zero.
    """
    if type(units) is not int or type(scale) is not int or scale < 0:
        require_integer(units, "units")
        require_integer(scale, "scale")
        raise InvalidAmount(f"scale {scale}: expected zero or more digits after the point")
    digits = str(units)
    if not scale:
        return digits
    if units < 0:
        digits = digits[1:].zfill(scale + 1)
        return f"-{digits[:-scale]}.{digits[-scale:]}"
    if len(digits) <= scale:
        digits = digits.zfill(scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def formatter(scale: int) -> Callable[[int], str]:
    """Return ``format_units`` for one scale, made once and called often."""
    require_integer(scale, "scale")
    if not scale:
        return partial(format_units, scale=0)
    if scale > _LOOKED_UP_DECIMALS:
        return partial(format_units, scale=scale)
    one = POWERS[scale]
    decimals = tuple(f".{part:0{scale}d}" for part in range(one))

    def write(units: int) -> str:
        if type(units) is int and units >= 0:
            return f"{units // one}{decimals[units % one]}"
        return format_units(units, scale)

    return write


def checked(units: int, scale: int) -> int:
    """Return units that fit in signed 64 bits; raises ``AmountOverflow`` for others."""
    if MIN_UNITS <= units <= MAX_UNITS:
        return units
    raise _overflow(format_units(units, scale), scale)


def _overflow(value: str, scale: int) -> AmountOverflow:
    largest = format_units(MAX_UNITS, scale)
    return AmountOverflow(
        f"amount {value} does not fit in 64 bits: at {scale} decimals {largest} is the most"
    )
