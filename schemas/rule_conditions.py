"""Conditions of the rule file: free in shape here, spelled out in the JSON Schema that editors complete by.

What a condition means is read when the rules compile.
"""

from typing import Any, Final

from pydantic import ConfigDict, RootModel

from schemas.iso3166 import COUNTRY_CODES

TEXT_FIELDS: Final = ("payment_id", "type", "currency", "country", "merchant_id", "customer_id")
"""Payment fields that hold text. ``currency`` is ``amount.currency``."""
OPEN_FIELDS: Final = ("method.", "metadata.")
"""Prefixes of fields that producers name themselves; they hold text, an integer or a boolean."""
OPERATORS: Final = (
    "eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between",
    "prefix", "suffix", "glob", "bin", "exists",
)  # fmt: skip
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class When(RootModel[dict[str, Any]]):
    """Conditions that must all hold. A plain value is equality, a list is `in`, a mapping holds operators."""

    model_config = ConfigDict(frozen=True)


_WINDOW: Final[dict[str, Any]] = {
    "type": "object",
    "description": "a window of time; a window whose `to` is not after its `from` ends on the next day",
    "properties": {
        "days": {"type": "array", "items": {"enum": list(DAYS)}, "minItems": 1},
        "from": {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"},
        "to": {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"},
        "zone": {"type": "string", "description": "IANA time zone, such as Europe/Malta; UTC if absent"},
        "after": {"type": "string", "format": "date-time", "description": "from this instant on"},
        "before": {"type": "string", "format": "date-time", "description": "until this instant, exclusive"},
    },
    "additionalProperties": False,
}


_SETS: Final = ("eq", "ne", "in", "not_in", "exists")
_TEXTS: Final = (*_SETS, "prefix", "suffix", "glob", "bin")
_NUMBERS: Final = (*_SETS, "gt", "gte", "lt", "lte", "between")
COUNTRY: Final[dict[str, Any]] = {
    "title": "Country",
    "anyOf": [{"enum": sorted(COUNTRY_CODES)}, {"type": "string", "pattern": r"^\$"}],
    "description": "a country code such as DE, or a group such as $eea",
}


def _operators(value: dict[str, Any], allowed: tuple[str, ...] = OPERATORS) -> dict[str, Any]:
    several = {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}
    texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    pair = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    kinds = {
        **dict.fromkeys(("eq", "ne"), value),
        **dict.fromkeys(("in", "not_in"), several),
        **dict.fromkeys(("gt", "gte", "lt", "lte"), several),
        "between": {**pair, "description": "both ends included"},
        **dict.fromkeys(("prefix", "suffix", "glob"), texts),
        "bin": {**texts, "description": "card number prefixes: '411111' or '400000-499999'"},
        "exists": {"type": "boolean"},
    }
    kinds = {name: kind for name, kind in kinds.items() if name in allowed}
    mapping = {"type": "object", "properties": kinds, "additionalProperties": False, "minProperties": 1}
    return {"anyOf": [*several["anyOf"], mapping]}


def when_schema() -> dict[str, Any]:
    """Describe every field and operator, so that an editor completes and checks them."""
    again = {"$ref": "#/$defs/When"}
    many = {"type": "array", "items": again, "minItems": 1}
    return {
        "title": "When",
        "type": "object",
        "description": (When.__doc__ or "").strip(),
        "properties": {
            **dict.fromkeys(TEXT_FIELDS, _operators({"type": "string"}, _TEXTS)),
            "country": _operators({"$ref": "#/$defs/Country"}, _TEXTS),
            "created_at": _operators({"type": "string", "format": "date-time"}, _NUMBERS),
            "amount": _operators({"type": "string", "description": "such as '10' or '10.00 EUR'"}, _NUMBERS),
            "time": {"anyOf": [_WINDOW, {"type": "array", "items": _WINDOW, "minItems": 1}]},
            "plugin": {
                "type": "object",
                "description": "predicate plugins that all hold: {name: {argument: value}}",
                "additionalProperties": {"type": "object"},
                "minProperties": 1,
            },
            "all": {**many, "description": "every one of these holds"},
            "any": {**many, "description": "at least one of these holds"},
            "not": {**again, "description": "these do not all hold"},
        },
        "patternProperties": {
            r"^(method|metadata)\..+$": _operators({"type": ["string", "integer", "boolean"]}),
        },
        "additionalProperties": False,
    }
