"""Attribute names of spans, in one place: OpenTelemetry's messaging conventions, and the payment's own.

Source of the ``messaging.*`` and ``error.type`` names: OpenTelemetry semantic conventions for messaging
systems and for RabbitMQ (status: development).
"""

from typing import Final

SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"
DELIVERY_TAG: Final = "messaging.rabbitmq.message.delivery_tag"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
BODY_SIZE: Final = "messaging.message.body.size"
ERROR_TYPE: Final = "error.type"

PAYMENT_ID: Final = "payment.id"
PAYMENT_LINE: Final = "payment.line"
PAYMENT_ATTEMPT: Final = "payment.attempt"
PAYMENT_OUTCOME: Final = "payment.outcome"
PAYMENT_RULE: Final = "payment.rule"
PAYMENT_PROCESSOR: Final = "payment.processor"
RULES_VERSION: Final = "payment.rules_version"
DISPATCH_ID: Final = "payment.dispatch_id"
