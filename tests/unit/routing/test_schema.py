"""The JSON Schemas that editors complete and check rule files with."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from schemas.iso3166 import COUNTRY_CODES

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "routing_rules").rglob("*.yaml"))


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas" / "json" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


RULES, TESTS = validator("rules"), validator("rule_tests")


def parsed(text: str):
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_files_fit_their_schema(path):
    """An editor underlines nothing in the files that ship."""
    schema = TESTS if path.name.endswith(".test.yaml") else RULES
    assert [error.message for error in schema.iter_errors(parsed(path.read_text()))] == []


@pytest.mark.parametrize(
    "when",
    [
        "{curency: EUR}",
        "{country: {inn: [DE]}}",
        "{country: {}}",
        "{all: {type: card}}",
        "{not: {tipe: card}}",
        "{any: [{all: [{colour: red}]}]}",
        "{amount: 10}",
        "{time: {day: [mon]}}",
        "{time: {from: '25:00'}}",
        "{metadata.: 1}",
        "{country: {exists: maybe}}",
        "{country: QQ}",
        "{country: {in: [DE, UK]}}",
        "{merchant_id: {between: [a, b]}}",
        "{currency: {gte: EUR}}",
        "{amount: {prefix: '1'}}",
    ],
)
def test_mistakes_in_conditions_are_underlined(when):
    """Unknown fields and operators and wrong kinds of values do not fit, at any depth."""
    text = f"version: 1\nrules: [{{name: a, when: {when}, route: {{hold: x}}}}]"
    assert not RULES.is_valid(parsed(text))
    when = "{any: [{not: {metadata.a.b: 1}}, {country: [DE, $eea]}]}"
    sound = f"version: 1\nrules: [{{name: a, when: {when}, route: {{hold: x}}}}]"
    assert RULES.is_valid(parsed(sound))


@pytest.mark.parametrize(
    "text",
    [
        "rules: []",
        "version: 2",
        "version: 1\nprocessors: {a: {currences: [EUR]}}",
        "version: 1\nprocessors: {a: {countries: [DE, UK]}}",
        "version: 1\nprocessors: {a: {countries: DE}}",
        "version: 1\ndefault: {to: a, reject: {code: b}}",
        "version: 1\nfees: {f: {components: [{name: a, percent: 2.9}]}}",
    ],
)
def test_other_mistakes_are_underlined(text):
    """So do missing versions, unknown fields and countries, two routes in one, numbers without quotes."""
    assert not RULES.is_valid(parsed(text))


def test_a_processors_countries_are_codes_and_groups():
    """An editor completes ISO 3166-1 codes, and lets groups pass."""
    assert RULES.is_valid(parsed("version: 1\nprocessors: {a: {countries: [DE, $eea]}}"))
    assert RULES.schema["$defs"]["Country"]["anyOf"][0]["enum"] == sorted(COUNTRY_CODES)


@pytest.mark.parametrize("name", ["payment", "dispatch", "rule_tests"])
def test_a_payments_country_is_a_code(name):
    """Whoever validates a payment by its schema refuses what the worker refuses, and no more."""
    text = json.dumps(validator(name).schema)
    codes = json.dumps(sorted(COUNTRY_CODES))
    assert text.count(f'"enum": {codes}') == 1


def test_completion_knows_every_field():
    """The schema names the fields, operators and descriptions that an editor offers."""
    when = RULES.schema["$defs"]["When"]
    assert {"type", "currency", "country", "amount", "time", "any", "not"} <= set(when["properties"])
    operators = when["properties"]["country"]["anyOf"][-1]["properties"]
    assert {"in", "not_in", "prefix", "exists"} <= set(operators)


@pytest.mark.parametrize(
    ("payment", "fits"),
    [
        ("{}", True),
        ("{amount: 12.34 EUR, country: DE, metadata: {level: 3}}", True),
        ("{amount: {value: '12.34', currency: EUR}}", True),
        ("{amount: 12.34}", False),
        ("{country: UK}", False),
        ("{contry: DE}", False),
    ],
)
def test_mistakes_in_the_payments_of_tests_are_underlined(payment, fits):
    """They have a payment's fields, all of them optional."""
    text = f"version: 1\ntests: [{{name: a, payment: {payment}, expect: {{held: true}}}}]"
    assert TESTS.is_valid(parsed(text)) is fits


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_editors_find_the_schema(path):
    """The first line of each shipped file names its schema by a path that leads there."""
    first = path.read_text().partition("\n")[0]
    target = (path.parent / first.partition("$schema=")[2]).resolve()
    assert target.name == ("rule_tests" if path.name.endswith(".test.yaml") else "rules") + ".schema.json"
    assert target.is_file()
