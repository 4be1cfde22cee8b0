"""Sums over many payments, of one table and of two."""

from worker.routing.compare import Comparison
from worker.routing.figures import amount_text, minor_units_text
from worker.routing.simulate import Destination, Simulation, outcome_of

COST = {"components": [{"name": "c", "percent": "1", "fixed": {"EUR": "0.10"}}]}
FEES = {"f": {"components": [{"name": "fee", "percent": "2"}]}}


def one_rule(table_of, name: str = "p", **processors):
    return table_of(
        {"name": "all", "when": {"type": "card"}, "route": {"to": name, "fees": "f"}},
        processors={"p": {"cost": COST}, "q": {}, **processors},
        fees=FEES,
    )


def test_cells_add_up(table_of, pay, now):
    """Payments are counted by rule, destination and currency, money summed exactly."""
    simulation = Simulation(one_rule(table_of), now)
    simulation.add_all([pay("10.00 EUR"), pay("0.125 EUR"), pay("10.00 USD"), pay("5 EUR", type="wallet")])
    cells = {(rule, str(to), currency): sums for (rule, to, currency), sums in simulation.cells.items()}
    euros = cells["all", "p", "EUR"]
    assert (euros.payments, euros.amount, euros.fees, euros.cost) == (2, 10_125_000_000_000, 20, 30)
    dollars = cells["all", "p", "USD"]
    assert (dollars.uncosted, dollars.cost) == (1, 0)
    assert cells["default", "rejected: none_matched", "EUR"].payments == 1


def test_what_planning_refuses_is_counted_as_refused(table_of, pay, now):
    """Payments that never reach the rules have a destination of their own."""
    table = one_rule(table_of)
    assert outcome_of(table, pay("-1 EUR"), now).destination == Destination("refused", "amount_not_positive")
    assert outcome_of(table, pay("1 QQQ"), now).destination == Destination("refused", "unknown_currency")
    assert outcome_of(table, pay("1e5 EUR"), now).destination == Destination("refused", "invalid_amount")
    assert str(outcome_of(table, pay("0 EUR"), now).destination) == "refused: amount_not_positive"


def test_a_comparison_tells_moved_from_repriced(table_of, pay, now):
    """Another destination is a move, other fees at the same place a new price, the same of both nothing."""
    old = one_rule(table_of)
    moved = Comparison(old, one_rule(table_of, "q"), now)
    moved.add_all([pay("10.00 EUR"), pay("10.00 EUR", type="wallet")])
    assert (moved.payments, moved.moved, moved.repriced, moved.changed) == (2, 1, 0, True)
    ((key, flow),) = moved.moves()
    assert (str(key[0]), str(key[1]), flow.uncosted) == ("p", "q", 1)
    dearer = table_of(
        {"name": "all", "when": {"type": "card"}, "route": {"to": "p", "fees": "f"}},
        processors={"p": {"cost": COST}},
        fees={"f": {"components": [{"name": "fee", "percent": "3"}]}},
    )
    repriced = Comparison(old, dearer, now)
    repriced.add_all([pay("10.00 EUR")])
    assert (repriced.moved, repriced.repriced, repriced.changed) == (0, 1, True)
    same = Comparison(old, old, now)
    same.add_all([pay("10.00 EUR")])
    assert not same.changed
    assert same.moves() == []


def test_examples_of_a_flow_are_few(table_of, pay, now):
    """A flow keeps the first few payment ids and counts all."""
    comparison = Comparison(one_rule(table_of), one_rule(table_of, "q"), now)
    comparison.add_all(pay(payment_id=f"pay-{i}") for i in range(20))
    ((_, flow),) = comparison.moves()
    assert flow.payments == 20
    assert flow.examples == [f"pay-{i}" for i in range(5)]
    assert flow.rules == {("all", "all"): 20}


def test_figures_are_exact(table_of):
    """Sums are written with the currency's decimals, or as many as they need."""
    registry = table_of().currencies
    assert amount_text(12_340_000_000_000, "EUR", registry) == "12.34"
    assert amount_text(12_000_000_000_000, "EUR", registry) == "12.00"
    assert amount_text(125_000_000, "EUR", registry) == "0.000125"
    assert amount_text(12_000_000_000_000, "JPY", registry) == "12"
    assert amount_text(-1_500_000_000_000, "KWD", registry) == "-1.500"
    assert minor_units_text(-5, "EUR", registry) == "-0.05"
    assert minor_units_text(5, "EUR", registry, signed=True) == "+0.05"
    assert minor_units_text(0, "JPY", registry, signed=True) == "0"
