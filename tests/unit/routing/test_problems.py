"""What is wrong in a rule file is said all at once, with its place and the nearest valid name."""

import re
from pathlib import Path
from unittest.mock import patch

import pytest

from schemas.rules import RuleDocument
from worker.errors import ConfigurationError, InvalidRules
from worker.routing import compile_rules, windows
from worker.rules_file import load_rules

HEAD = """\
version: 1
groups: {eea: [DE, FR]}
processors:
  aurora: {types: [card]}
  borealis: {}
fees:
  cards: {components: [{name: processing, percent: "2.9"}]}
rules:
  - name: one
    when: WHEN
    route: ROUTE
default: {reject: {code: no_route}}
"""


def problems_of(path: Path) -> str:
    with pytest.raises(InvalidRules) as caught:
        load_rules([path])
    return str(caught.value)


@pytest.mark.parametrize(
    "when, place, words",
    [
        ("{curency: EUR}", "10:12", "unknown field 'curency'; did you mean currency?"),
        ("{currency: EUX}", "10:22", "unknown currency 'EUX'; did you mean EUR?"),
        ("{country: UK}", "10:21", "unknown country 'UK', expected ISO 3166-1 alpha-2 such as DE"),
        ("{country: NO}", "10:21", "unquoted NO is Norway or a boolean, depending on the reader; write 'NO'"),
        ("{type: Card}", "10:18", "'Card' is no payment type"),
        ("{type: 3}", "10:18", "type is text; write 3 in quotes: '3'"),
        ("{country: $eae}", "10:21", "unknown group 'eae'; did you mean eea? (groups are eea)"),
        ("{country: {inn: [DE]}}", "10:22", "unknown operator 'inn'; did you mean in?"),
        ("{country: {gt: DE}}", "10:22", "unknown operator 'gt'"),
        ("{country: {eq: [DE]}}", "10:26", "`eq` takes one value"),
        ("{country: {in: DE}}", "10:26", "`in` takes a list, such as [DE], or a $group"),
        ("{country: []}", "10:21", "an empty list matches nothing"),
        ("{country: {}}", "10:21", "expected operators"),
        ("{amount: 10}", "10:20", "the amount 10 is a number; write it in quotes: '10'"),
        ("{amount: {gte: 1.5}}", "10:26", "unquoted 1.5 is a binary fraction, which is not exact"),
        ("{amount: {gte: '1,5'}}", "10:26", "'1,5' is not an amount such as '10' or '10.00 EUR'"),
        ("{amount: {gte: '5 EUX'}}", "10:26", "unknown currency 'EUX'"),
        ("{amount: {gte: ['5']}}", "10:27", "in a list of amounts each names its own currency"),
        ("{amount: {gte: ['5 EUR', '6 EUR']}}", "10:36", "in a list of amounts each names its own currency"),
        ("{amount: {between: ['5']}}", "10:30", "`between` takes two values"),
        ("{amount: {between: ['5', '1']}}", "10:30", "the lower end 5 is above the upper end 1"),
        ("{amount: {between: ['5 EUR', '9 USD']}}", "10:30", "both ends of `between` name the same currency"),
        ("{metadata.level: {gte: high}}", "10:34", "`gte` on metadata.level compares integers; found 'high'"),
        ("{metadata.: 1}", "10:12", "unknown field 'metadata.'"),
        ("{merchant_id: {glob: 7}}", "10:32", "`glob` takes text in quotes, found 7"),
        ("{method.bin: {bin: 411111}}", "10:30", "411111 is not a card number prefix in quotes"),
        ("{method.bin: {bin: ['5-40']}}", "10:31", "in '5-40' both ends have the same number of digits"),
        ("{country: {exists: 'yes'}}", "10:30", "`exists` is true or false, found 'yes'"),
        ("{created_at: {gte: '2026-01-01'}}", "10:30", "'2026-01-01' is not a date and time with an offset"),
        ("{metadata.day: 2026-01-01}", "10:26", "unquoted 2026-01-01 is a date to some readers"),
        ("{time: {day: [mon]}}", "10:19", "unknown part of a time window 'day'; did you mean days?"),
        ("{time: {days: [monday]}}", "10:26", "unknown day 'monday'; did you mean mon?"),
        ("{time: {from: '25:00'}}", "10:25", "'25:00' is not a time of day in quotes"),
        ("{time: {from: 09:00}}", "10:25", "unquoted 09:00 is a number to some readers"),
        (
            "{time: {zone: Europe/Malt}}",
            "10:25",
            "unknown time zone 'Europe/Malt'; did you mean Europe/Malta?",
        ),
        (
            "{time: {after: '2026-01-02T00:00Z', before: '2026-01-01T00:00Z'}}",
            "10:55",
            "`before` is not later than `after`, so the window never opens",
        ),
        ("{time: [3]}", "10:19", "a time window is a mapping of days, from, to, zone, after, before"),
        ("{time: {}}", "10:18", "a time window is a mapping of"),
        ("{time: {days: mon}}", "10:25", "days are a list out of mon, tue"),
        ("{time: {zone: 3}}", "10:25", "unknown time zone 3"),
        ("{created_at: {gte: '2026-13-01T00:00Z'}}", "10:30", "'2026-13-01T00:00Z' is not a date and time"),
        ("{metadata.x: [[1]]}", "10:25", "expected text, an integer or a boolean, found a list"),
        ("{metadata.x: {gte: [1]}}", "10:30", "`gte` takes one value"),
        ("{merchant_id: {prefix: []}}", "10:34", "`prefix` takes text or a list of texts"),
        ("{any: {type: card}}", "10:17", "`any` is a list of conditions"),
        ("{not: [card]}", "10:17", "conditions are a mapping of fields"),
        ("{type: !card card}", "10:18", "rule files have no tags, such as !card"),
        ("{type: !!str card}", "10:18", "rule files have no tags, such as !!str"),
        ('{metadata.n: !!int "5"}', "10:24", "rule files have no tags, such as !!int"),
        ("{!!str type: card}", "10:12", "rule files have no tags, such as !!str"),
        ("!!map {type: card}", "10:11", "rule files have no tags, such as !!map"),
        ("{type: &a card}", "10:18", "rule files have no anchors and aliases"),
        ("{type: card, type: wallet}", "10:24", "'type' stands twice in this mapping, first in line 10"),
        ("{type: }", "10:12", "there is no value after 'type'"),
        ("{metadata.n: 0123}", "10:24", "unquoted 0123 is a number that readers disagree about"),
        ("{1: card}", "10:12", "a key is text; write it in quotes: '1'"),
        ("[card]", "10:11", "expected a mapping, found a list"),
    ],
)
def test_conditions(write, when, place, words):
    """Each mistake in a condition has its line and column and says what to do."""
    path = write(HEAD.replace("WHEN", when).replace("ROUTE", "{to: aurora}"))
    text = problems_of(path)
    assert f"{path}:{place}: {words}" in text
    assert text.endswith(f"1 problem in {path}"), text


