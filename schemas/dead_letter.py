"""The headers the worker owns: on dead letters, on delayed payments, and on dispatches.

A dead letter's body is byte-identical to what arrived; everything else about it is in these headers. The
producer's own headers and properties stay beside them, so that a redrive can restore the message.
"""

from base64 import b64decode
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

ERROR_CODE: Final = "payment-error-code"
ERROR_MESSAGE: Final = "payment-error-message"
PAYMENT_ID: Final = "payment-id"
ATTEMPT: Final = "payment-attempt"
ATTEMPTS: Final = "payment-attempts"
FIRST_SEEN: Final = "payment-first-seen"
DEAD_AT: Final = "payment-dead-at"
EXCHANGE: Final = "payment-exchange"
ROUTING_KEY: Final = "payment-routing-key"
MESSAGE_ID: Final = "payment-message-id"
LINE: Final = "payment-line"
EXPIRATION: Final = "payment-expiration"
PINNED: Final = "payment-pinned"
REDRIVES: Final = "payment-redrives"
PASSED: Final = "payment-passed"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"


class Attempt(BaseModel):
    """One attempt that failed: its number, when it ended, with which code, at which processor."""

    model_config = ConfigDict(frozen=True)

    attempt: Annotated[int, Field(ge=1)]
    at: Annotated[str, Field(description="RFC 3339, UTC")]
    code: str
    processor: str | None = None


class DeadLetterHeaders(BaseModel):
    """The headers of a message in the dead-letter queue, under their names on the wire."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    error_code: Annotated[str, Field(alias=ERROR_CODE)]
    error_message: Annotated[str, Field(alias=ERROR_MESSAGE, description="for people")]
    payment_id: Annotated[str | None, Field(alias=PAYMENT_ID, description="when the body could be read")] = (
        None
    )
    attempt: Annotated[int, Field(alias=ATTEMPT, ge=1, description="number of the last attempt")]
    attempts: Annotated[str, Field(alias=ATTEMPTS, description="JSON array of failed attempts, oldest first")]
    first_seen: Annotated[str, Field(alias=FIRST_SEEN, description="RFC 3339, UTC")]
    dead_at: Annotated[str, Field(alias=DEAD_AT, description="RFC 3339, UTC")]
    exchange: Annotated[str, Field(alias=EXCHANGE, description="where the producer published")]
    routing_key: Annotated[
        str, Field(alias=ROUTING_KEY, description="under which key the producer published")
    ]
    message_id: Annotated[str | None, Field(alias=MESSAGE_ID, description="the producer's message id")] = None
    line: Annotated[
        int | None, Field(alias=LINE, ge=1, description="where in that message, if it carried many payments")
    ] = None
    expiration: Annotated[str | None, Field(alias=EXPIRATION, description="the producer's expiration")] = None
    pinned: Annotated[
        str | bool | None,
        Field(
            alias=PINNED, description="the processor that alone may have it, since a dispatch may be there"
        ),
    ] = None
    redrives: Annotated[
        int | None, Field(alias=REDRIVES, ge=1, description="how often it went back to the incoming queue")
    ] = None
    traceparent: Annotated[str, Field(description="W3C Trace Context")]


def _check_base64(text: str) -> str:
    b64decode(text, validate=True)
    return text


Base64Text = Annotated[str, AfterValidator(_check_base64)]


class ExportedProperties(BaseModel):
    """The basic properties of a message, without its headers; ``timestamp`` in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    content_type: str | None = None
    content_encoding: str | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    app_id: str | None = None


class ExportedDeadLetter(BaseModel):
    """A line of an export: a dead letter with everything that makes it up, byte for byte.

    Header values that JSON has no form for are objects with one member: ``$bytes`` (base64), ``$time``
    (seconds since 1970), ``$decimal``, ``$float`` (nan, inf, -inf). ``$table`` wraps a table that has such
    names itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["payment-stream-worker/dead-letter/1"]
    exchange: Annotated[str, Field(description="where it was published last: the dead-letter exchange")]
    routing_key: Annotated[str, Field(description="and under which key: the error's code")]
    properties: ExportedProperties = ExportedProperties()
    headers: dict[str, JsonValue] = {}
    raw_properties_base64: Annotated[
        Base64Text | None, Field(description="instead of both, where they cannot be read: as on the wire")
    ] = None
    body: Annotated[str | None, Field(description="the body, where it is UTF-8")] = None
    body_base64: Annotated[Base64Text | None, Field(description="the body, where it is not")] = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if (self.body is None) == (self.body_base64 is None):
            raise ValueError("expected a body or a body_base64, not both")
        return self
