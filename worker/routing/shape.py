"""The rule document's shape checked by pydantic, its complaints turned into problems for people."""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from schemas import rules as schema
from schemas.rules import RuleDocument
from worker.routing.mending import without_broken
from worker.routing.problems import Path, Problem
from worker.routing.source import Listing, Node, Table, child, find, plain
from worker.routing.wording import wording

ROUTES: dict[str, type[BaseModel]] = {
    "to": schema.ToRoute,
    "split": schema.SplitRoute,
    "least_cost": schema.LeastCostRoute,
    "reject": schema.RejectRoute,
    "hold": schema.HoldRoute,
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
                Problem(path, wording(root, path, models, one, on_key=on_key), on_key),
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
