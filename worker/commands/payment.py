"""``payment-worker payment``: what happened to one payment, and where it is now."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.books_options import AsJson, opened_books
from worker.commands.options import Journal, Overlays, Rules
from worker.commands.output import EXIT_FAILURE, readable_errors

if TYPE_CHECKING:
    from worker.bookkeeping.story import Story
    from worker.settings import Settings


def payment(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="Payment id, or the id of one of its dispatches.")
    ],
    as_json: AsJson = False,
    rules: Rules = None,
    overlay: Overlays = None,
    journal: Journal = None,
) -> None:
    """Tell the whole story of one payment: where it is, what it costs, who had it when.

    How its fees were rounded is worked out again by the rules, if they are still those that charged it.
    """
    with readable_errors():
        from worker.bookkeeping.story import nearest, read_story
        from worker.commands import payment_view as view
        from worker.errors import InvalidSettings
        from worker.settings import load_settings

        if not name.strip():
            raise InvalidSettings("ID is empty; give the id of a payment, or of one of its dispatches")
        settings = load_settings(journal=journal, rules=rules or None, overlays=overlay or None)
        with opened_books(settings) as books:
            story = read_story(books, name)
            near = nearest(books, name) if story is None else None
        if story is None:
            hint = f"; did you mean {near}?" if near else ""
            sys.stderr.write(
                f"error: the journal {settings.shown_journal} knows no payment and no dispatch"
                f" with the id {name}{hint}\n"
            )
            raise typer.Exit(EXIT_FAILURE)
        if story.fees and not story.steps:
            story = _worked_out(story, settings)
        (view.write_story if as_json else view.show_story)(story)


def _worked_out(story: "Story", settings: "Settings") -> "Story":
    """Add how fees were rounded, where the settings' rules are those that charged them."""
    from dataclasses import replace

    from worker.bookkeeping.roundings import steps_by_rules
    from worker.commands.rules_options import AllowedPlugins
    from worker.errors import ConfigurationError
    from worker.rules_file import load_rules

    try:
        table = load_rules(settings.rules, settings.overlays, AllowedPlugins())
    except ConfigurationError:
        return story
    return story if story.standing is None else replace(story, steps=steps_by_rules(story.standing, table))
