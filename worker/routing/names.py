"""What names in a rule document may refer to: groups with their members, currencies, countries."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.iso3166 import COUNTRY_CODES
from worker.money import CurrencyRegistry
from worker.routing.conditions import Flag, Value
from worker.routing.problems import Path, Problem, Problems, listing, nearest

T = TypeVar("T")
TYPE_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(slots=True)
class Names:
    """The document's groups and the codes that exist, for resolving what conditions and processors name."""

    groups: Mapping[str, Sequence[object]]
    registry: CurrencyRegistry
    problems: Problems
    _sound: set[tuple[str, object]] = field(default_factory=set)
    _members: dict[str, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def currencies(self) -> AbstractSet[str]:
        """Codes of ISO 4217 and of the document's own units."""
        return self.registry.currencies.keys()

    def currency_problem(self, code: object) -> str | None:
        """Return why no payment can be in a currency: nobody knows it, or nothing settles in it."""
        if code not in self.currencies:
            return f"unknown currency {code!r}{self._currency_hint(code)}"
        currency = self.registry.currencies[str(code)]
        if currency.settleable:
            return None
        return f"nothing settles in {code} ({currency.name}), so no payment is in it"

    def _currency_hint(self, code: object) -> str:
        """Return what followed a withdrawn currency, or ``"; did you mean X?"``, never for XXX and XTS."""
        old = self.registry.withdrawn.get(code) if isinstance(code, str) else None
        if old is not None:
            fate = f"use {old.successor}, converting the amount" if old.successor else "nothing succeeded it"
            return f" ({old.name}): ISO 4217 withdrew it in {old.date}; {fate}"
        return nearest(code, [one.code for one in self.registry.currencies.values() if one.settleable])

    def codes(self, field_name: str, items: Sequence[str], path: Path) -> frozenset[str]:
        """Return the currencies, countries or types that a list names, its groups expanded and checked."""
        found: set[str] = set()
        for i, item in enumerate(items):
            for value in self.expand(item, (*path, i)):
                self.check_value(field_name, value, (*path, i))
                found.add(str(value))
        return frozenset(found)

    def members(self, reference: str, path: Path) -> tuple[Value, ...]:
        """Return the values of the group that ``$name`` refers to; report an unknown one at ``path``."""
        name = reference[1:]
        if name not in self.groups:
            known = f"groups are {listing(sorted(self.groups))}" if self.groups else "no groups are defined"
            self.problems.add(path, f"unknown group {name!r}{nearest(name, self.groups)} ({known})")
            return ()
        if name not in self._members:
            self._members[name] = ()  # a group inside itself adds nothing; check_groups reports it
            here: Path = ("groups", name)
            found = [v for i, item in enumerate(self.groups[name]) for v in self.expand(item, (*here, i))]
            self._members[name] = tuple(dict.fromkeys(found))
        return self._members[name]

    def expand(self, item: object, path: Path) -> tuple[Value, ...]:
        """Return the values that one written value stands for: itself, or the members of a ``$group``."""
        if isinstance(item, bool):
            return (Flag.TRUE if item else Flag.FALSE,)
        if isinstance(item, int):
            return (item,)
        if isinstance(item, str):
            if item.startswith("$$"):
                return (item[1:],)
            return self.members(item, path) if item.startswith("$") else (item,)
        self.problems.add(path, f"expected text, an integer or a boolean, found {_kind(item)}")
        return ()

    def check_groups(self) -> None:
        """Resolve every group, so that broken ones are reported although nothing uses them."""
        for name, items in self.groups.items():
            self.members(f"${name}", ("groups", name))
            for i, item in enumerate(items):
                if isinstance(item, str) and item.startswith("$") and name in self._reachable(item[1:]):
                    self.problems.add(("groups", name, i), f"group {name} contains itself")

    def known(
        self, name: str, table: Mapping[str, T | None], what: str, path: Path, *, on_key: bool = False
    ) -> T | None:
        """Return what ``name`` refers to; an unknown name is a problem at ``path``, or at its key."""
        if name not in table:
            defined = f"{what}s are {listing(sorted(table))}" if table else f"no {what}s are defined"
            message = f"unknown {what} {name!r}{nearest(name, table)} ({defined})"
            self.problems.found.append(Problem(path, message, on_key))
        return table.get(name)

    def _reachable(self, name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            group = waiting.pop()
            if group in seen:
                continue
            seen.add(group)
            items = self.groups.get(group, ())
            waiting += [item[1:] for item in items if isinstance(item, str) and item.startswith("$")]
        return seen

    def check_value(self, field_name: str, value: Value, path: Path) -> None:
        """Report a value that the field can never hold: an unknown currency or country, a malformed type."""
        if (field_name, value) in self._sound:
            return
        before = len(self.problems.found)
        self._check_value(field_name, value, path)
        if len(self.problems.found) == before:
            self._sound.add((field_name, value))

    def _check_value(self, field_name: str, value: Value, path: Path) -> None:
        if field_name == "currency":
            if (problem := self.currency_problem(value)) is not None:
                self.problems.add(path, problem)
        elif field_name == "country" and value not in COUNTRY_CODES:
            hint = nearest(value, COUNTRY_CODES)
            self.problems.add(
                path, f"unknown country {value!r}, expected ISO 3166-1 alpha-2 such as DE{hint}"
            )
        elif field_name == "type" and not (isinstance(value, str) and TYPE_PATTERN.fullmatch(value)):
            self.problems.add(path, f"{value!r} is no payment type: lowercase letters, digits and _")


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"the number {value!r} (write it in quotes)"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else type(value).__name__