@pytest.mark.parametrize(
    "route, place, words",
    [
        (
            "{to: auroa}",
            "11:17",
            "unknown processor 'auroa'; did you mean aurora? (processors are aurora, borealis)",
        ),
        ("{to: aurora, fallback: [boreal]}", "11:36", "unknown processor 'boreal'; did you mean borealis?"),
        (
            "{to: aurora, fallback: [aurora]}",
            "11:36",
            "processor aurora is already a candidate of this route",
        ),
        ("{to: aurora, fees: card}", "11:31", "unknown fee schedule 'card'; did you mean cards?"),
        (
            "{to: aurora, reject: {code: x}}",
            "11:25",
            "a route is one of to, split, least_cost, reject, hold; `reject` is a second one",
        ),
        (
            "{too: aurora}",
            "11:12",
            "a route is a mapping with one of to, split, least_cost, reject, hold; did you mean to?",
        ),
        ("{split: {aurora: '50', borealis: '40'}}", "11:20", "the weights sum to 90 %, not to 100 %"),
        ("{split: {aurora: '50', boreal: '50'}}", "11:35", "unknown processor 'boreal'"),
        (
            "{split: {aurora: 50, borealis: 50}}",
            "11:29",
            "expected text, found the number 50; write it in quotes: '50'",
        ),
        ("{least_cost: [aurora]}", "11:26", "processor aurora states no cost"),
        ("{reject: {code: No}}", "11:28", "unquoted No is text or a boolean"),
        ("{reject: {}}", "11:21", "`code` is missing"),
        ("{hold: 3}", "11:19", "expected text, found the number 3"),
        ("{to: aurora, priority: 12}", "11:35", "expected at most 9, found 12"),
        ("{to: aurora, settlement_currency: EUX}", "11:46", "unknown currency 'EUX'"),
        (
            "{to: aurora, accounts: [{account: a, percent: '90'}]}",
            "11:35",
            "the shares sum to 90 %; make them 100 %",
        ),
        (
            "{to: aurora, accounts: [{account: a}]}",
            "11:36",
            "account a needs either `percent` or `rest: true`",
        ),
        ("{to: aurora, colour: red}", "11:25", "unknown field 'colour'"),
    ],
)
def test_routes(write, route, place, words):
    """Each mistake in a route has its line and column and says what to do."""
    text = problems_of(write(HEAD.replace("WHEN", "{type: card}").replace("ROUTE", route)))
    assert f":{place}: {words}" in text


