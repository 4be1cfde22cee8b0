"""Exchange rates by a plugin, for routes that settle in another currency than the payment's."""

from dataclasses import dataclass
from datetime import datetime

from schemas.rules import RatesSpec
from worker.money import Amount, Currency, Exchange, Rounding
from worker.routing.answers import read_rate
from worker.routing.questions import Answers, Kind, Question, Use, answer_to
from worker.routing.uses import Uses


@dataclass(frozen=True, slots=True)
class Rates:
    """Where rates come from, how old they may be, and what is taken off them."""

    use: Use
    max_age_seconds: int
    markup_basis_points: int
    rounding: Rounding

    def convert(self, amount: Amount, into: Currency, now: datetime, answers: Answers) -> Exchange:
        """Return an amount converted into another currency, with the rate and the exact remainder.

        Raises:
            PluginNeeded: the plugin has not answered yet.
            PluginFailed: its answer is no rate of this pair.
            StaleRate: the rate is older than allowed, or from the future.
        """
        base = amount.currency
        question = Question(self.use, (base.code, into.code), (base, into, now))
        rate = read_rate(self.use, answer_to(question, answers), base, into)
        rate = rate.fresh(int(now.timestamp()), self.max_age_seconds)
        if self.markup_basis_points:
            rate = rate.with_markup(self.markup_basis_points)
        return rate.convert(amount, self.rounding)


def build_rates(spec: RatesSpec | None, uses: Uses) -> Rates | None:
    """Return where rates come from, or None where the document does not say."""
    if spec is None:
        return None
    for use in uses.read(Kind.RATES, spec.plugin, ("rates", "plugin")):
        return Rates(use, spec.max_age_seconds, spec.markup_basis_points, Rounding(spec.rounding))
    return None
