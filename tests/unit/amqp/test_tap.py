"""The tap on a fake socket: what it takes, what it passes on, and what it notices on the way."""

import pytest
from pamqp import commands

from tests.support.fake_socket import (
    BLOCKED,
    FRAME_MAX,
    HEARTBEAT,
    UNBLOCKED,
    Basic,
    Bench,
    deliver,
    method,
)
from worker.amqp.tap import WRITE_HIGH_BYTES
from worker.amqp.wire import Delivery, Event
from worker.errors import WireError

OPEN_OK = method(commands.Channel.OpenOk(), 2)


async def test_deliveries_go_to_their_receiver_and_the_rest_to_aiormq() -> None:
    """A diverted channel's delivery does not reach aiormq, its neighbours do, in order."""
    bench = Bench()
    bench.tap.data_received(OPEN_OK + deliver(1, b"body") + BLOCKED)
    (event,) = bench.events
    assert isinstance(event, Delivery)
    assert (event.tag, event.body) == (1, b"body")
    assert bench.reader.bytes_received == OPEN_OK + BLOCKED


async def test_each_channel_has_its_own_receiver() -> None:
    """Events of two diverted channels in one read are not mixed up."""
    bench = Bench()
    others: list[Event] = []
    bench.tap.divert(3, FRAME_MAX, others.extend)
    bench.tap.data_received(deliver(1, b"one") + deliver(7, b"three", 3) + deliver(2, b"one again"))
    assert [(event.channel, getattr(event, "tag", 0)) for event in bench.events] == [(1, 1), (1, 2)]
    assert [(event.channel, getattr(event, "tag", 0)) for event in others] == [(3, 7)]


async def test_diverted_traffic_counts_as_a_sign_of_life_once_a_second() -> None:
    """The library sees a heartbeat for a second's deliveries, since it counts only frames that reach it."""
    bench = Bench()
    for tag in range(1, 6):
        bench.tap.data_received(deliver(tag, b"x"))
        bench.now += 0.3
    assert bench.reader.received == [HEARTBEAT, HEARTBEAT]


async def test_pieces_of_a_large_body_count_as_a_sign_of_life() -> None:
    """A body that takes minutes to arrive does not look like silence."""
    bench = Bench()
    whole = deliver(1, bytes(100_000), pieces=4)
    for start in range(0, len(whole), 25_000):
        bench.tap.data_received(whole[start : start + 25_000])
        bench.now += 1.0
    assert len(bench.reader.received) == 5
    assert set(bench.reader.received) == {HEARTBEAT}


async def test_silence_is_not_covered_up() -> None:
    """Without bytes from the broker aiormq sees nothing, however long."""
    bench = Bench()
    bench.tap.data_received(deliver(1, b"x"))
    bench.now += 3600
    assert bench.reader.received == [HEARTBEAT]


async def test_no_heartbeat_before_a_channel_is_diverted() -> None:
    """In the handshake aiormq expects Connection.Start and nothing else, also when it comes in pieces."""
    bench = Bench()
    bench.tap._receivers.clear()
    start = method(commands.Connection.Start(mechanisms="PLAIN", locales="en_US"), 0)
    bench.tap.data_received(start[:9])
    assert bench.reader.received == []
    bench.tap.data_received(start[9:])
    assert bench.reader.received == [start]


async def test_a_heartbeat_never_stands_inside_a_frame() -> None:
    """What is passed on are whole frames, so that ours stands between them however the bytes are cut."""
    bench = Bench()
    stream = deliver(1, b"x") + OPEN_OK + deliver(2, b"y")
    for octet in stream:
        bench.now += 2
        bench.tap.data_received(bytes([octet]))
    assert [piece for piece in bench.reader.received if piece != HEARTBEAT] == [OPEN_OK]


