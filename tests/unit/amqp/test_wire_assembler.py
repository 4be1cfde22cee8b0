"""The assembler: what is diverted, what passes, what ends the session."""

import time

import pytest
from pamqp import body, commands, frame, header, heartbeat

from worker.amqp.assembler import Assembler
from worker.amqp.wire import Confirm, Delivery, Return
from worker.errors import WireError

Basic = commands.Basic


def wire(*values, channel=1) -> bytes:
    return b"".join(frame.marshal(value, channel) for value in values)


def content(data: bytes, *, step: int = 4088, channel: int = 1, **properties) -> bytes:
    pieces = [body.ContentBody(data[at : at + step]) for at in range(0, len(data), step)]
    return wire(header.ContentHeader(0, len(data), Basic.Properties(**properties)), *pieces, channel=channel)


def delivery(tag: int, data: bytes, *, step: int = 4088, channel: int = 1, **properties) -> bytes:
    method = Basic.Deliver("consumer", tag, tag % 2 == 0, "payments", "card.EUR")
    return wire(method, channel=channel) + content(data, step=step, channel=channel, **properties)


def diverting(*channels: int, **limits) -> Assembler:
    assembler = Assembler(**limits)
    for channel in channels or (1,):
        assembler.divert(channel)
    return assembler


def test_a_delivery_is_taken_out():
    """A delivery becomes an event with all its parts, and nothing of it passes."""
    events, passed = diverting().feed(delivery(6, b"body", message_id="m"))
    assert passed == b""
    (event,) = events
    assert isinstance(event, Delivery)
    assert (event.channel, event.tag, event.redelivered, event.body) == (1, 6, True, b"body")
    assert (event.consumer_tag, event.exchange, event.routing_key) == ("consumer", "payments", "card.EUR")
    assert event.properties.message_id == "m"
    assert event.properties is event.properties


def test_a_body_never_shows_in_a_repr():
    """A log line with an event in it has no payment in it."""
    events, _ = diverting().feed(delivery(1, b"4111111111111111"))
    assert "4111" not in repr(events)


def test_an_empty_body_has_no_body_frame():
    """A message of nothing is complete with its header."""
    events, _ = diverting().feed(delivery(1, b"") + delivery(2, b"x"))
    assert [(event.tag, event.body) for event in events] == [(1, b""), (2, b"x")]


def test_confirms_and_returns_come_in_the_order_of_the_stream():
    """A return precedes its ack, as the broker sends them."""
    stream = (
        wire(Basic.Ack(1, False))
        + wire(Basic.Return(312, "NO_ROUTE", "ex", "key"))
        + content(b"back", message_id="m-2")
        + wire(Basic.Ack(2, True), Basic.Nack(4, True, False), Basic.Nack(5, False, True))
    )
    events, passed = diverting().feed(stream)
    assert passed == b""
    first, returned, second, *refused = events
    assert isinstance(returned, Return)
    assert (returned.reply_code, returned.reply_text, returned.exchange, returned.routing_key) == (
        312,
        "NO_ROUTE",
        "ex",
        "key",
    )
    assert (returned.body, returned.properties.message_id) == (b"back", "m-2")
    confirms = [first, second, *refused]
    assert all(isinstance(confirm, Confirm) for confirm in confirms)
    assert [(one.tag, one.multiple, one.stored) for one in confirms] == [
        (1, False, True),
        (2, True, True),
        (4, True, False),
        (5, False, False),
    ]


@pytest.mark.parametrize(
    "method",
    [
        commands.Channel.Close(404, "NOT_FOUND", 60, 40),
        Basic.Cancel("consumer", True),
        Basic.QosOk(),
        Basic.ConsumeOk("consumer"),
        commands.Channel.Flow(True),
        commands.Confirm.SelectOk(),
    ],
)
def test_other_methods_of_a_diverted_channel_pass(method):
    """Only four methods are taken; the rest belongs to the channel's owner, before and after a delivery."""
    assembler = diverting()
    data = wire(method)
    assert assembler.feed(data) == ([], data)
    events, passed = assembler.feed(delivery(1, b"x") + data + delivery(2, b"y"))
    assert [event.tag for event in events] == [1, 2]
    assert passed == data


def test_the_content_of_get_ok_passes_whole():
    """The answer to Basic.Get on a diverted channel goes to whoever asked."""
    got = wire(Basic.GetOk(5, False, "payments", "key", 0)) + content(b"z" * 10_000)
    events, passed = diverting().feed(delivery(1, b"x") + got + delivery(2, b"y"))
    assert [event.tag for event in events] == [1, 2]
    assert passed == got


