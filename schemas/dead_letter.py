"""The headers the worker owns: on dead letters, on delayed payments, and on dispatches.

A dead letter's body is byte-identical to what arrived; everything else about it is in these headers. The
producer's own headers and properties stay beside them, so that a redrive can restore the message.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

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
EXPIRATION: Final = "payment-expiration"
PINNED: Final = "payment-pinned"
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
    expiration: Annotated[str | None, Field(alias=EXPIRATION, description="the producer's expiration")] = None
    traceparent: Annotated[str, Field(description="W3C Trace Context")]
