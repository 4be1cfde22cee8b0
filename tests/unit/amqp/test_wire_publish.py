"""What is written: publishes over any frame size, and settlements."""

import pytest
from pamqp import commands, frame

from worker.amqp.wire import PublishRoute, encode_ack, encode_nack, encode_reject
from worker.errors import MalformedProperties, WireError

NO_PROPERTIES = b"\x00\x00"


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Cut frames by their sizes; each must end in the end octet."""
    found, at = [], 0
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
        assert data[end - 1] == 0xCE
        found.append((data[at], data[at + 7 : end - 1]))
        at = end
    assert at == len(data)
    return found


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 8177, 100_000])
def test_a_body_is_cut_at_the_negotiated_frame_size(size: int):
    """No frame is larger than negotiated, none but the last smaller, and an empty body has none."""
    body = bytes(number % 251 for number in range(size))
    found = frames(PublishRoute(7, "e", "k", frame_max=4096).encode(NO_PROPERTIES, body))
    assert [kind for kind, _ in found[:2]] == [1, 2]
    assert int.from_bytes(found[1][1][4:12], "big") == size
    bodies = [payload for kind, payload in found if kind == 3]
    assert len(bodies) == len(found) - 2
    assert b"".join(bodies) == body
    assert all(len(payload) == 4088 for payload in bodies[:-1])
    assert all(1 <= len(payload) <= 4088 for payload in bodies)


@pytest.mark.parametrize("mandatory", [True, False])
def test_the_method_names_exchange_routing_key_and_mandatory(mandatory):
    """The prebuilt method is what pamqp reads as the publish that was asked for."""
    data = PublishRoute(7, "processor.ä", "card.EUR", frame_max=4096, mandatory=mandatory).encode(
        NO_PROPERTIES, b"x"
    )
    _, channel, method = frame.unmarshal(data)
    assert isinstance(method, commands.Basic.Publish)
    assert channel == 7
    assert (method.exchange, method.routing_key, method.mandatory, method.immediate) == (
        "processor.ä",
        "card.EUR",
        mandatory,
        False,
    )


def test_a_body_in_one_frame_is_not_copied():
    """The pieces hold the body itself, so that a batch is joined once."""
    body = bytes(1000)
    assert any(part is body for part in PublishRoute(1, "e", "k", frame_max=4096).parts(NO_PROPERTIES, body))


def test_properties_beyond_a_frame_are_refused():
    """AMQP cannot split a header frame: the last that fits is sent, one byte more is refused."""
    route = PublishRoute(1, "e", "k", frame_max=4096)
    assert len(frames(route.encode(bytes(4076), b"x"))[1][1]) == 4088
    with pytest.raises(MalformedProperties, match="shorten the headers"):
        route.encode(bytes(4077), b"x")


def test_a_route_out_of_bounds_is_refused():
    """Channel, frame size, exchange and routing key are checked when the route is built."""
    with pytest.raises(WireError, match="channel 0"):
        PublishRoute(0, "e", "k", frame_max=4096)
    with pytest.raises(WireError, match="channel 65536"):
        PublishRoute(65536, "e", "k", frame_max=4096)
    with pytest.raises(WireError, match="frame_max is 0"):
        PublishRoute(1, "e", "k", frame_max=0)
    with pytest.raises(MalformedProperties, match="exchange"):
        PublishRoute(1, "e" * 256, "k", frame_max=4096)
    with pytest.raises(MalformedProperties, match="routing key"):
        PublishRoute(1, "e", "k" * 256, frame_max=4096)


def test_tag_zero_is_never_settled():
    """Tag 0 with `multiple` would ack all that is unacked: it is refused, as is what is no tag."""
    for tag in (0, -1, 2**64):
        with pytest.raises(WireError, match="delivery tag"):
            encode_ack(1, tag, multiple=True)
        with pytest.raises(WireError, match="delivery tag"):
            encode_reject(1, tag, requeue=True)
        with pytest.raises(WireError, match="delivery tag"):
            encode_nack(1, tag, requeue=True)
    with pytest.raises(WireError, match="channel 0"):
        encode_ack(0, 1)