def test_channels_that_are_not_diverted_pass_whole():
    """Deliveries elsewhere, channel 0 and heartbeats pass byte for byte, and in one piece uncopied."""
    stream = (
        delivery(1, b"x", channel=2)
        + wire(commands.Connection.Blocked("memory"), channel=0)
        + wire(heartbeat.Heartbeat(), channel=0)
    )
    events, passed = diverting().feed(stream)
    assert events == []
    assert passed is stream


def test_contents_of_several_channels_may_interleave():
    """Frames of different channels alternate; each content is put together on its own."""
    one, two, other = (delivery(tag, bytes([tag]) * 30, step=10, channel=tag) for tag in (1, 2, 3))

    def cut(data: bytes) -> list[bytes]:
        pieces, at = [], 0
        while at < len(data):
            end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
            pieces.append(data[at:end])
            at = end
        return pieces

    mixed = b"".join(b"".join(trio) for trio in zip(cut(one), cut(two), cut(other), strict=True))
    events, passed = diverting(1, 2).feed(mixed)
    assert [(event.channel, event.body) for event in events] == [(1, b"\x01" * 30), (2, b"\x02" * 30)]
    assert passed == other


def test_the_version_header_of_a_refusing_broker_passes():
    """A broker of another version answers with eight bytes that are no frame; the owner tells the user."""
    for cut in range(9):
        assembler = diverting()
        data = b"AMQP\x00\x01\x00\x00"
        passed = assembler.feed(data[:cut])[1] + assembler.feed(data[cut:])[1]
        assert passed == data


def feed_slowly(assembler: Assembler, stream: bytes) -> None:
    for at in range(len(stream)):
        assembler.feed(stream[at : at + 1])


BAD_HEADER = wire(header.ContentHeader(0, 1, Basic.Properties())).replace(b"\x00\x3c", b"\x00\x3d")
SHORT_HEADER = b"\x02\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x00" + bytes(7) + b"\x01\x00\xce"
DELIVER = wire(Basic.Deliver("c", 1, False, "", "q"))


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"\x01\x00\x01\x00\x02\x00\x00", "negotiated frame size"),
        (b"\x04\x00\x00\x00\x00\x00\x00", "begins with kind 4"),
        (wire(heartbeat.Heartbeat(), channel=0) + b"AMQP\x00\x00\x09\x01", "begins with kind 65"),
        (b"\x08\x00\x00\x00\x00\x00\x00\xcf", "ends in 0xcf"),
        (wire(Basic.QosOk(), channel=2)[:-1] + b"\x00", "ends in 0x00"),
        (delivery(1, b"xx")[:-1] + b"\x00", "ends in 0x00"),
        (b"\x01\x00\x01\x00\x00\x00\x03\x00\x3c\x00\xce", "method of 3 bytes"),
        (wire(Basic.Deliver("c", 0, False, "", "q")), "delivery tag 0"),
        (wire(Basic.Ack(0, True)), "delivery tag 0"),
        (wire(Basic.Nack(0, True)), "delivery tag 0"),
        (b"\x01\x00\x01\x00\x00\x00\x0c\x00\x3c\x00\x50" + bytes(8) + b"\xce", "Basic.Ack .* has 12 bytes"),
        (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce", "Basic.Deliver .* has 4 bytes"),
        (DELIVER.replace(b"\x01q\xce", b"\x02q\xce"), "Basic.Deliver"),
        (DELIVER.replace(b"\x01q\xce", b"\x00q\xce"), "Basic.Deliver"),
        (b"\x01\x00\x01\x00\x00\x00\x05\x00\x3c\x00\x32\x01\xce", "Basic.Return"),
        (b"\x01\x00\x01\x00\x00\x00\x09\x00\x3c\x00\x32\x01\x38\x05ab\xce", "Basic.Return"),
        (DELIVER + DELIVER, "a content header was due"),
        (DELIVER + wire(Basic.Ack(1)), "a content header was due"),
        (DELIVER + wire(body.ContentBody(b"x")), "a content header was due"),
        (DELIVER + BAD_HEADER, "class 61"),
        (DELIVER + BAD_HEADER + wire(body.ContentBody(b"x")), "class 61"),
        (
            DELIVER + content(b"x", message_id="m")[:-10] + b"\x00" + wire(body.ContentBody(b"x")),
            "ends in 0x00",
        ),
        (DELIVER + SHORT_HEADER + wire(body.ContentBody(b"x")), "13 bytes .* cut off"),
        (DELIVER + content(b"x")[:-9] + b"\x02\x00\x01\x00\x00\x00\x01x\xce", "a body was due"),
        (DELIVER + content(b"x")[:-9] + b"\x08\x00\x01\x00\x00\x00\x01x\xce" + DELIVER, "a body was due"),
        (DELIVER + b"\x02\x00\x01\x00\x00\x00\x0d\x00\x3c" + bytes(11) + b"\xce", "13 bytes .* cut off"),
        (delivery(1, b"xx", step=1)[:-9] + wire(Basic.Ack(1)), "a body was due"),
        (delivery(1, b"xx", step=1)[:-9] + content(b"x"), "a body was due"),
        (delivery(1, b"xx", step=1)[:-9] + wire(body.ContentBody(b"xy")), "1 bytes longer"),
        (delivery(1, b"x") + wire(body.ContentBody(b"x")), "a method was due"),
        (delivery(1, b"x") + content(b"x"), "a method was due"),
        (wire(Basic.Ack(1)) + content(b"x"), "a method was due"),
        (DELIVER + content(bytes(1001), step=500), "1001 bytes .* longer than the 1000"),
        (DELIVER + content(bytes(1001)), "1001 bytes .* longer than the 1000"),
    ],
)
def test_a_stream_that_lies_ends_the_session_by_name(stream: bytes, words: str):
    """Whatever breaks the protocol is a WireError, fed whole or byte by byte, and nothing is fed after it."""
    whole = diverting(max_body_bytes=1000)
    with pytest.raises(WireError, match=words):
        whole.feed(stream)
    with pytest.raises(WireError, match="broken since"):
        whole.feed(wire(Basic.Ack(1)))
    slowly = diverting(max_body_bytes=1000)
    with pytest.raises(WireError, match=words):
        feed_slowly(slowly, stream)


