"""Write the JSON Schemas of the wire contract into ``schemas/json``, or check that they are up to date."""

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from schemas.dead_letter import Attempt, DeadLetterHeaders, ExportedDeadLetter
from schemas.dispatch import Dispatch
from schemas.event import Event
from schemas.payment import Payment
from schemas.rule_tests import RuleTests
from schemas.rules import RuleDocument

FOLDER = Path(__file__).parent / "json"
MODELS: dict[str, type[BaseModel]] = {
    "payment": Payment,
    "dispatch": Dispatch,
    "dead_letter_headers": DeadLetterHeaders,
    "dead_letter_attempt": Attempt,
    "exported_dead_letter": ExportedDeadLetter,
    "event": Event,
    "rules": RuleDocument,
    "rule_tests": RuleTests,
}


def rendered() -> dict[Path, str]:
    """Return each schema file's path with the text it should hold."""
    texts = {}
    for name, model in MODELS.items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(by_alias=True),
        }
        texts[FOLDER / f"{name}.schema.json"] = json.dumps(schema, indent=2) + "\n"
    return texts


def main(arguments: list[str]) -> int:
    """``python -m schemas.export`` writes; with ``--check`` it names what differs and exits 1."""
    stale = [path for path, text in rendered().items() if not path.exists() or path.read_text() != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.name} differs from its model; run `python -m schemas.export`", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(rendered()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
