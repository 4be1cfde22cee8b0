"""What happened to a payment, as the worker tells it to ledgers, notifications and whoever else listens."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.dispatch import AccountAmount, Fee, Settlement
from schemas.payment import Amount, PartyId, Rfc3339

EVENT_VERSION = 1

EventType = Literal[
    "payment.dispatched",
    "payment.returned",
    "payment.delayed",
    "payment.held",
    "payment.dead_lettered",
    "payment.duplicate",
]


class Event(BaseModel):
    """One event, published to the exchange ``payments.events`` under its type as routing key.

    At least once, and in the order of ``sequence``: a repeat has the same ``event_id``. New members may come
    within a version; readers ignore what they do not know.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", json_schema_extra={"additionalProperties": True}
    )

    event_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="the same in every repeat")]
    version: Literal[1]
    type: EventType
    sequence: Annotated[
        int, Field(ge=1, description="rises within a journal, with gaps; not comparable between journals")
    ]
    occurred_at: Rfc3339
    payment_id: Annotated[str | None, Field(description="null where the message had none")]
    in_hand: Annotated[
        bool,
        Field(
            description="whether the payment itself came to this: false for a message that was unreadable, "
            "had another payment's id, or was in another worker's hands"
        ),
    ]
    attempt: Annotated[int, Field(ge=1)]
    code: Annotated[str | None, Field(description="why it was not dispatched")] = None
    trace_id: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")] = None
    merchant_id: Annotated[PartyId | None, Field(description="with dispatched and returned")] = None
    rule: str | None = None
    rules_version: str | None = None
    processor: str | None = None
    dispatch_id: Annotated[
        str | None, Field(description="what was dispatched or returned, or was about to be")
    ] = None
    gross: Annotated[Amount | None, Field(description="what the customer pays: net plus fees, exactly")] = (
        None
    )
    net: Amount | None = None
    fees: Annotated[
        list[Fee] | None, Field(description="with dispatched and returned: as the dispatch has them")
    ] = None
    accounts: Annotated[list[AccountAmount] | None, Field(description="as the dispatch has them")] = None
    settlement: Annotated[Settlement | None, Field(description="as the dispatch has it")] = None
