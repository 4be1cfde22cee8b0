"""``plugin:`` as it is written in rules, turned into uses of plugins that a catalogue knows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from worker.routing.problems import Path, Problem, Problems
from worker.routing.questions import Kind, Use


class Refused(Exception):
    """A catalogue cannot give the plugin: each problem's path is relative to its arguments.

    With ``on_name`` the name itself is wrong.
    """

    def __init__(self, problems: tuple[Problem, ...], *, on_name: bool = False) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.on_name = on_name


class Catalogue(Protocol):
    """Knows which plugins rules may use."""

    def use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use:
        """Return a plugin made ready with its arguments; raises ``Refused`` for none, or wrong arguments."""


@dataclass(frozen=True, slots=True)
class NoPlugins:
    """The catalogue where no plugin is allowed."""

    def use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use:  # noqa: ARG002
        """Refuse whatever is asked for."""
        message = f"unknown {kind.value} plugin {name!r} (the settings allow no plugins)"
        raise Refused((Problem((), message),), on_name=True)


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Return arguments as JSON with keys sorted: equal arguments, equal text."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class Uses:
    """Reads uses of plugins; what is wrong with them is collected. Equal uses are one, made once."""

    catalogue: Catalogue
    problems: Problems
    _made: dict[tuple[Kind, str, str], Use | Refused] = field(default_factory=dict)

    def read(self, kind: Kind, written: Mapping[str, Mapping[str, Any]], path: Path) -> list[Use]:
        """Return the uses that a ``{name: {argument: value}}`` mapping at ``path`` describes."""
        found = []
        for name, arguments in written.items():
            match self._use(kind, name, arguments):
                case Use() as use:
                    found.append(use)
                case Refused() as refused:
                    self.problems.found += [
                        replace(one, path=(*path, name, *one.path), on_key=one.on_key or refused.on_name)
                        for one in refused.problems
                    ]
        return found

    def _use(self, kind: Kind, name: str, arguments: Mapping[str, Any]) -> Use | Refused:
        key = (kind, name, arguments_text(arguments))
        if key not in self._made:
            try:
                self._made[key] = self.catalogue.use(kind, name, arguments)
            except Refused as refused:
                self._made[key] = refused
        return self._made[key]

    def read_when(self, written: object, path: Path) -> list[Use]:
        """Return the predicates that ``plugin:`` in a ``when:`` names."""
        if not isinstance(written, Mapping) or not written:
            self.problems.add(path, "`plugin` is a mapping of names and arguments: {name: {argument: value}}")
            return []
        sound: dict[str, Mapping[str, Any]] = {}
        for name, arguments in written.items():
            if isinstance(arguments, Mapping):
                sound[str(name)] = arguments
            else:
                message = (
                    f"the arguments of {name} are a mapping, {{}} where it has none; found {arguments!r}"
                )
                self.problems.add((*path, name), message)
        return self.read(Kind.PREDICATE, sound, path)