def test_everything_is_reported_at_once(write):
    """Mistakes in values, shapes and names are all in one message, in the order of the lines."""
    path = write("""
        version: 1
        processors:
          aurora: {currences: [EUR]}
        fees:
          cards: {components: [{name: a, percent: 2.9}]}
        rules:
          - name: one
            when: {curency: EUR}
            route: {to: auroa}
          - name: one
            when: {country: NO}
            route: {too: aurora}
        """)
    text = problems_of(path)
    lines = [line.split(":")[1] for line in text.splitlines() if line.startswith(str(path))]
    assert lines == ["1", "3", "5", "8", "9", "10", "11", "12"]
    assert text.endswith(f"8 problems in {path}")


def test_the_line_is_shown_with_a_caret(write):
    """The offending words are underlined below their line."""
    text = problems_of(write(HEAD.replace("WHEN", "{country: ZZ}").replace("ROUTE", "{to: aurora}")))
    assert "  10 |     when: {country: ZZ}\n     |                     ^^" in text


def test_a_broken_processor_is_not_also_unknown(write):
    """What refers to an entry that is wrong itself is not reported on top."""
    path = write("""
        version: 1
        processors:
          aurora: {types: card}
        rules:
          - {name: a, when: {}, route: {to: aurora}}
        default: {reject: {code: x}}
        """)
    assert problems_of(path).count(f"{path}:") == 1


