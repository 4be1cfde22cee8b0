"""Routing: the rule document compiled into a table that says, for each payment, where it goes and why."""

from worker.routing.compile import check_and_compile, compile_rules
from worker.routing.decision import (
    NO_SETTINGS,
    AccountShare,
    Decision,
    Held,
    Rejected,
    Routed,
    RouteSettings,
    Skipped,
)
from worker.routing.fees import FeeBook
from worker.routing.plugin_fees import PluginSchedule
from worker.routing.problems import Problem
from worker.routing.processors import Batch, Processor
from worker.routing.questions import NO_ANSWERS, Answers, PluginNeeded, Question
from worker.routing.rates import Rates
from worker.routing.steps import Passed
from worker.routing.table import DEFAULT_RULE, Rule, RuleTable
from worker.routing.uses import Catalogue, NoPlugins

__all__ = [
    "DEFAULT_RULE",
    "NO_ANSWERS",
    "NO_SETTINGS",
    "AccountShare",
    "Answers",
    "Batch",
    "Catalogue",
    "Decision",
    "FeeBook",
    "Held",
    "NoPlugins",
    "Passed",
    "PluginNeeded",
    "PluginSchedule",
    "Problem",
    "Processor",
    "Question",
    "Rates",
    "Rejected",
    "RouteSettings",
    "Routed",
    "Rule",
    "RuleTable",
    "Skipped",
    "check_and_compile",
    "compile_rules",
]
