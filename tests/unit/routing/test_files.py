"""Several rule files as one table: folders, includes, overlays, versions."""

import pytest

from worker.errors import InvalidRules
from worker.rules_file import load, load_rules

BASE = """
    version: 1
    processors:
      aurora: {types: [card]}
      borealis: {}
    rules:
      - {name: cards, when: {type: card}, route: {to: aurora, fallback: [borealis]}}
    default: {reject: {code: none}}
    """


def rule_names(table) -> list[str]:
    return [rule.name for rule in table.rules]


def test_a_folder_is_read_in_name_order_without_subfolders(write, tmp_path):
    """Files of a folder are one table, in name order; subfolders and tests are not read."""
    write("version: 1\nrules: [{name: b, when: {}, route: {hold: x}}]\n", "20.yaml")
    write(
        "version: 1\nrules: [{name: a, when: {type: card}, route: {hold: x}}]\ndefault: {hold: z}\n",
        "10.yaml",
    )
    write("not rules", "examples/other.yaml")
    write("not rules", "10.test.yaml")
    assert rule_names(load_rules([tmp_path])) == ["a", "b", "default"]


def test_includes_are_read_first_and_once(write):
    """An included file comes before the one that includes it, however often it is named."""
    write(
        "version: 1\nprocessors: {p: {}}\nrules: [{name: common, when: {type: card}, route: {to: p}}]\n",
        "parts/common.yaml",
    )
    one = write(
        "version: 1\ninclude: [parts/common.yaml]\n"
        "rules: [{name: own, when: {}, route: {to: p}}]\ndefault: {hold: x}\n",
        "one.yaml",
    )
    two = write("version: 1\ninclude: [parts/common.yaml, one.yaml]\n", "two.yaml")
    assert rule_names(load_rules([one, two])) == ["common", "own", "default"]


def test_an_included_file_is_one_file_however_it_is_spelled(write):
    """Spellings of one path are one file, read once and named as plainly as it can be."""
    write("version: 1\nprocessors: {Wrong: {}}\n", "parts/common.yaml")
    path = write(
        "version: 1\ninclude: [parts/../parts/common.yaml, ./parts/common.yaml]\ndefault: {hold: x}\n"
    )
    with pytest.raises(InvalidRules) as caught:
        load_rules([path])
    plain = path.parent / "parts" / "common.yaml"
    assert str(caught.value).startswith(f"{plain}:2:14: ")
    assert str(caught.value).endswith(f"1 problem in {plain}")


def test_what_cannot_be_read_says_what_may_be_named(write):
    """Rules may be a folder or come from the environment; an overlay is a file."""
    path = write("version: 1\ndefault: {hold: x}\n")
    with pytest.raises(
        InvalidRules, match="name a file or folder that is there, or set PAYMENT_WORKER_RULES"
    ):
        load_rules([path.with_name("gone.yaml")])
    with pytest.raises(
        InvalidRules, match=r"gone.yaml: cannot be read: No such file or directory; name a file that"
    ):
        load_rules([path], [path.with_name("gone.yaml")])


def test_a_test_file_is_no_rule_file(write):
    """A rules test file says which command runs it, and nothing else."""
    path = write("version: 1\nrules: [a.yaml]\ntests: []\n", "a.test.yaml")
    with pytest.raises(InvalidRules) as caught:
        load_rules([path])
    text = str(caught.value)
    assert f"{path}:3:1: this is a rules test file; run it with `payment-worker rules test {path}`" in text
    assert text.endswith(f"1 problem in {path}")


def test_a_missing_include_is_named_where_it_is_written(write):
    """The place is that of the name in the list."""
    path = write("version: 1\ninclude: [gone.yaml]\ndefault: {hold: x}\n")
    with pytest.raises(InvalidRules, match=r":2:11: there is no file .*gone.yaml to include"):
        load_rules([path])


def test_an_entry_stands_in_one_file_only(write):
    """A processor defined twice is reported at the second place, with the first one named."""
    one = write(BASE, "a.yaml")
    two = write("version: 1\nprocessors: {aurora: {}}\n", "b.yaml")
    with pytest.raises(InvalidRules) as caught:
        load_rules([one, two])
    assert f"{two}:2:14: aurora is already defined under `processors` in {one}:3:3" in str(caught.value)


@pytest.mark.parametrize(
    "one, two",
    [
        ("processors: []", "processors: {p: {}}"),
        ("processors: {p: {}}", "processors: []"),
        ("rules: {}", "rules: []"),
        ("rules: []", "rules: {}"),
        ("version: 2", "fees: {}"),
    ],
)
def test_sections_of_the_wrong_kind_are_refused_when_merged(write, one, two):
    """A section that is no mapping or no list in one of the files is reported, whichever file it is."""
    head = "" if one.startswith("version") else "version: 1\n"
    first = write(f"{head}{one}\ndefault: {{hold: x}}\n", "a.yaml")
    with pytest.raises(InvalidRules, match=r"expected a|expected 1, found 2"):
        load_rules([first, write(f"version: 1\n{two}\n", "b.yaml")])


