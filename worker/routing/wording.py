"""Complaints of pydantic about a rule file in the words of people who write one."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel

from schemas import rule_words as word
from schemas.payment import Rfc3339
from schemas.rules import ROUTE_KINDS
from worker.routing.problems import Path, listing, nearest
from worker.routing.source import Leaf, Listing, Node, Table, find

MOST_SHOWN: Final = 60
PATTERNS: Final[dict[object, str]] = {
    get_args(annotated)[1].metadata[0].pattern: words
    for annotated, words in (
        (
            word.Decimal,
            "a decimal in quotes, such as '2.9', without a sign and with at most 12 decimals",
        ),
        (word.Name, "a name of up to 64 lowercase letters, digits, - and _"),
        (word.RuleName, "a name of up to 64 lowercase letters, digits, -, . and _"),
        (word.GroupName, "a name that starts with a lowercase letter: up to 64 letters, digits and _"),
        (word.StepName, "a name that starts with a lowercase letter: up to 32 letters, digits and _"),
        (word.ExchangeName, "the name of an exchange: up to 127 letters, digits, -, _, . and :"),
        (word.AccountName, "the name of an account: up to 128 visible ASCII characters, no spaces"),
        (word.Wait, "a time of 0ms to 999ms, such as 5ms"),
        (word.CurrencyCode, "a currency code, such as EUR"),
        (word.CurrencyRef, "a currency code such as EUR, or a group such as $majors"),
        (word.CountryRef, "a country code such as DE, or a group such as $eea"),
        (word.TypeRef, "a payment type such as card, or a group such as $instant"),
        (Rfc3339, "a date and time with an offset, such as 2026-01-31T09:00:00Z"),
        (word.AmountText, "an amount in quotes, such as '10' or '10.00 EUR'"),
    )
}
TYPES: Final = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
}


def wording(  # noqa: C901, PLR0911 - one for each kind of complaint
    root: Table, path: Path, models: set[type[BaseModel]], error: Mapping[str, Any], *, on_key: bool
) -> str:
    """Return what is wrong with the value or key at a path, what was expected and what was found."""
    node = find(root, path)
    kind, context = error["type"], error.get("ctx", {})
    if path[-1:] == ("plugin",) and kind in ("dict_type", "too_long", "too_short"):
        return "`plugin` names one plugin with its arguments: {name: {argument: value}}"
    match kind:
        case "missing":
            return f"`{path[-1]}` is missing"
        case "extra_forbidden":
            return _unknown_field(path, models)
        case "less_than_equal" | "greater_than_equal":
            bound = f"at most {context['le']}" if "le" in context else f"at least {context['ge']}"
            return f"expected {bound}, found {_described(node)}"
        case "too_short" | "string_too_short":
            return f"expected at least one {_member(node)}, found none"
        case "string_too_long":
            return f"expected at most {context['max_length']} characters, found {len(_value(node))}"
        case "string_pattern_mismatch":
            shown = path[-1] if on_key else _value(node)
            return f"{_shown(shown)} is not {PATTERNS[context['pattern']]}"
        case "literal_error":
            return _none_of(context["expected"], node)
        case "route_kind":
            keys = tuple(node.entries) if isinstance(node, Table) else ()
            hints = [hint for key in keys if (hint := nearest(key, ROUTE_KINDS))]
            return f"a route is a mapping with one of {listing(ROUTE_KINDS)}{hints[0] if hints else ''}"
        case _ if kind in TYPES:
            return _wrong_type(TYPES[kind], node)
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _unknown_field(path: Path, models: set[type[BaseModel]]) -> str:
    fields = {name for model in models for name in model.model_fields}
    if fields & set(ROUTE_KINDS) and path[-1] in ROUTE_KINDS:
        return f"a route is one of {listing(ROUTE_KINDS)}; `{path[-1]}` is a second one"
    hint = nearest(path[-1], fields)
    return f"unknown field {path[-1]!r}{hint} (fields here: {listing(sorted(fields), 30)})"


def _wrong_type(wanted: str, node: Node | None) -> str:
    value = _value(node)
    if wanted == "text" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"expected text, found the number {value}; write it in quotes: '{value}'"
    if wanted == "text" and isinstance(value, bool):
        return f"expected text, found the boolean {str(value).lower()}"
    plain = wanted == "a whole number" and isinstance(value, str) and value.removeprefix("-")
    if plain and plain.isascii() and plain.isdigit():
        return f"expected a whole number, found the text '{value}'; write it without quotes: {value}"
    return f"expected {wanted}, found {_described(node)}"


def _none_of(expected: str, node: Node | None) -> str:
    """Say what a value should have been; ``expected`` is a list such as ``'up', 'down' or 'floor'``."""
    texts = [text.strip().strip("'") for text in expected.replace(" or ", ",").split(",")]
    texts = ["true" if text == "True" else text for text in texts]
    value = _value(node)
    if isinstance(value, str) and value in texts:
        return f"expected {value} without quotes, found the text {value!r}"
    if len(texts) == 1:
        return f"expected {texts[0]}, found {_described(node)}"
    if isinstance(value, str):
        return f"{_shown(value)} is none of {listing(texts)}{nearest(value, texts)}"
    return f"expected one of {listing(texts)}, found {_described(node)}"


def _member(node: Node | None) -> str:
    return "character" if isinstance(node, Leaf) else "value" if isinstance(node, Listing) else "entry"


def _value(node: Node | None) -> Any:
    return node.value if isinstance(node, Leaf) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _described(node: Node | None) -> str:
    match node:
        case Table():
            return "a mapping"
        case Listing():
            return "a list"
        case Leaf(bool() as value):
            return str(value).lower()
        case Leaf(value) if value is not None:
            return _shown(value)
        case _:
            return "nothing"
