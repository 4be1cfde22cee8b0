"""The rule document's shape checked by pydantic, its complaints turned into problems for people."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from schemas import rule_words as word
from schemas import rules as schema
from schemas.payment import Rfc3339
from schemas.rules import ROUTE_KINDS, RuleDocument
from worker.routing.mending import without_broken
from worker.routing.problems import Path, Problem, listing, nearest
from worker.routing.source import Leaf, Listing, Node, Table, child, find, plain

ROUTES: dict[str, type[BaseModel]] = {
    "to": schema.ToRoute,
    "split": schema.SplitRoute,
    "least_cost": schema.LeastCostRoute,
    "reject": schema.RejectRoute,
    "hold": schema.HoldRoute,
}
PATTERNS: dict[object, str] = {
    pattern: words
    for annotated, words in (
        (
            word.Decimal,
            "a decimal in quotes, such as '2.9', without a sign and with at most 12 decimals",
        ),
        (word.Name, "a name of lowercase letters, digits, - and _"),
        (word.RuleName, "a name of lowercase letters, digits, -, . and _"),
        (word.GroupName, "a name that starts with a lowercase letter: letters, digits and _"),
        (word.CurrencyCode, "a currency code, such as EUR"),
        (word.CurrencyRef, "a currency code such as EUR, or a group such as $majors"),
        (word.CountryRef, "a country code such as DE, or a group such as $eea"),
        (word.TypeRef, "a payment type such as card, or a group such as $instant"),
        (Rfc3339, "a date and time with an offset, such as 2026-01-31T09:00:00Z"),
        (word.AmountText, "an amount in quotes, such as '10' or '10.00 EUR'"),
    )
    for pattern in (get_args(annotated)[1].metadata[0].pattern,)
}
TYPE_ERRORS = ("string_type", "list_type", "dict_type", "model_type", "model_attributes_type")


Kept = dict[str, list[int]]
"""Where each rule and step that is left stood in the whole document, by section."""


def read_document(
    root: Table,
) -> tuple[RuleDocument | None, list[Problem], dict[str, frozenset[str]], Kept]:
    """Return the document's sound parts, what is wrong, the broken names, and which rules and steps are left.

    The document is None when too much is broken to go on.
    """
    raw: dict[str, Any] = plain(root)
    try:
        return RuleDocument.model_validate(raw), [], {}, {}
    except ValidationError as error:
        problems = read_problems(root, error, RuleDocument)
    names, lost = without_broken(raw, problems)
    kept: Kept = {}
    for section, gone in lost.items():
        if isinstance(raw.get(section), list):
            kept[section] = [i for i in range(len(raw[section])) if i not in gone]
            raw[section] = [raw[section][i] for i in kept[section]]
    raw["version"] = 1
    raw.setdefault("default", {"hold": "the default is broken"})
    try:
        document = RuleDocument.model_validate(raw)
    except ValidationError:
        document = None
    return document, problems, {section: frozenset(found) for section, found in names.items()}, kept


def read_problems(root: Table, error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what pydantic found wrong with a tree, in people's words."""
    problems: list[Problem] = []
    found: dict[Path, tuple[str, Problem]] = {}
    for one in error.errors(include_url=False):
        path, models, on_key = _clean(root, model, one["loc"], one["type"])
        if path not in found:
            found[path] = (
                one["type"],
                Problem(path, _message(root, path, models, one, on_key=on_key), on_key),
            )
    for path, (kind, problem) in found.items():
        node = find(root, path)
        deeper = any(other[: len(path)] == path and other != path for other in found)
        if kind in TYPE_ERRORS and isinstance(node, Table | Listing) and deeper:
            continue  # another arm of the union explains more
        problems.append(problem)
    return problems


