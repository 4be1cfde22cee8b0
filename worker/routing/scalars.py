"""What an unquoted word of a rule file means, and which words need quotes because readers disagree."""

import re
from typing import Final

SURPRISES: Final = re.compile(r"(?i:y|n|yes|no|on|off)")
"""Booleans to YAML 1.1, text to YAML 1.2."""
CLOCKLIKE: Final = re.compile(r"[0-9]+(:[0-9]{2})+")
"""Numbers in base 60 to YAML 1.1, text to YAML 1.2."""
INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
DISPUTED: Final = {
    "int": "a number that readers disagree about",
    "float": "a binary fraction, which is not exact",
    "timestamp": "a date to some readers",
}


def read_scalar(text: str, tag: str, *, quoted: bool) -> tuple[object, str | None]:  # noqa: PLR0911
    """Return a scalar's value and what is wrong with how it is written, or None.

    ``tag`` is the one that YAML 1.2 resolves an unquoted word to.
    """
    kind = tag.rpartition(":")[2]
    if quoted:
        return text, None
    if SURPRISES.fullmatch(text):
        meaning = "Norway or a boolean" if text == "NO" else "text or a boolean"
        return (
            text,
            f"unquoted {text} is {meaning}, depending on the reader; write '{text}', or true or false",
        )
    if CLOCKLIKE.fullmatch(text):
        return text, f"unquoted {text} is a number to some readers; write it in quotes: '{text}'"
    plain: dict[str, object] = {"str": text, "bool": text.lower() == "true", "null": None}
    if kind in plain:
        return plain[kind], None
    if kind == "int" and INTEGER.fullmatch(text):
        return int(text), None
    if kind in DISPUTED:
        return text, f"unquoted {text} is {DISPUTED[kind]}; write it in quotes: '{text}'"
    return text, f"rule files have no tags, such as {tag}"
