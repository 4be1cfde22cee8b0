"""``payment-worker plugins``: which plugins are installed, which may be used, and with which arguments."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.output import readable_errors

if TYPE_CHECKING:
    from worker.plugins.registry import Installed, Registry


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
) -> None:
    """List installed plugins: kind, name, distribution and version, whether allowed, arguments.

    Rules may use those that the setting `plugins` names (PAYMENT_WORKER_PLUGINS=name,name). Only those are
    imported, here too; of the others nothing but their metadata is read. Exit code 2 for an allowed name that
    nothing offers.
    """
    with readable_errors():
        from worker.plugins.registry import Registry
        from worker.settings import load_settings

        registry = Registry.of(load_settings().plugins)
        rows = [_described(registry, one) for one in registry.installed]
        if as_json:
            import orjson

            sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            _print(rows)
        registry.check()


def _described(registry: "Registry", one: "Installed") -> dict[str, Any]:
    from worker.routing.uses import Refused

    row: dict[str, Any] = {
        "kind": one.kind.value,
        "name": one.name,
        "distribution": one.distribution,
        "version": one.version,
        "allowed": one.name in registry.allowed,
    }
    if row["allowed"]:
        try:
            offer = registry.offer(one)
        except Refused as refused:
            row["error"] = str(refused)
        else:
            row["deadline_seconds"] = offer.deadline_seconds
            row["arguments"] = offer.arguments.model_json_schema()
    return row


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        sys.stdout.write("No plugins are installed.\n")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("kind", "name", "distribution", "allowed", "deadline", "arguments"):
        table.add_column(column, no_wrap=column in ("kind", "name"))
    for row in rows:
        deadline = f"{row['deadline_seconds']:g} s" if "deadline_seconds" in row else "-"
        arguments = row.get("error") or ("; ".join(_arguments(row["arguments"])) if row["allowed"] else "-")
        table.add_row(
            row["kind"],
            row["name"],
            f"{row['distribution']} {row['version']}",
            "[green]yes[/]" if row["allowed"] else "no",
            deadline,
            escape(arguments or "none"),
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def _arguments(schema: dict[str, Any]) -> list[str]:
    """Return each argument with its type, and its default where it need not be given."""
    required = set(schema.get("required", ()))
    return [
        f"{name}: {_type(one)}" + ("" if name in required else f" = {one.get('default')!r}")
        for name, one in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type") or schema.get("$ref", "anything").rpartition("/")[2])
