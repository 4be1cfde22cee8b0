"""Routing: the rule document compiled into a table that says, for each payment, where it goes and why."""

from worker.routing.compile import check_and_compile, compile_rules
from worker.routing.decision import AccountShare, Decision, Held, Rejected, Routed, RouteSettings, Skipped
from worker.routing.fees import FeeBook
from worker.routing.problems import Problem
from worker.routing.processors import Processor
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable

__all__ = [
    "DEFAULT_RULE",
    "AccountShare",
    "Decision",
    "FeeBook",
    "Held",
    "Problem",
    "Processor",
    "Rejected",
    "RouteSettings",
    "Routed",
    "Rule",
    "RuleTable",
    "Skipped",
    "check_and_compile",
    "compile_rules",
]
