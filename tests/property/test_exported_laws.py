"""Laws of the export: whatever a message holds comes back as it was."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dead_letters import delivery
from worker.amqp.lane import Properties
from worker.amqp.wire import LAST_READABLE_SECONDS, Timestamp
from worker.dead_letters import read_letter
from worker.dead_letters.exported import body_of, from_json, read_line, to_exported, to_json

NAMES = st.one_of(st.text(max_size=20), st.sampled_from(["$bytes", "$time", "$table", "$decimal", "$float"]))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.integers(LAST_READABLE_SECONDS + 1, 2**64 - 1).map(Timestamp),
    st.decimals(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_header_value_comes_back(value: Any) -> None:
    """Through JSON text and back, with its type, even where its names look like marks."""
    back = from_json(orjson.loads(orjson.dumps(to_json(value))))
    assert back == value
    assert type(back) is type(value)


@given(st.binary(max_size=200), st.text(max_size=50))
def test_body_and_text_come_back(body: bytes, app_id: str) -> None:
    """A body of any bytes is the same bytes again, and properties of any text the same text."""
    letter = read_letter(delivery(body, Properties(app_id=app_id)))
    back = read_line(orjson.dumps(to_exported(letter)), 1)
    assert body_of(back) == body
    assert back.properties.app_id == app_id