def _clean(
    root: Table, model: type[BaseModel], loc: tuple[str | int, ...], kind: str
) -> tuple[Path, set[type[BaseModel]], bool]:
    """Return the path without union arms, the models at its end, and whether a key is meant."""
    node: Node | None = root
    models: set[type[BaseModel]] = {model}
    path: list[str | int] = []
    union = False
    for i, step in enumerate(loc):
        last = i == len(loc) - 1
        if step == "[key]":
            return tuple(path), models, True
        if union and step in ROUTES:
            models, union = {ROUTES[str(step)]}, False
            continue
        found = child(node, step) if node is not None else None
        if found is None and not (last and kind == "missing"):
            continue
        path.append(step)
        node = found
        annotations = [one.model_fields[step].annotation for one in models if step in one.model_fields]
        if annotations and not (last and kind in ("missing", "extra_forbidden")):
            models = {inner for annotation in annotations for inner in _models(annotation)}
            union = len(models) == len(ROUTES)
    return tuple(path), models, kind == "extra_forbidden"


def _models(annotation: Any) -> set[type[BaseModel]]:
    """Return the models that an annotation is made of."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return {annotation} if issubclass(annotation, BaseModel) else set()
    if get_origin(annotation) is Literal:
        return set()
    return {model for inner in get_args(annotation) for model in _models(inner)}


def _message(  # noqa: C901, PLR0911, PLR0912 - one for each kind of complaint
    root: Table, path: Path, models: set[type[BaseModel]], error: Mapping[str, Any], *, on_key: bool
) -> str:
    node = find(root, path)
    value = node.value if isinstance(node, Leaf) else None
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"`{path[-1]}` is missing"
        case "extra_forbidden":
            fields = {name for model in models for name in model.model_fields}
            if fields & set(ROUTE_KINDS) and path[-1] in ROUTE_KINDS:
                return f"a route is one of {listing(ROUTE_KINDS)}; `{path[-1]}` is a second one"
            hint = nearest(path[-1], fields)
            return f"unknown field {path[-1]!r}{hint} (fields here: {listing(sorted(fields), 30)})"
        case "string_type" if isinstance(value, int | float) and not isinstance(value, bool):
            return f"expected text, found the number {value}; write it in quotes: '{value}'"
        case "string_type" if isinstance(value, bool):
            return f"expected text, found the boolean {str(value).lower()}"
        case "dict_type" | "too_long" | "too_short" if path[-1] == "plugin":
            return "`plugin` names one plugin with its arguments: {name: {argument: value}}"
        case "string_type" | "list_type" | "dict_type" | "model_type" | "model_attributes_type":
            return f"expected {_wanted(error['type'])}, found {_described(node)}"
        case "bool_type" | "bool_parsing":
            return f"expected true or false, found {_described(node)}"
        case "less_than_equal" | "greater_than_equal":
            bound = f"at most {context['le']}" if "le" in context else f"at least {context['ge']}"
            return f"expected {bound}, found {_described(node)}"
        case "string_pattern_mismatch":
            wanted = PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
            return f"{path[-1] if on_key else value!r} is not {wanted}"
        case "literal_error":
            expected = [
                text.strip().strip("'") for text in context["expected"].replace(" or ", ",").split(",")
            ]
            if isinstance(value, str) and value in expected:
                return f"expected {value} without quotes, found the text {value!r}"
            if len(expected) == 1:
                return f"expected {expected[0]}, found {_described(node)}"
            return f"{value!r} is none of {listing(expected)}{nearest(value, expected)}"
        case "route_kind":
            keys = tuple(node.entries) if isinstance(node, Table) else ()
            hints = [hint for key in keys if (hint := nearest(key, ROUTE_KINDS))]
            return f"a route is a mapping with one of {listing(ROUTE_KINDS)}{hints[0] if hints else ''}"
        case _:
            text = str(error["msg"]).removeprefix("Value error, ")
            return text.replace("Input should be", f"expected, not {_described(node)}:")


def _wanted(kind: str) -> str:
    return {"string_type": "text", "list_type": "a list"}.get(kind, "a mapping")


def _described(node: Node | None) -> str:
    match node:
        case Table():
            return "a mapping"
        case Listing():
            return "a list"
        case Leaf(value):
            return "nothing" if value is None else repr(value)
        case None:
            return "nothing"
