"""Names in a delivery: a producer may write any bytes into a routing key."""

from struct import pack

from worker.amqp.wire.inbound import read_deliver


def test_a_routing_key_that_is_not_utf8_is_shown() -> None:
    """It is only passed on for people to read, so it must not stop the message."""
    method = pack(">I", 0x003C_003C) + b"\x01c" + pack(">QB", 7, 0) + b"\x01e" + b"\x03a\xffb"
    delivery = read_deliver(1, method, 0, len(method))
    assert (delivery.exchange, delivery.routing_key) == ("e", "a\\xffb")
