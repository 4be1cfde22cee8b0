"""The rule document compiled into a rule table; every problem is found in one pass."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas.rules import RouteSettings as SettingsSpec
from schemas.rules import RuleDocument
from worker.errors import InvalidMoneyRule, InvalidRules
from worker.money import ISO_4217, Currency, CurrencyRegistry
from worker.routing.checks import compile_check
from worker.routing.conditions import ALWAYS, disjuncts
from worker.routing.fees import FeeBook, build_fee_book
from worker.routing.index import build_index, split_indexable
from worker.routing.names import Names
from worker.routing.parse import read_when
from worker.routing.problems import Path, Problem, Problems, path_text
from worker.routing.processors import Processor, build_processor
from worker.routing.routes import Surroundings, build_action, check_defaults
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable, Try

MAX_ALTERNATIVES = 16
"""Alternatives of one rule that the index knows one by one; beyond that they are checked together."""


def compile_rules(document: RuleDocument, version: str, registry: CurrencyRegistry = ISO_4217) -> RuleTable:
    """Return the table of a document; ``version`` names it in dispatches, ``registry`` has the currencies.

    Raises:
        InvalidRules: names, values or weights are wrong; the text lists each with its path.
    """
    table, problems = check_and_compile(document, version, registry)
    if table is None:
        raise InvalidRules("\n".join(f"{path_text(problem.path)}: {problem.message}" for problem in problems))
    return table


def check_and_compile(
    document: RuleDocument,
    version: str,
    registry: CurrencyRegistry = ISO_4217,
    broken: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> tuple[RuleTable | None, tuple[Problem, ...]]:
    """Return the table and no problems, or no table and everything that is wrong.

    ``broken`` holds, by section, names whose own entry is so wrong that the document lacks it, so that what
    refers to them is not reported as unknown.
    """
    problems = Problems()
    names = Names(document.groups, _registry(document, registry, problems), problems)
    names.check_groups()
    fees = _fees(document, names, broken.get("fees", frozenset()))
    processors = {
        name: build_processor(name, spec, fees, names) for name, spec in document.processors.items()
    }
    around = Surroundings(
        names=names,
        processors={**dict.fromkeys(broken.get("processors", frozenset())), **processors},
        fees=fees,
        defaults=document.route_defaults or SettingsSpec(),
    )
    check_defaults(around)
    rules = _rules(document, around)
    if problems.found:
        return None, tuple(dict.fromkeys(problems.found))
    books = {name: book for name, book in fees.items() if book is not None}
    return build_table(version, processors, books, names.registry, rules), ()


def _registry(document: RuleDocument, registry: CurrencyRegistry, problems: Problems) -> CurrencyRegistry:
    for code, unit in document.units.items():
        try:
            registry = registry.with_units(Currency(code, unit.exponent, unit.name))
        except InvalidMoneyRule as error:
            problems.add_key(("units", code), str(error))
    return registry


def _fees(document: RuleDocument, names: Names, broken: frozenset[str]) -> dict[str, FeeBook | None]:
    books: dict[str, FeeBook | None] = dict.fromkeys(broken)
    for name, spec in document.fees.items():
        if name == "none":
            names.problems.add_key(("fees", name), "`none` stands for no fees; choose another name")
        books[name] = build_fee_book(name, spec, ("fees", name), names)
    return books


def _rules(document: RuleDocument, around: Surroundings) -> list[Rule]:
    rules: list[Rule] = []
    seen: dict[str, int] = {}
    for i, spec in enumerate(document.rules):
        path: Path = ("rules", i)
        _check_name(spec.name, path, seen, around.names.problems)
        seen.setdefault(spec.name, i)
        condition = read_when(spec.when.root, (*path, "when"), around.names)
        action = build_action(spec.name, spec.route, (*path, "route"), around)
        if spec.enabled:
            rules.append(Rule(spec.name, i, condition, action))
    rules.append(
        Rule(
            DEFAULT_RULE,
            len(rules),
            ALWAYS,
            build_action(DEFAULT_RULE, document.default, ("default",), around),
        )
    )
    return rules


def _check_name(name: str, path: Path, seen: Mapping[str, int], problems: Problems) -> None:
    if name == DEFAULT_RULE:
        problems.add((*path, "name"), "`default` is the name under which `default:` decides; choose another")
    if name in seen:
        problems.add((*path, "name"), f"a rule named {name} is already there, as rule {seen[name] + 1}")


def build_table(
    version: str,
    processors: Mapping[str, Processor],
    fees: Mapping[str, FeeBook],
    currencies: CurrencyRegistry,
    rules: list[Rule],
) -> RuleTable:
    """Return the table of rules that are already checked; the last one is the default."""
    divided = [
        (rule, *split_indexable(term))
        for rule in rules
        for term in disjuncts(rule.condition, MAX_ALTERNATIVES)
    ]
    tries = [Try(rule, tuple(compile_check(part) for part in rest)) for rule, _, rest in divided]
    index = build_index(tries, [entry for _, entry, _ in divided], [not one.checks for one in tries])
    return RuleTable(
        version,
        MappingProxyType(dict(processors)),
        MappingProxyType(dict(fees)),
        currencies,
        tuple(rules),
        index,
    )
