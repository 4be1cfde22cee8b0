"""The registry: what is installed, what is allowed, and what is wrong with the rest."""

import sys
from typing import Any

import pytest

from worker.errors import UnknownPlugin
from worker.plugins import registry as registry_module
from worker.plugins.bound import Bound
from worker.plugins.ready import MOST_HANGING
from worker.plugins.registry import Registry, find_installed
from worker.routing.questions import Kind, Use
from worker.routing.uses import Refused

PREDICATE = """
    from pydantic import Field
    from worker.plugins import Arguments

    class Above(Arguments):
        limit: int
        labels: list[str] = Field(default_factory=list)

    class Plugin:
        arguments = Above
        deadline_seconds = 0.25

        def __init__(self, arguments):
            if arguments.limit < 0:
                raise ValueError("the limit is below zero")
            self.limit = arguments.limit

        def holds(self, payment, now):
            return len(payment.payment_id) > self.limit

    class Plain:
        def __init__(self, arguments):
            pass

        async def holds(self, payment, now):
            return True

    class TooSlow(Plain):
        deadline_seconds = 31

    class NoModel(Plain):
        arguments = dict

    class NoPredicate:
        def check(self, payment, now):
            return True

    VALUE = 3
"""
OFFERS = {
    Kind.PREDICATE: {
        "above": "Plugin",
        "plain": "Plain",
        "too_slow": "TooSlow",
        "no_model": "NoModel",
        "no_predicate": "NoPredicate",
        "value": "VALUE",
        "absent": "Absent",
    },
    Kind.STEP: {"look": "NoPredicate"},
}


def refusal(registry: Registry, kind: Kind, name: str, arguments: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        registry.use(kind, name, arguments)
    return caught.value


def test_an_allowed_plugin_is_made_ready(offer) -> None:
    """Its arguments are checked, its object made, its method and deadline bound."""
    use = offer(PREDICATE, OFFERS, "above").use(Kind.PREDICATE, "above", {"limit": 3})
    assert (use.kind, use.name, use.arguments) == (Kind.PREDICATE, "above", '{"limit":3}')
    assert isinstance(use.bound, Bound)
    assert (use.bound.plugin, use.bound.is_async, use.bound.deadline_seconds) == (
        "predicate above",
        False,
        0.25,
    )


def test_defaults(offer) -> None:
    """Without a word of its own a plugin has no arguments and a second; an async method is known as one."""
    use = offer(PREDICATE, OFFERS, "plain").use(Kind.PREDICATE, "plain", {})
    assert isinstance(use.bound, Bound)
    assert (use.bound.is_async, use.bound.deadline_seconds) == (True, 1.0)


def test_uses_are_equal_by_name_and_arguments(offer) -> None:
    """The order of arguments does not matter, nor which object was made."""
    registry = offer(PREDICATE, OFFERS, "above")
    one = registry.use(Kind.PREDICATE, "above", {"limit": 3, "labels": ["a"]})
    same = registry.use(Kind.PREDICATE, "above", {"labels": ["a"], "limit": 3})
    other = registry.use(Kind.PREDICATE, "above", {"limit": 4})
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_nothing_is_imported_that_is_not_allowed(offer) -> None:
    """A module of a plugin that is not allowed is never loaded, whatever rules ask for."""
    registry = offer(PREDICATE, OFFERS)
    (one,) = [one for one in registry.installed if one.name == "above"]
    found = refusal(registry, Kind.PREDICATE, "above", {"limit": 3})
    assert "is installed (test-plugins 0.1) but not allowed" in str(found)
    assert found.on_name
    with pytest.raises(Refused, match="not allowed"):
        registry.offer(one)
    assert one.entry.module not in sys.modules


def test_nothing_is_imported_before_it_is_used(offer) -> None:
    """To allow a plugin loads nothing either."""
    registry = offer(PREDICATE, OFFERS, "above")
    registry.check()
    (one,) = [one for one in registry.installed if one.name == "above"]
    assert one.entry.module not in sys.modules


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Kind.PREDICATE, "abov", "unknown predicate plugin 'abov'; did you mean above?"),
        (Kind.PREDICATE, "abov", "(allowed predicate plugins are above, absent"),
        (
            Kind.STEP,
            "above",
            "unknown step plugin 'above'; it is a predicate (allowed step plugins are look)",
        ),
        (Kind.FEES, "zzz", "unknown fee schedule plugin 'zzz' (none of that kind is allowed)"),
        (Kind.PREDICATE, "too_slow", "`deadline_seconds` is 31; expected a number above 0, 30 at most"),
        (Kind.PREDICATE, "no_model", "`arguments` is <class 'dict'>, no pydantic model"),
        (Kind.PREDICATE, "no_predicate", "is no predicate"),
        (Kind.PREDICATE, "no_predicate", "expected a class with a method `holds`"),
        (Kind.PREDICATE, "value", "expected a class with a method `holds`"),
        (Kind.PREDICATE, "absent", "cannot be imported"),
    ],
)
def test_a_name_that_leads_to_no_plugin(offer, kind: Kind, name: str, words: str) -> None:
    """The name itself is marked as wrong, with what was expected and what comes near."""
    found = refusal(offer(PREDICATE, OFFERS, *OFFERS[Kind.PREDICATE], "look"), kind, name, {})
    assert words in str(found)
    assert found.on_name


@pytest.mark.parametrize(
    "source", ["raise RuntimeError('no key')", "import no_such_module", "exit(3)", "x ="]
)
def test_a_module_that_cannot_be_imported(offer, source: str) -> None:
    """Whatever importing it does, the rules are refused and the worker stays."""
    registry = offer(source, {Kind.STEP: {"broken": "Step"}}, "broken")
    found = refusal(registry, Kind.STEP, "broken", {})
    assert "plugin broken cannot be imported" in str(found)
    assert "test-plugins 0.1" in str(found)