async def test_blocked_and_unblocked_are_noticed_and_passed_on() -> None:
    """The broker's word on publishers reaches the lane, and aiormq as well."""
    bench, states = Bench(), []
    bench.tap.watch_flow(lambda: states.append(bench.tap.takes_publishes))
    for piece in (OPEN_OK + BLOCKED, HEARTBEAT, HEARTBEAT + UNBLOCKED):
        bench.tap.data_received(piece)
    assert states == [False, True]
    assert not bench.tap.blocked
    assert bench.reader.bytes_received == OPEN_OK + BLOCKED + HEARTBEAT + HEARTBEAT + UNBLOCKED


async def test_blocked_is_seen_only_on_channel_0() -> None:
    """The same numbers on another channel are another's business."""
    bench = Bench()
    bench.tap.data_received(method(commands.Connection.Blocked("forged"), 2))
    assert bench.tap.takes_publishes


async def test_a_full_write_buffer_holds_publishes_back() -> None:
    """Pause and resume reach the lane and aiormq's own drain."""
    bench, states = Bench(), []
    bench.tap.watch_flow(lambda: states.append(bench.tap.takes_publishes))
    assert bench.transport.high == WRITE_HIGH_BYTES
    bench.tap.pause_writing()
    bench.tap.resume_writing()
    assert states == [False, True]
    assert bench.reader.calls == ["made", "pause", "resume"]


async def test_a_block_outlasts_a_write_pause() -> None:
    """Each of the two reasons holds publishes back by itself."""
    bench = Bench()
    bench.tap.data_received(BLOCKED)
    bench.tap.pause_writing()
    bench.tap.resume_writing()
    assert not bench.tap.takes_publishes
    bench.tap.data_received(UNBLOCKED)
    assert bench.tap.takes_publishes


async def test_frames_are_written_as_they_are() -> None:
    """Whole frames go to the socket in one piece."""
    bench = Bench()
    bench.tap.write(b"frames")
    assert bench.transport.written == [b"frames"]


async def test_nothing_is_written_to_a_socket_that_closes() -> None:
    """What cannot arrive is dropped; its confirm never comes, so it is never called confirmed."""
    bench = Bench()
    bench.tap.abort()
    bench.tap.write(b"frames")
    assert bench.transport.written == []


async def test_a_broken_stream_ends_the_connection_by_name() -> None:
    """A frame that lies drops the socket, and aiormq learns the reason rather than a lost connection."""
    bench = Bench()
    bench.tap.data_received(OPEN_OK + b"\x07\x00\x01\x00\x00\x00\x00\xce")
    assert bench.transport.aborted
    bench.tap.connection_lost(None)
    (failure,) = [call for call in bench.reader.calls if isinstance(call, WireError)]
    assert failure is bench.tap.failure
    assert "kind 7" in str(failure)


async def test_a_lost_connection_and_an_end_of_stream_are_passed_on() -> None:
    """The library hears of both as without a tap."""
    bench, error = Bench(), ConnectionResetError("gone")
    assert bench.tap.eof_received() is True
    bench.tap.connection_lost(error)
    assert bench.reader.calls == ["made", "eof", error]


async def test_confirms_are_taken_out_of_a_mixed_read() -> None:
    """Ack and nack of the channel are events; a Basic.CancelOk of the same channel passes to aiormq."""
    bench = Bench()
    cancel_ok = method(Basic.CancelOk("ctag"))
    bench.tap.data_received(method(Basic.Ack(1, True)) + cancel_ok + method(Basic.Nack(2, False, False)))
    assert [(e.tag, e.multiple, e.stored) for e in bench.events] == [(1, True, True), (2, False, False)]  # type: ignore[union-attr]
    assert bench.reader.received == [cancel_ok]


@pytest.mark.parametrize("channel", [0, 65_536])
async def test_only_a_channel_that_carries_messages_is_diverted(channel: int) -> None:
    """Channel 0 is the connection's own."""
    with pytest.raises(WireError, match="channels are numbered from 1"):
        Bench().tap.divert(channel, FRAME_MAX, lambda _: None)
