"""What is wrong with a rule document: each problem with its path and the nearest valid name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches

from worker.errors import InvalidRules

Path = tuple[str | int, ...]
"""Keys and list positions from the document's root, such as ``("rules", 3, "when", "currency")``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``on_key`` says that the key is meant, not the value beside it."""

    path: Path
    message: str
    on_key: bool = False
    code: str = InvalidRules.code


@dataclass(slots=True)
class Problems:
    """Collects problems while a document is read, so that all are reported at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, path: Path, message: str) -> None:
        """Record a problem with the value at ``path``."""
        self.found.append(Problem(path, message))

    def add_key(self, path: Path, message: str) -> None:
        """Record a problem with the key at the end of ``path``."""
        self.found.append(Problem(path, message, on_key=True))


def nearest(name: object, valid: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the valid name most like ``name``, or an empty string."""
    names = sorted(valid)
    lowered = {candidate.lower(): candidate for candidate in names}
    word = str(name).lower()
    close = get_close_matches(word, lowered, n=12, cutoff=0.55)
    if not close:
        return ""
    best = max(
        close, key=lambda found: (SequenceMatcher(None, found, word).ratio(), _same_start(found, word))
    )
    return f"; did you mean {lowered[best]}?"


def _same_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def listing(names: Iterable[object], most: int = 12) -> str:
    """Return names for a sentence, at most ``most`` of them, then how many more there are."""
    texts = [str(name) for name in names]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def path_text(path: Path) -> str:
    """Return a path as people write it: ``rules[3].when.currency``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".") or "the document"