@pytest.mark.parametrize(
    ("arguments", "path", "words"),
    [
        ({"limit": "3"}, ("limit",), "expected a whole number, found '3'"),
        ({"limit": True}, ("limit",), "expected a whole number, found True"),
        ({}, ("limit",), "argument `limit` is missing (arguments are limit, labels)"),
        ({"limit": 1, "label": []}, ("label",), "unknown argument 'label'; did you mean labels?"),
        ({"limit": 1, "labels": ["a", 2]}, ("labels", 1), "expected text, found 2"),
        ({"limit": -1}, (), "predicate above cannot be made ready: ValueError: the limit is below zero"),
    ],
)
def test_wrong_arguments(offer, arguments: dict[str, Any], path: tuple[object, ...], words: str) -> None:
    """Each is named by its place below the plugin's name."""
    (problem,) = refusal(offer(PREDICATE, OFFERS, "above"), Kind.PREDICATE, "above", arguments).problems
    assert problem.path == path
    assert words in problem.message


HANGING = """
    import threading
    from worker.plugins import Arguments

    class Behaviour(Arguments):
        how: str = "hang"

    class Slow:
        arguments = Behaviour
        ready_seconds = 0.1

        def __init__(self, arguments):
            if arguments.how == "exit":
                raise SystemExit("no")
            if arguments.how == "hang":
                threading.Event().wait(3)

        def check(self, payment, now):
            return True

    class TooSlow(Slow):
        ready_seconds = 61
"""
HANGING_OFFERS = {Kind.STEP: {"slow": "Slow", "too_slow": "TooSlow"}}


def test_a_class_that_hangs_when_it_is_made(offer) -> None:
    """It is waited for as long as it says, then refused with what to look at, under a code of its own."""
    registry = offer(HANGING, HANGING_OFFERS, "slow")
    (problem,) = refusal(registry, Kind.STEP, "slow", {}).problems
    assert problem.code == "plugin_not_ready"
    assert problem.message == (
        "step slow is not ready after 0.1 s: see what its `__init__` waits for, or give the class a larger "
        "`ready_seconds`"
    )
    assert registry.use(Kind.STEP, "slow", {"how": "well"})


def test_tries_that_hang_are_bounded(offer) -> None:
    """Python cannot stop a thread: with so many hanging, no more are started; other plugins are made."""
    registry = offer(HANGING, HANGING_OFFERS, "slow")
    for _ in range(MOST_HANGING):
        refusal(registry, Kind.STEP, "slow", {})
    (problem,) = refusal(registry, Kind.STEP, "slow", {"how": "well"}).problems
    assert (problem.code, problem.message.partition(":")[0]) == (
        "plugin_not_ready",
        "step slow is not tried again",
    )


def test_a_class_that_exits_when_it_is_made(offer) -> None:
    """The rules are refused and the process stays."""
    (problem,) = refusal(offer(HANGING, HANGING_OFFERS, "slow"), Kind.STEP, "slow", {"how": "exit"}).problems
    assert problem.message == "step slow cannot be made ready: SystemExit: no"


def test_a_class_may_not_take_for_ever(offer) -> None:
    """The start and every change of the rules wait for it."""
    found = refusal(offer(HANGING, HANGING_OFFERS, "too_slow"), Kind.STEP, "too_slow", {})
    assert "`ready_seconds` is 61; expected a number above 0, 60 at most" in str(found)


def test_a_module_that_hangs_when_it_is_imported(offer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it for ever either."""
    monkeypatch.setattr(registry_module, "IMPORT_SECONDS", 0.1)
    source = "import threading\nthreading.Event().wait(1)"
    registry = offer(source, {Kind.STEP: {"sleepy": "Step"}}, "sleepy")
    (problem,) = refusal(registry, Kind.STEP, "sleepy", {}).problems
    assert problem.code == "plugin_not_ready"
    assert "step sleepy is not ready after 0.1 s: see what importing" in problem.message


def test_a_plugin_offered_twice(offer) -> None:
    """Two distributions with one name are refused, naming both: which one runs must not be chance."""
    offer(PREDICATE, {Kind.PREDICATE: {"above": "Plugin"}}, distribution="one")
    registry = offer(PREDICATE, {Kind.PREDICATE: {"above": "Plugin"}}, "above", distribution="two")
    found = refusal(registry, Kind.PREDICATE, "above", {"limit": 1})
    assert "offered more than once, by one 0.1, two 0.1" in str(found)


def test_an_allowed_name_that_nothing_offers(offer) -> None:
    """The start is refused, with the nearest name."""
    with pytest.raises(UnknownPlugin, match=r"'abov' is allowed, but no installed .* did you mean above\?"):
        offer(PREDICATE, OFFERS, "abov", "plain").check()


def test_without_allowed_names_there_is_nothing_to_check() -> None:
    """A registry that allows nothing does not even look."""
    Registry(find=lambda: pytest.fail("it looked")).check()


def test_the_list_has_every_group(offer) -> None:
    """Plugins of all groups are found with their distribution, by kind, then name."""
    offer("", {kind: {"b": "B", "a": "A"} for kind in Kind}, distribution="every", version="3.2.1")
    found = [one for one in find_installed() if one.distribution == "every"]
    assert [(one.kind, one.name) for one in found] == [(kind, name) for kind in Kind for name in "ab"]
    assert {one.version for one in found} == {"3.2.1"}


def test_a_use_reads_like_words() -> None:
    """Messages name the kind and the plugin."""
    assert str(Use(Kind.FEES, "loyalty", "{}")) == "fee schedule loyalty"
