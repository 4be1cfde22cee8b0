"""Rounding modes: how an exact fraction becomes a whole number of units."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from worker.errors import InvalidAmount, InvalidMoneyRule
from worker.money.text import require_integer, shown


class Rounding(StrEnum):
    """A named rounding mode; ``carry`` keeps each remainder for the next and needs an accumulator."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    UP = "up"
    DOWN = "down"
    CEILING = "ceiling"
    FLOOR = "floor"
    CARRY = "carry"

    @classmethod
    def named(cls, name: str) -> "Rounding":
        """Return the mode of a name; raises ``InvalidMoneyRule`` with the nearest one."""
        names = [mode.value for mode in cls]
        if name in names:
            return cls(name)
        near = get_close_matches(str(name), names)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
        raise InvalidMoneyRule(f"rounding {shown(name)}: {hint}")


Divider = Callable[[int, int], int]
"""Numerator and positive denominator to the rounded quotient."""


def half_even(numerator: int, denominator: int) -> int:
    """Divide, to the nearest; ties to the even neighbour."""
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder + remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def half_up(numerator: int, denominator: int) -> int:
    """Divide, to the nearest; ties away from zero."""
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder + remainder
    return quotient + 1 if twice > denominator or (twice == denominator and quotient >= 0) else quotient


def half_down(numerator: int, denominator: int) -> int:
    """Divide, to the nearest; ties towards zero."""
    quotient, remainder = divmod(numerator, denominator)
    twice = remainder + remainder
    return quotient + 1 if twice > denominator or (twice == denominator and quotient < 0) else quotient


def up(numerator: int, denominator: int) -> int:
    """Divide, away from zero."""
    return -(-numerator // denominator) if numerator > 0 else numerator // denominator


def down(numerator: int, denominator: int) -> int:
    """Divide, towards zero."""
    return numerator // denominator if numerator > 0 else -(-numerator // denominator)


def ceiling(numerator: int, denominator: int) -> int:
    """Divide, towards positive infinity."""
    return -(-numerator // denominator)


def floor(numerator: int, denominator: int) -> int:
    """Divide, towards negative infinity."""
    return numerator // denominator


def _needs_remainder(_numerator: int, _denominator: int) -> int:
    raise InvalidMoneyRule(
        "rounding carry: it needs the remainder kept so far; name another mode where none is"
    )


_DIVIDERS: Final[Mapping[Rounding, Divider]] = MappingProxyType(
    {
        Rounding.HALF_EVEN: half_even,
        Rounding.HALF_UP: half_up,
        Rounding.HALF_DOWN: half_down,
        Rounding.UP: up,
        Rounding.DOWN: down,
        Rounding.CEILING: ceiling,
        Rounding.FLOOR: floor,
        Rounding.CARRY: _needs_remainder,
    }
)


def divider(mode: Rounding) -> Divider:
    """Return the division of a mode; that of ``carry`` raises, since it needs an accumulator.

    Raises ``InvalidMoneyRule`` for what is no mode.
    """
    try:
        return _DIVIDERS[mode]
    except (KeyError, TypeError):
        raise InvalidMoneyRule(f"rounding {shown(mode)}: expected a Rounding") from None


def divide(numerator: int, denominator: int, mode: Rounding) -> int:
    """Return numerator by denominator as an integer, rounded by a mode; the denominator is positive.

    Raises ``InvalidMoneyRule`` for what is no mode, and for ``carry``, which needs the remainder kept so
    far: see ``Carry``. Raises ``InvalidAmount`` for what is not an ``int``, and a denominator not above zero.
    """
    require_fraction(numerator, denominator)
    return divider(mode)(numerator, denominator)


def require_fraction(numerator: int, denominator: int) -> None:
    """Raise ``InvalidAmount`` for what is not an ``int``, and a denominator that is not above zero."""
    if type(numerator) is not int or type(denominator) is not int or denominator < 1:
        require_integer(numerator, "numerator")
        require_integer(denominator, "denominator")
        raise InvalidAmount(f"denominator {denominator}: expected above zero")


def rescale(units: int, scale: int, to_scale: int, mode: Rounding) -> int:
    """Return units at another scale: exact when it is larger, rounded by a mode when it is smaller.

    Raises ``InvalidAmount`` for what is not an ``int``, and as ``divide`` does for the mode where it rounds.
    """
    if type(units) is not int or type(scale) is not int or type(to_scale) is not int:
        require_integer(units, "units")
        require_integer(scale, "scale")
        require_integer(to_scale, "scale")
    fewer = scale - to_scale
    if fewer <= 0:
        return units * _power(-fewer)
    return divider(mode)(units, _power(fewer))


def _power(exponent: int) -> int:
    power: int = 10**exponent
    return power
