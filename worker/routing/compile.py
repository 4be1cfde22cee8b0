"""The rule document compiled into a rule table; every problem is found in one pass."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

from schemas.rules import RouteSettings as SettingsSpec
from schemas.rules import RuleDocument
from worker.errors import InvalidMoneyRule, InvalidRules
from worker.money import ISO_4217, Currency, CurrencyRegistry
from worker.routing.asking import asks, compile_asking
from worker.routing.checks import compile_check
from worker.routing.conditions import ALWAYS, All, Condition, disjuncts
from worker.routing.fees import FeeBook, build_fee_book
from worker.routing.index import build_index, split_indexable
from worker.routing.names import Names
from worker.routing.parse import read_when
from worker.routing.plugin_fees import PluginFees, build_plugin_fees
from worker.routing.problems import Path, Problem, Problems, path_text
from worker.routing.processors import Processor, build_processor
from worker.routing.rates import build_rates
from worker.routing.routes import Surroundings, build_action, check_defaults
from worker.routing.steps import build_steps
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable, Try
from worker.routing.uses import Catalogue, NoPlugins, Uses

MAX_ALTERNATIVES = 16
"""Alternatives of one rule that the index knows one by one; beyond that they are checked together."""


NO_PLUGINS = NoPlugins()


def compile_rules(
    document: RuleDocument,
    version: str,
    registry: CurrencyRegistry = ISO_4217,
    catalogue: Catalogue = NO_PLUGINS,
) -> RuleTable:
    """Return the table of a document; ``version`` names it in dispatches, ``registry`` has the currencies.

    ``catalogue`` has the plugins that the document may use.

    Raises:
        InvalidRules: names, values or weights are wrong; the text lists each with its path.
    """
    table, problems = check_and_compile(document, version, registry, catalogue=catalogue)
    if table is None:
        raise InvalidRules("\n".join(f"{path_text(problem.path)}: {problem.message}" for problem in problems))
    return table


def check_and_compile(
    document: RuleDocument,
    version: str,
    registry: CurrencyRegistry = ISO_4217,
    broken: Mapping[str, frozenset[str]] = MappingProxyType({}),
    catalogue: Catalogue = NO_PLUGINS,
) -> tuple[RuleTable | None, tuple[Problem, ...]]:
    """Return the table and no problems, or no table and everything that is wrong.

    ``broken`` holds, by section, names whose own entry is so wrong that the document lacks it, so that what
    refers to them is not reported as unknown.
    """
    problems = Problems()
    groups = {**dict.fromkeys(broken.get("groups", frozenset()), ()), **document.groups}
    names = Names(groups, _registry(document, registry, broken.get("units", frozenset()), problems), problems)
    names.check_groups()
    uses = Uses(catalogue, problems)
    fees = _fees(document, names, uses, broken.get("fees", frozenset()))
    processors = {
        name: build_processor(name, spec, fees, names) for name, spec in document.processors.items()
    }
    around = Surroundings(
        names=names,
        processors={**processors, **dict.fromkeys(broken.get("processors", frozenset()))},
        fees=fees,
        defaults=document.route_defaults or SettingsSpec(),
        uses=uses,
    )
    check_defaults(around)
    rates = build_rates(document.rates, uses)
    steps = build_steps(document.steps, names, uses)
    rules = _rules(document, around)
    if problems.found:
        return None, tuple(dict.fromkeys(problems.found))
    books = {name: book for name, book in fees.items() if book is not None}
    table = build_table(version, processors, books, names.registry, rules)
    return replace(table, steps=steps, rates=rates), ()


def _registry(
    document: RuleDocument, registry: CurrencyRegistry, broken: frozenset[str], problems: Problems
) -> CurrencyRegistry:
    for code in broken - document.units.keys():
        with suppress(InvalidMoneyRule):
            registry = registry.with_units(Currency(code, 0, ""))
    for code, unit in document.units.items():
        try:
            registry = registry.with_units(Currency(code, unit.exponent, unit.name))
        except InvalidMoneyRule as error:
            problems.add_key(("units", code), str(error))
    return registry


def _fees(
    document: RuleDocument, names: Names, uses: Uses, broken: frozenset[str]
) -> dict[str, FeeBook | PluginFees | None]:
    books: dict[str, FeeBook | PluginFees | None] = {}
    for name, spec in document.fees.items():
        if name == "none":
            names.problems.add_key(("fees", name), "`none` stands for no fees; choose another name")
        path: Path = ("fees", name)
        if spec.plugin is not None:
            books[name] = build_plugin_fees(name, spec, path, names, uses)
        else:
            books[name] = build_fee_book(name, spec, path, names)
    return {**books, **dict.fromkeys(broken)}


def _rules(document: RuleDocument, around: Surroundings) -> list[Rule]:
    rules: list[Rule] = []
    seen: dict[str, int] = {}
    for i, spec in enumerate(document.rules):
        path: Path = ("rules", i)
        _check_name(spec.name, path, seen, around.names.problems)
        seen.setdefault(spec.name, i)
        condition = read_when(spec.when.root, (*path, "when"), around.names, around.uses)
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
    fees: Mapping[str, FeeBook | PluginFees],
    currencies: CurrencyRegistry,
    rules: list[Rule],
) -> RuleTable:
    """Return the table of rules that are already checked; the last one is the default."""
    divided = [
        (rule, *split_indexable(term))
        for rule in rules
        for term in sorted(disjuncts(rule.condition, MAX_ALTERNATIVES), key=_asks_any)
    ]
    tries = [_try(rule, rest) for rule, _, rest in divided]
    decided = [not one.checks and one.asking is None for one in tries]
    index = build_index(tries, [entry for _, entry, _ in divided], decided)
    return RuleTable(
        version,
        MappingProxyType(dict(processors)),
        MappingProxyType(dict(fees)),
        currencies,
        tuple(rules),
        index,
    )


def _asks_any(term: tuple[Condition, ...]) -> bool:
    """Whether a plugin has a say in it; alternatives without one are tried first."""
    return any(map(asks, term))


def _try(rule: Rule, rest: tuple[Condition, ...]) -> Try:
    """Return a rule with what the index leaves to check, what plugins decide apart."""
    checks = tuple(compile_check(part) for part in rest if not asks(part))
    asking = tuple(part for part in rest if asks(part))
    return Try(rule, checks, compile_asking(All(asking)) if asking else None)
