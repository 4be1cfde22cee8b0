"""Dead letters, for the people who have to deal with them: read, choose, count, export, send back, drop."""

from worker.dead_letters.advice import advice_for
from worker.dead_letters.letter import DeadLetter, read_letter
from worker.dead_letters.select import Selection, parse_moment
from worker.dead_letters.totals import Totals, plain_amount

__all__ = [
    "DeadLetter",
    "Selection",
    "Totals",
    "advice_for",
    "parse_moment",
    "plain_amount",
    "read_letter",
]