def test_the_frame_size_that_was_negotiated_is_the_limit():
    """A frame of exactly frame_max passes, one byte more does not, on channels diverted before too."""
    assembler = diverting()
    assembler.limit_frames(4096)
    assert len(assembler.feed(delivery(1, bytes(4088)))[0]) == 1
    with pytest.raises(WireError, match="4089 bytes, but at most 4088"):
        assembler.feed(delivery(2, bytes(4089), step=5000))


def test_a_header_frame_has_the_same_limit():
    """Properties larger than a frame are refused too, though their message arrives whole."""
    assembler = diverting(frame_max=4096)
    with pytest.raises(WireError, match="but at most 4088 fit"):
        assembler.feed(DELIVER + content(b"x", headers={"long": "x" * 5000}))


def test_another_channels_body_is_not_taken_for_ours():
    """Between our header and our body may stand a frame of another channel, of just the right size."""
    stream = DELIVER + content(b"y")[:-9] + wire(body.ContentBody(b"n"), channel=2) + content(b"y")[-9:]
    events, passed = diverting().feed(stream)
    assert [event.body for event in events] == [b"y"]
    assert passed == wire(body.ContentBody(b"n"), channel=2)


def test_limits_out_of_bounds_are_refused():
    """Neither a frame size below AMQP's minimum nor channel 0 is accepted."""
    with pytest.raises(WireError, match="4096"):
        Assembler(frame_max=4095)
    with pytest.raises(WireError, match="4096"):
        Assembler().limit_frames(0)
    with pytest.raises(WireError, match="channel 0"):
        Assembler().divert(0)


def test_what_is_held_is_what_has_come():
    """A header that promises much holds nothing yet; what is held never exceeds what was fed."""
    assembler = diverting()
    assembler.feed(DELIVER + wire(header.ContentHeader(0, 16 * 1024 * 1024, Basic.Properties())))
    assert assembler.held_bytes == 0
    assembler.feed(wire(body.ContentBody(bytes(1000))) + b"\x03\x00\x01\x00\x00\x10\x00")
    assert assembler.held_bytes == 1007


@pytest.mark.parametrize("chunk", [97, 65536])
def test_a_large_body_in_small_frames_is_put_together_in_linear_time(chunk: int):
    """Sixteen times the body takes about sixteen times as long; copying anew at each frame would take 256."""

    def seconds(size: int) -> float:
        stream = delivery(1, bytes(size), step=100)
        best = float("inf")
        for _ in range(2):
            assembler = diverting()
            started = time.perf_counter()
            events = [
                event
                for at in range(0, len(stream), chunk)
                for event in assembler.feed(stream[at : at + chunk])[0]
            ]
            best = min(best, time.perf_counter() - started)
            assert len(events[0].body) == size
        return best

    assert seconds(2**22) < 160 * seconds(2**18)


def test_a_large_frame_in_small_pieces_is_put_together_in_linear_time():
    """A frame that comes in thousands of pieces is not copied anew at each."""

    def seconds(size: int) -> float:
        stream = delivery(1, bytes(size), step=size)
        best = float("inf")
        for _ in range(3):
            assembler = diverting(frame_max=2**24)
            started = time.perf_counter()
            for at in range(0, len(stream), 100):
                assembler.feed(stream[at : at + 100])
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(2**22) < 160 * seconds(2**18)
