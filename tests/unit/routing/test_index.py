"""The index: what it remembers is bounded, and which rules it leaves to try."""

from unittest.mock import patch

from worker.routing import areas, index, lint
from worker.routing.index import bits


def rule(name: str, when: dict) -> dict:
    return {"name": name, "when": when, "route": {"to": "p"}}


def tried(table, payment) -> list[str]:
    units = int(payment.amount.value.partition(".")[0]) * 10**12
    return [one.rule.name for one in table.index.candidates(payment, units)]


def test_rules_of_other_values_are_not_tried(table_of, pay):
    """Only rules whose equality and amount conditions allow it are left, up to the first sure one."""
    table = table_of(
        rule("wallets", {"type": "wallet"}),
        rule("small", {"type": "card", "amount": {"lt": "5"}}),
        rule("pattern", {"type": "card", "customer_id": {"prefix": "x"}}),
        rule("germans", {"country": "DE"}),
        rule("cards", {"type": "card"}),
        rule("late", {"type": "card"}),
    )
    assert tried(table, pay()) == ["pattern", "cards"]
    assert tried(table, pay(country="DE")) == ["pattern", "germans"]
    assert tried(table, pay("4 EUR")) == ["small"]
    assert tried(table, pay(type="other")) == ["default"]


def test_a_varied_field_has_a_list_of_its_own(table_of, pay):
    """With many merchants named, each payment tries its merchant's rules and the general ones, in order."""
    special = [
        rule(f"m{i}", {"merchant_id": f"merchant-{i}", "customer_id": {"prefix": "x"}}) for i in range(60)
    ]
    table = table_of(rule("first", {"country": "DE"}), *special, rule("general", {"type": "card"}))
    assert table.index.wide is not None
    assert tried(table, pay(merchant_id="merchant-7")) == ["m7", "general"]
    assert tried(table, pay(merchant_id="merchant-7", country="DE")) == ["first"]
    assert tried(table, pay(merchant_id="unheard-of")) == ["general"]
    assert len(table.index._shapes) == 2


def test_a_merchant_with_many_rules_is_merged_once(table_of, pay):
    """The same list is given again for the same shape and merchant."""
    many = [rule(f"a{i}", {"merchant_id": "busy", "customer_id": {"prefix": f"x{i}"}}) for i in range(20)]
    others = [rule(f"b{i}", {"merchant_id": f"quiet-{i}"}) for i in range(40)]
    table = table_of(*many, *others)
    one = table.index.candidates(pay(merchant_id="busy"), 1)
    assert [entry.rule.name for entry in one] == [*(f"a{i}" for i in range(20)), "default"]
    assert table.index.candidates(pay(merchant_id="busy"), 1) is one


def test_values_nobody_names_share_a_shape(table_of, pay):
    """Customers without a rule of their own do not fill the memory."""
    table = table_of(rule("vip", {"customer_id": "c-1"}))
    for i in range(100):
        table.index.candidates(pay(customer_id=f"c-{i}"), 1)
    assert len(table.index._shapes) == 2


def test_the_memory_of_shapes_is_bounded(table_of, pay):
    """Shapes that leave many rules count for what they hold; beyond the limit the memory starts afresh."""
    patterns = [rule(f"r{i}", {"customer_id": {"prefix": f"x{i}"}}) for i in range(500)]
    table = table_of(*patterns, rule("cards", {"type": "card"}))
    with patch.object(index, "MEMORY_BYTES", 100_000):
        for i in range(200):
            table.index.candidates(pay(type=f"t{i}"), 1)
            assert table.index._held[0] <= 100_000
    assert 0 < len(table.index._shapes) < 20
    table.index.forget()
    assert table.index._held == [0]


def test_positions_of_bits():
    """A bit set's positions come lowest first."""
    assert bits(0) == []
    assert bits(0b1) == [0]
    assert bits(1 << 9 | 1 << 200 | 1 << 7) == [7, 9, 200]


def test_too_many_pieces_are_admitted(table_of):
    """Where exact answers would need too many pieces, the linter says that it cannot decide."""
    table = table_of(
        *[rule(f"r{i}", {"country": "DE", f"metadata.k{i}": True}) for i in range(6)], rule("late", {})
    )
    with patch.object(areas, "MAX_PIECES", 1):
        messages = [one.message for one in lint.lint(table) if one.code == "undecided"]
    assert any(one.startswith("whether rule late ever fires is not decided: ") for one in messages)
