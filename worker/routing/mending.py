"""Broken parts taken out of a rule document, so that what is sound beside them is still checked."""

from collections.abc import Iterable
from typing import Any

from schemas.rules import ROUTE_KINDS
from worker.routing.problems import Problem

Lost = dict[str, set[int]]
"""Positions of rules and steps that are too broken to be checked any further, by section."""


def without_broken(raw: dict[str, Any], problems: Iterable[Problem]) -> tuple[dict[str, set[str]], Lost]:
    """Take broken parts out of ``raw``; return the broken names by section, and what is lost as a whole.

    As little as possible goes, so that what is sound beside it is still checked. What is lost stays in its
    place, for the caller to take out.
    """
    names: dict[str, set[str]] = {}
    lost: Lost = {"rules": set(), "steps": set()}
    for problem in problems:
        match problem.path:
            case (*above, str(field)) if problem.on_key and isinstance(part := _at(raw, above), dict):
                part.pop(field, None)
            case ("rules", int(i), *inside):
                if not isinstance(raw["rules"][i], dict):
                    lost["rules"].add(i)
                else:
                    _mend_rule(raw["rules"][i], i, inside)
            case ("steps", int(i), *_):
                lost["steps"].add(i)
            case (("units" | "groups" | "processors" | "fees") as section, str(name), *inside):
                names.setdefault(str(section), set()).add(name)
                if not _mend_entry(_at(raw, (section, name)), inside):
                    raw[section].pop(name, None)
            case (str(section), *_):
                raw.pop(section, None)
            case _:
                pass
    return names, lost


def _mend_rule(rule: dict[str, Any], i: int, inside: list[str | int]) -> None:
    """Take one broken part out of a rule: a route's setting goes alone, a route without its target holds."""
    match inside:
        case ["name", *_]:
            rule["name"] = f"broken-{i}"
        case ["when", *_]:
            rule["when"] = {}
        case ["route", str(setting), *_] if isinstance(rule["route"], dict) and setting not in ROUTE_KINDS:
            rule["route"].pop(setting, None)
        case ["route", *_]:
            rule["route"] = {"hold": "broken"}
        case [str(field), *_]:
            rule.pop(field, None)
        case _:
            pass


def _mend_entry(entry: Any, inside: list[str | int]) -> bool:
    """Take one broken part out of a processor or fee schedule; return whether what is left can be checked."""
    if "components" in inside:
        at = inside.index("components")
        component = _at(entry, inside[: at + 2])
        if len(inside) < at + 3 or inside[at + 2] == "name" or not isinstance(component, dict):
            return False
        name = component.get("name")
        component.clear()
        component.update(name=name, percent="0")
        return isinstance(name, str)
    if inside and isinstance(entry, dict):
        entry.pop(inside[0], None)
        return True
    return False


def _at(raw: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return None
    return raw