@pytest.mark.parametrize(
    "text, words",
    [
        ("rules: [", "not YAML: "),
        ("", "a rule file is a mapping that begins with `version: 1`"),
        ("- a", "a rule file is a mapping that begins with `version: 1`"),
        ("default: {reject: {code: x}}", "`version: 1` is missing"),
        ("version: 2\ndefault: {reject: {code: x}}", "expected 1, found 2"),
        ("version: 1", "`default` is missing"),
        ("version: 1\nrules: {}\ndefault: {hold: x}", "expected a list, found a mapping"),
        ("version: 1\nrule: []\ndefault: {hold: x}", "unknown field 'rule'; did you mean rules?"),
        ("version: 1\ndefault: {hold: x}\n---\na: 1", "not YAML: "),
        ("version: 1\ngroups: {a: [[x]]}\ndefault: {hold: x}", "expected text, found a list"),
        ("version: 1\nprocessors: []\ndefault: {hold: x}", "expected a mapping, found a list"),
        ("version: 1\nrules: [3]\ndefault: {hold: x}", "expected a mapping, found 3"),
        ("version: 1\nrules: [{when: {}, route: {hold: x}}]\ndefault: {hold: x}", "`name` is missing"),
        ("version: 1\ngroups: {a: [$b], b: [$a]}\ndefault: {hold: x}", "group a contains itself"),
        (
            "version: 1\nprocessors: {a: {health: {failure_percent: '0'}}}\ndefault: {hold: x}",
            "failure_percent is 0; expected more than 0 and at most 100",
        ),
        ("version: 1\nunits: {EUR: {exponent: 2}}\ndefault: {hold: x}", "the code is taken"),
        (
            "version: 1\nfees: {none: {components: [{name: a, percent: '1'}]}}\ndefault: {hold: x}",
            "`none` stands for",
        ),
        ("version: 1\na: " + "[" * 60 + "]" * 60, "nested deeper than"),
        ("version: 1\na: " + "[" * 60_000, "nested deeper than"),
        (
            "version: 1\nprocessors: {Aurora: {}}\ndefault: {hold: x}",
            "'Aurora' is not a name of up to 64 lowercase letters",
        ),
        (
            "version: 1\nrules: [{name: default, when: {}, route: {hold: x}}]\ndefault: {hold: x}",
            "`default` is the name under which `default:` decides",
        ),
    ],
)
def test_whole_files(write, text, words):
    """Files that are not YAML, not rules or not complete say so."""
    assert words in problems_of(write(text))


FEE_HEAD = "version: 1\nfees:\n  f:\n    components: [COMPONENT]\ndefault: {hold: x}\n"


@pytest.mark.parametrize(
    "component, words",
    [
        ("{name: a}", "fee a needs one of percent, fixed, per_item, graduated, volume, or tax"),
        ("{name: a, tax: '19', fixed: {EUR: '1'}}", "a tax has no fixed"),
        ("{name: a, percent: '1', of: [b]}", "`of` belongs to a `tax`"),
        ("{name: a, tax: '19', of: [b]}", "taxes 'b'"),
        ("{name: a, percent: '101'}", "expected 0 to 100"),
        ("{name: a, percent: '-1'}", "'-1' is not a decimal in quotes"),
        ("{name: a, fixed: {EUX: '1'}}", "unknown currency 'EUX'"),
        ("{name: a, fixed: {eur: '1'}}", "'eur' is not a currency code"),
        (
            "{name: a, maximum: {EUR: '1'}, minimum: {EUR: '2'}, percent: '1'}",
            "the maximum in EUR is below the minimum",
        ),
        ("{name: a, graduated: [{up_to: {EUR: '5'}, percent: '1'}]}", "the last one must be open-ended"),
        ("{name: a, percent: '1', minimum: {EUR: '0.001'}}", "expected 2 decimals at most"),
    ],
)
def test_fees(write, component, words):
    """Fee schedules that cannot be charged are refused when they are loaded."""
    assert words in problems_of(write(FEE_HEAD.replace("COMPONENT", component)))