def test_an_overlay_may_bring_rules_where_there_are_none(write):
    """Over a table without rules, an overlay's rules are the rules."""
    base = write("version: 1\ndefault: {hold: x}\n")
    over = write("version: 1\nrules: [{name: a, when: {}, route: {hold: z}}]\n", "o.yaml")
    assert rule_names(load_rules([base], [over])) == ["a", "default"]


def test_a_broken_overlay_is_reported(write):
    """An overlay that is no rule file is refused like any other."""
    with pytest.raises(InvalidRules, match=r"o.yaml:1:1: a rule file is a mapping"):
        load_rules([write(BASE)], [write("- 3\n", "o.yaml")])


def test_one_default_only(write):
    """Two files with a default disagree about what happens to the rest."""
    one, two = write(BASE, "a.yaml"), write("version: 1\ndefault: {hold: x}\n", "b.yaml")
    with pytest.raises(InvalidRules, match=r"b.yaml:2:1: `default` is already set in .*a.yaml:7:1"):
        load_rules([one, two])


def test_rule_names_are_unique_across_files(write):
    """A name used in two files is reported."""
    one = write(BASE, "a.yaml")
    two = write("version: 1\nrules: [{name: cards, when: {}, route: {hold: x}}]\n", "b.yaml")
    with pytest.raises(InvalidRules, match=r"b.yaml:2:16: a rule named cards is already there, as rule 1"):
        load_rules([one, two])


def test_an_overlay_changes_what_it_names(write, pay, now):
    """Entries merge, routes and conditions are replaced as a whole, everything else stays."""
    base = write(BASE)
    over = write(
        """
        version: 1
        processors:
          aurora: {enabled: false}
          coinbox: {}
        rules:
          - {name: cards, route: {to: aurora, fallback: [coinbox]}}
        default: {hold: quiet}
        """,
        "staging.yaml",
    )
    table = load_rules([base], [over])
    decision = table.route(pay(), now)
    assert [one.name for one in decision.candidates] == ["coinbox"]
    assert table.processors["aurora"].types == frozenset({"card"})
    assert table.route(pay(type="wallet"), now).reason == "quiet"


def test_an_overlay_replaces_conditions_whole(write, pay, now):
    """Half of the old conditions and half of the new ones would mean neither."""
    over = write("version: 1\nrules: [{name: cards, when: {country: DE}}]\n", "staging.yaml")
    table = load_rules([write(BASE)], [over])
    assert table.route(pay(type="wallet", country="DE"), now).rule == "cards"


def test_an_overlay_names_rules_that_exist(write):
    """A typo in an overlay's rule does not add a rule."""
    over = write("version: 1\nrules: [{name: card, enabled: false}]\n", "staging.yaml")
    with pytest.raises(InvalidRules, match=r"staging.yaml:2:9: .*none is named 'card'; did you mean cards\?"):
        load_rules([write(BASE)], [over])


def test_the_version_is_of_the_content(write):
    """The same content has the same version wherever it lies; one byte more has another."""
    one, same = write(BASE, "a.yaml"), write(BASE, "elsewhere/b.yaml")
    other = write(BASE + "\n", "c.yaml")
    versions = [load_rules([path]).version for path in (one, same, other)]
    assert versions[0] == versions[1] != versions[2]
    assert len(versions[0]) == 16


def test_an_overlay_changes_the_version(write):
    """Rules with an overlay are other rules."""
    base, over = write(BASE), write("version: 1\nprocessors: {aurora: {enabled: false}}\n", "o.yaml")
    assert load_rules([base]).version != load_rules([base], [over]).version


def test_the_files_read_are_known(write):
    """What was read is listed, included files too, so that a watcher knows what to watch."""
    write("version: 1\nprocessors: {p: {}}\n", "common.yaml")
    path = write("version: 1\ninclude: [common.yaml]\ndefault: {hold: x}\n")
    assert [file.name for file in load([path]).files] == ["rules.yaml", "common.yaml"]


def test_a_byte_order_mark_is_no_problem(tmp_path):
    """Editors that write one are forgiven."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\ndefault: {hold: x}\n")
    assert rule_names(load_rules([path])) == ["default"]


def test_several_whole_tables_are_checked_one_by_one(write):
    """Files that each have a default are no one table, and the message says what to do."""
    one, other = (
        write("version: 1\ndefault: {hold: x}\n", "a.yaml"),
        write("version: 1\ndefault: {hold: y}\n", "b.yaml"),
    )
    with pytest.raises(InvalidRules, match="default of its own, check them one by one"):
        load_rules([one, other])


def test_a_repeated_key_of_an_overlay_is_checked_twice(write):
    """Both of its values are laid over the rules, one after the other."""
    over = write("rules: [{name: cards, route: {to: one}, route: {to: two}}]\n", "o.yaml")
    with pytest.raises(InvalidRules) as caught:
        load_rules([write(BASE)], [over])
    for words in ("'route' stands twice", "unknown processor 'one'", "unknown processor 'two'"):
        assert words in str(caught.value)
