"""Retries for single error codes, as the settings write them: which code, how often, how long."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_settings import NoDecode

from worker.errors import (
    BrokerUnavailable,
    JournalUnavailable,
    PaymentsUnconfirmed,
    TransientError,
    WireError,
)

EXAMPLE: Final = '{"unroutable": {"attempts": 3, "delays": ["5s", "1m"], "in_process": "1s"}}'
MAX_ATTEMPTS: Final = 100  # each is listed in a header, and headers must fit one frame
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NO_ATTEMPT: Final = (  # they end the session instead, or are a producer's
    BrokerUnavailable,
    JournalUnavailable,
    WireError,
    PaymentsUnconfirmed,
)


def parse_duration(text: object) -> object:
    """Turn ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h"`` into seconds; leave numbers as they are.

    Raises:
        ValueError: the text is not a duration.
    """
    if not isinstance(text, str):
        return text
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration; write a number with its unit, such as 500ms, 5s, 2m or 1h"
        )
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(parse_duration)]


def check_delays(delays: tuple[float, ...]) -> tuple[float, ...]:
    """Return delays that rise, one at least, each between 50 ms and a day.

    Raises:
        ValueError: they do not.
    """
    if not delays:
        raise ValueError(
            "there is no delay, and without one the first failed attempt would be the last; name one at least"
            ', such as 5s. For a code that is not to be tried again, write {"attempts": 1} in retry_policies'
        )
    if any(not 0.05 <= delay <= 86400 for delay in delays):
        raise ValueError("each delay is between 50ms and 1d")
    if list(delays) != sorted(set(delays)):
        raise ValueError("delays rise: each is longer than the one before")
    return delays


class CodePolicy(BaseModel):
    """How attempts that failed with one code are tried again; what it leaves out is as for all codes.

    ``attempts`` counts the first one too; 1 means that it is not tried again in the broker.
    """

    model_config = ConfigDict(frozen=True)

    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    delays: Annotated[tuple[Seconds, ...], AfterValidator(check_delays)] | None = None
    in_process: Annotated[Seconds, Field(ge=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _knows_its_members(cls, value: object) -> object:
        if isinstance(value, dict):
            _check_names(value, cls.model_fields, "no such setting of a retry policy")
        return value


def retried_codes(branch: type[TransientError] = TransientError) -> Iterator[str]:
    """Yield the codes with which a payment's attempt can fail and be tried again."""
    for leaf in branch.__subclasses__():
        if leaf not in _NO_ATTEMPT:
            yield leaf.code
            yield from retried_codes(leaf)


def _read(value: object) -> object:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"not JSON ({error}); write it such as {EXAMPLE}") from None
    if isinstance(value, dict):
        _check_names(value, sorted(set(retried_codes())), "no code that is tried again")
    return value


def _check_names(given: dict[Any, Any], known: Any, problem: str) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{name!r} is {problem}; {hint}")


CodePolicies: TypeAlias = Annotated[dict[str, CodePolicy], NoDecode, BeforeValidator(_read)]
"""Policies by error code; text is read as JSON."""