def test_not_utf8_names_the_line(tmp_path):
    """Bytes that are not UTF-8 are reported with their place."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"version: 1\n# caf\xe9\n")
    assert f"{path}:2:6: not UTF-8: invalid continuation byte 0xe9" in problems_of(path)


def test_a_missing_file_is_one_readable_line(tmp_path):
    """A path that is not there is named with the reason."""
    text = problems_of(tmp_path / "none.yaml")
    assert text.startswith(f"{tmp_path}/none.yaml: cannot be read: No such file or directory; name a file")


def test_a_character_that_yaml_forbids_has_its_place(write):
    """It is shown as a mark, so that no terminal obeys it."""
    path = write("version: 1\ndefault: {hold: '\x1b[2Jx'}\n")
    text = problems_of(path)
    assert f"{path}:2:18: not YAML: the character #x001b may stand in no YAML file; take it out" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "text, words",
    [
        ("processors: {a: &x {}, b: *x}", "rule files have no anchors and aliases"),
        ("processors: {a: {<<: {types: [card]}}}", "rule files have no merge keys (<<); use groups"),
        ("fees: {f: {components: [{name: a, percent: !!str 2}]}}", "rule files have no tags, such as !!str"),
        ("units: {GEM: {exponent: !!int '2'}}", "rule files have no tags, such as !!int"),
        ("processors:", "there is no value after 'processors'"),
        ("rates: {plugin: {daily: }}", "there is no value after 'daily'"),
    ],
)
def test_what_is_refused_as_written_is_said_once(write, text, words):
    """What such a value would mean, or that it is missing, is no second problem."""
    path = write(f"version: 1\n{text}\ndefault: {{hold: x}}\n")
    found = problems_of(path)
    assert words in found
    assert found.endswith(f"1 problem in {path}"), found


def test_what_stands_beside_a_broken_step_is_checked_too(write):
    """The other steps keep their places, and so do their mistakes."""
    path = write(
        """
        version: 1
        steps:
          - {name: a, plugin: {}}
          - {name: b, plugin: {unknown: {}}}
          - {name: c, plugin: blocked}
          - {name: d, when: {curency: EUR}, plugin: {unknown: {}}}
        default: {hold: x}
        """
    )
    text = problems_of(path)
    places = re.findall(rf"^{re.escape(str(path))}:(\d+):\d+: (.{{24}})", text, re.MULTILINE)
    assert places == [
        ("3", "`plugin` names one plugi"),
        ("4", "unknown step plugin 'unk"),
        ("5", "`plugin` names one plugi"),
        ("6", "unknown field 'curency';"),
        ("6", "unknown step plugin 'unk"),
    ]


def test_an_empty_folder_is_named(tmp_path):
    """A folder without rule files is a mistake, not an empty table."""
    assert "the folder has no *.yaml in it" in problems_of(tmp_path)


def test_no_files_at_all():
    """Rules are required."""
    with pytest.raises(InvalidRules, match="no rule files are given"):
        load_rules([])


def test_invalid_rules_stop_the_start():
    """Broken rules are a matter of configuration."""
    assert issubclass(InvalidRules, ConfigurationError)


def test_a_document_without_files_reports_paths():
    """Compiled from data, problems are named by their path."""
    document = RuleDocument.model_validate(
        {
            "version": 1,
            "rules": [{"name": "a", "when": {"tpye": "card"}, "route": {"to": "x"}}],
            "default": {"hold": "x"},
        }
    )
    with pytest.raises(InvalidRules) as caught:
        compile_rules(document, "v")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("rules[0].when.tpye: unknown field 'tpye'; did you mean type?")
    assert lines[1] == "rules[0].route.to: unknown processor 'x' (no processors are defined)"


def test_a_machine_without_time_zones_says_so(write):
    """Where no time zone is known, the message says what is missing rather than blame the name."""
    path = write(HEAD.replace("WHEN", "{time: {zone: Europe/Atlantis}}").replace("ROUTE", "{to: aurora}"))
    with patch.object(windows, "available_timezones", return_value=set()):
        assert "this machine has no time zone data, install tzdata" in problems_of(path)


def test_what_stands_beside_a_mistake_is_checked_too(write):
    """One mistake in a rule, processor or fee hides no other in it, and makes nothing else look unknown."""
    path = write(
        """
        version: 1
        processors:
          p: {enabled: 'yes', currencies: [EUX]}
          q: {cost: {components: [{name: c, percent: '-1'}, {name: d, fixed: {EUX: '1'}}]}}
        fees:
          f:
            components:
              - {name: one, percent: abc}
              - {name: two, fixed: {EUX: '1.00'}}
              - {name: vat, tax: '19', of: [one]}
        groups: {eea: [DE, [FR]]}
        rules:
          - {name: BAD NAME, when: {curency: EUR}, route: {to: nope}}
          - {name: a, when: {country: $eea}, route: {to: p, fees: 5, fallback: [zz]}}
          - {name: b, when: 5, route: {to: p, priority: 900, fees: f}}
          - {name: c, when: {type: card}, route: {least_cost: [q]}}
        default: {hold: x}
        """
    )
    text = problems_of(path)
    places = re.findall(rf"^{re.escape(str(path))}:(\d+):", text, re.MULTILINE)
    assert places == ["3", "3", "4", "4", "8", "9", "11", "13", "13", "13", "14", "14", "15", "15"]
    assert "expected true or false, found 'yes'" in text
    assert "expected at most 9, found 900" in text


def test_both_values_of_a_repeated_key_are_checked(write):
    """What is wrong with either is said at once, and what either defines is known to the rest."""
    path = write(
        """
        version: 1
        processors:
          p: {currencies: [EUX], currencies: [USX]}
          p: {cost: none_such}
        processors:
          q: {amonut: {gt: '1'}}
        rules:
          - name: a
            when: {type: card, type: 5, country: NO, country: DEU}
            route: {to: p, to: q, fallback: [x]}
            route: {to: zz}
        default: {to: q}
        default: {reject: {code: Bad}}
        version: 2
        include: []
        include: [none.yaml]
        """
    )
    text = problems_of(path)
    found = re.findall(rf"^{re.escape(str(path))}:(\d+):\d+: (.*)$", text, re.MULTILINE)
    repeated = [int(line) for line, message in found if "stands twice in this mapping" in message]
    assert repeated == [3, 4, 5, 9, 9, 10, 11, 13, 14, 16]
    others = [(int(line), message[:24]) for line, message in found if "stands twice" not in message]
    assert others == [
        (3, "unknown currency 'EUX'; "),
        (4, "unknown fee schedule 'no"),
        (6, "unknown field 'amonut'; "),
        (9, "type is text; write 5 in"),
        (9, "unquoted NO is Norway or"),
        (9, "unknown country 'DEU', e"),
        (10, "unknown processor 'x' (p"),
        (11, "unknown processor 'zz' ("),
        (13, "'Bad' is not a name that"),
        (14, "expected 1, found 2"),
        (16, f"there is no file {path.parent}/none.yaml to include"[:24]),
    ]


@pytest.mark.parametrize("code", ["XXY", "XTZ", "XYX"])
def test_codes_for_testing_are_never_suggested(write, code):
    """XXX and XTS are nobody's currency, so a typo is never taken for them."""
    path = write(HEAD.replace("WHEN", f"{{currency: {code}}}").replace("ROUTE", "{to: aurora}"))
    text = problems_of(path)
    assert f"unknown currency '{code}'" in text
    assert "XXX" not in text
    assert "XTS" not in text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("HRK", "unknown currency 'HRK' (Kuna): ISO 4217 withdrew it in 2023-01; use EUR"),
        ("XXX", "nothing settles in XXX"),
        ("XAU", "nothing settles in XAU"),
    ],
)
@pytest.mark.parametrize("place", ["condition", "amount", "processor", "price", "settlement"])
def test_a_currency_that_no_payment_is_in(place: str, code: str, said: str, tmp_path: Path) -> None:
    """Wherever a rule file names a currency, a withdrawn one has its successor, and metals settle nothing."""
    document = {
        "condition": f"rules: [{{name: r, when: {{currency: {code}}}, route: {{to: p}}}}]",
        "amount": f'rules: [{{name: r, when: {{amount: {{lt: "5 {code}"}}}}, route: {{to: p}}}}]',
        "processor": f"processors: {{p: {{}}, q: {{currencies: [{code}]}}}}",
        "price": f'fees: {{f: {{components: [{{name: x, fixed: {{{code}: "1"}}}}]}}}}',
        "settlement": f"rules: [{{name: r, when: {{}}, route: {{to: p, settlement_currency: {code}}}}}]",
    }[place]
    rest = "version: 1\ndefault: {reject: {code: no, reason: no}}\n"
    if place != "processor":
        rest += "processors: {p: {}}\n"
    path = tmp_path / "rules.yaml"
    path.write_text(f"{rest}{document}\n")
    assert said in problems_of(path)
