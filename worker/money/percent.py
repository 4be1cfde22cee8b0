"""Percentages as exact decimals: never a binary fraction."""

from dataclasses import dataclass

from worker.errors import InvalidAmount, InvalidMoneyRule
from worker.money.text import MAX_SCALE, POWERS, format_units, parse_units, shown


@dataclass(frozen=True, slots=True)
class Percent:
    """A percentage from 0 to 100: ``units`` at ``scale`` decimals, so ``2.9 %`` is ``Percent(29, 1)``.

    Raises ``InvalidMoneyRule`` outside those bounds or over 12 decimals.
    """

    units: int
    scale: int = 0

    def __post_init__(self) -> None:
        if type(self.units) is not int or type(self.scale) is not int or not 0 <= self.scale <= MAX_SCALE:
            raise InvalidMoneyRule(
                f"percentage of {shown(self.units)} units at scale {shown(self.scale)}: expected integers, "
                f"the scale from 0 to {MAX_SCALE}"
            )
        if not 0 <= self.units <= 100 * POWERS[self.scale]:
            raise InvalidMoneyRule(f"percentage {self}: expected 0 to 100")

    @classmethod
    def parse(cls, text: str) -> "Percent":
        """Return the percentage of plain decimal text without a sign, such as ``"2.9"`` or ``"0.0125"``."""
        try:
            units, scale = parse_units(text)
        except InvalidAmount as error:
            raise InvalidMoneyRule(
                f'percentage {shown(text)}: expected plain decimal text, such as "2.9"'
            ) from error
        return cls(units, scale)

    @classmethod
    def of_basis_points(cls, points: int) -> "Percent":
        """Return a number of hundredths of a percent as a percentage."""
        return cls(points, 2)

    @property
    def per_1e14(self) -> int:
        """The factor times 10**14, which is an integer for every percentage."""
        return self.units * POWERS[MAX_SCALE - self.scale]

    def __str__(self) -> str:
        return format_units(self.units, self.scale)
