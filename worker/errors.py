"""Every error the worker knows, in four branches that decide what happens to a payment.

A leaf's ``code`` is stable: it is the dead letter's header, the metric label and the span's ``error.type``.
This module imports nothing, so that everything may import it.
"""

from typing import ClassVar, Final, NamedTuple


class WorkerError(Exception):
    """The root. ``code`` names the error for machines, ``str()`` explains it to people."""

    code: ClassVar[str] = "worker_error"


class PermanentError(WorkerError):
    """The payment can never succeed as it is: dead-letter it now."""

    code = "permanent_error"


class TransientError(WorkerError):
    """The payment may succeed later: retry in process, then through the delay queues."""

    code = "transient_error"


class ConfigurationError(WorkerError):
    """The worker must not start: what is wrong is in settings, rules or topology."""

    code = "configuration_error"


class InvariantViolation(WorkerError):
    """A promise of ARCHITECTURE is broken, which is a bug of ours: dead-letter, stop, exit non-zero."""

    code = "invariant_violation"


# --- permanent: the message ------------------------------------------------------------------------------


class MalformedMessage(PermanentError):
    """The body is not the JSON of one payment object."""

    code = "malformed_message"


class EmptyMessage(PermanentError):
    """The body has no bytes."""

    code = "empty_message"


class MessageTooLarge(PermanentError):
    """The body is larger than the settings allow."""

    code = "message_too_large"


class BatchTooLarge(PermanentError):
    """A message carries more payments, or more bytes of them, than the settings allow."""

    code = "batch_too_large"


class UnsupportedContentType(PermanentError):
    """The content type or encoding is not one the worker reads."""

    code = "unsupported_content_type"


class InvalidEncoding(PermanentError):
    """The body is not UTF-8."""

    code = "invalid_encoding"


class DuplicateKey(PermanentError):
    """A JSON object names one member twice, so that its readers would disagree about its meaning."""

    code = "duplicate_key"


class NestingTooDeep(PermanentError):
    """Arrays and objects are nested deeper than any payment needs."""

    code = "nesting_too_deep"


class NumberOutOfRange(PermanentError):
    """A JSON number is beyond what double precision holds, so that readers would see infinity."""

    code = "number_out_of_range"


class InvalidPayment(PermanentError):
    """The JSON is well-formed, but a field is missing or is not what the schema says."""

    code = "invalid_payment"


class InvalidIdentifier(PermanentError):
    """An id has characters or a length that ids may not have."""

    code = "invalid_identifier"


# --- permanent: the money --------------------------------------------------------------------------------


class InvalidAmount(PermanentError):
    """An amount is not a plain decimal string, or not one that may be paid."""

    code = "invalid_amount"


class AmountNotText(InvalidAmount):
    """An amount came as a JSON number, which readers turn into a binary fraction."""

    code = "amount_not_text"


class AmountNotPositive(InvalidAmount):
    """A payment of nothing, or of less."""

    code = "amount_not_positive"


class TooManyDigits(InvalidAmount):
    """More digits after the point than the scale allows."""

    code = "too_many_digits"


class AmountOverflow(InvalidAmount):
    """A value outside signed 64 bits at its scale."""

    code = "amount_overflow"


class UnknownCurrency(PermanentError):
    """A code that ISO 4217 does not list and no custom unit defines."""

    code = "unknown_currency"


class WithdrawnCurrency(UnknownCurrency):
    """A code that ISO 4217 has withdrawn; the text names its successor."""

    code = "withdrawn_currency"


class NotSettleable(PermanentError):
    """A code that no money settles in: a metal, a unit of account, a test code, no currency at all."""

    code = "not_settleable"


class CurrencyMismatch(PermanentError):
    """Two amounts of different currencies where one currency is needed."""

    code = "currency_mismatch"


class FeeNotDefined(PermanentError):
    """A fee schedule has no price in the payment's currency."""

    code = "fee_not_defined"


class FeeExceedsAmount(PermanentError):
    """The fees are more than the payment, and the schedule does not say to clamp them."""

    code = "fee_exceeds_amount"


# --- permanent: the way ----------------------------------------------------------------------------------


class NoRoute(PermanentError):
    """No rule matches, or no processor of the matching route can take the payment."""

    code = "no_route"


class MalformedProperties(PermanentError):
    """Properties or headers that cannot be read, or cannot be written, as AMQP 0-9-1."""

    code = "malformed_properties"


class RejectedByRule(PermanentError):
    """A rule says so; ``code`` is the rule's own word for it."""

    code = "rejected"

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code  # type: ignore[misc]  # a rule names its own code


class HeldForReview(PermanentError):
    """A rule wants a person to look at it first: it waits among the dead letters."""

    code = "held"


class PaymentExpired(PermanentError):
    """The payment is older than its route allows; no processor may have it any more."""

    code = "expired"


class PluginFailed(PermanentError):
    """A plugin's answer is none that it may give; the text names the plugin and what was expected."""

    code = "plugin_failed"


class Returned(PermanentError):
    """Every processor that may have the payment has given it back, or is not to be tried any more."""

    code = "returned"


class NotOurDispatch(PermanentError):
    """What came back from a processor is no dispatch that this worker can have sent."""

    code = "not_our_dispatch"


class Crashed(PermanentError):
    """Its worker ended again and again while it held this payment, at last with this one alone in hand."""

    code = "crashed"

    def __init__(self, known: str = "") -> None:
        """``known`` is what the journal knows of the payment."""
        super().__init__(
            "its worker ended each time it had this payment in hand, at last with nothing else in hand; it"
            " may have been sent to a processor before that: look at the log, and ask the processor before it"
            f" is redriven{known}"
        )


class OutcomeUnknown(PermanentError):
    """An earlier publish to a processor may have arrived, and the rules no longer name that processor."""

    code = "outcome_unknown"


class RetriesExhausted(PermanentError):
    """Every attempt ended in a transient failure; the dead letter lists each attempt's code."""

    code = "retries_exhausted"


class IdempotencyConflict(PermanentError):
    """Another payment has this id; the text shows both fingerprints."""

    code = "idempotency_conflict"


class InternalError(PermanentError):
    """An exception nobody expected; its traceback is in the log."""

    code = "internal_error"


# --- transient -------------------------------------------------------------------------------------------


class Unroutable(TransientError):
    """The broker returned the publish: nothing is bound that would take it. An operator may mend that."""

    code = "unroutable"


class PublishRefused(TransientError):
    """The broker refused the publish: a queue is full or could not store it."""

    code = "publish_refused"


class ClaimedElsewhere(TransientError):
    """Another worker has this payment in its hands, or a copy of it is in this one's."""

    code = "claimed_elsewhere"


class NoExchange(TransientError):
    """There is no such exchange to publish to. An operator may mend that."""

    code = "no_exchange"


class ChannelLost(TransientError):
    """The broker closed the channel of one exchange: its publishes may have arrived, or not."""

    code = "channel_lost"


class CircuitOpen(TransientError):
    """Every candidate's circuit breaker is open: they have failed too often to be tried now."""

    code = "circuit_open"


class BrokerUnavailable(TransientError):
    """No connection to the broker, or it ended."""

    code = "broker_unavailable"


class Unconfirmed(NamedTuple):
    """A payment of a producer that the broker has not confirmed.

    ``number`` is its place among those given, from 1. ``unknown``: it may have arrived. To publish ``body``
    again is safe in any case, since the worker's journal drops a repeat.
    """

    number: int
    payment_id: str | None
    reason: str
    unknown: bool
    body: bytes


class PaymentsUnconfirmed(TransientError):
    """Some of a producer's payments are not confirmed; ``confirmed`` says how many are.

    Those behind the last of ``unconfirmed`` were not looked at.
    """

    code = "payments_unconfirmed"
    _SHOWN: Final = 3

    def __init__(self, confirmed: int, unconfirmed: tuple[Unconfirmed, ...]) -> None:
        super().__init__(confirmed, unconfirmed)
        self.confirmed = confirmed
        self.unconfirmed = unconfirmed

    def __str__(self) -> str:
        """Say how many, and the first few by name."""
        shown = [f"{one.payment_id or f'number {one.number}'}: {one.reason}" for one in self.unconfirmed]
        more = f"; and {len(shown) - self._SHOWN:,} more" if len(shown) > self._SHOWN else ""
        told = "; ".join(shown[: self._SHOWN])
        return f"payments not confirmed: {len(shown):,}, confirmed: {self.confirmed:,}; {told}{more}"


class WireError(TransientError):
    """The broker's bytes are no AMQP frames to be trusted: the session ends, the broker redelivers."""

    code = "wire_error"


class JournalUnavailable(TransientError):
    """The journal cannot be read or written: nothing is acknowledged until it can."""

    code = "journal_unavailable"


class MissingRate(TransientError):
    """No exchange rate for a pair, neither direct, inverse nor across the base currency."""

    code = "missing_rate"


class StaleRate(TransientError):
    """An exchange rate is older than allowed, or from the future."""

    code = "stale_rate"


class StepUnavailable(TransientError):
    """A plugin raised, asks for another try, or is not to be had."""

    code = "step_unavailable"


class StepOverran(StepUnavailable):
    """A plugin did not answer within its deadline: it has had its time, and is asked again after a delay."""


# --- configuration ---------------------------------------------------------------------------------------


class InvalidSettings(ConfigurationError):
    """A setting has a value it may not have."""

    code = "invalid_settings"


class InvalidRules(ConfigurationError):
    """The rule files are broken; the text lists every position."""

    code = "invalid_rules"


class PluginNotReady(InvalidRules):
    """A plugin that the rules use has not come back from making itself ready."""

    code = "plugin_not_ready"


class UnknownPlugin(ConfigurationError):
    """The settings allow a plugin that no installed distribution offers."""

    code = "unknown_plugin"


class InvalidMoneyRule(ConfigurationError):
    """A currency unit, rounding mode, fee schedule, split or rate is not one that can be computed with."""

    code = "invalid_money_rule"


class JournalMissing(ConfigurationError):
    """There is no journal to be read where one is asked for."""

    code = "journal_missing"


class JournalMismatch(ConfigurationError):
    """The journal's tables are missing, or of another version than this program's."""

    code = "journal_mismatch"


class InvalidSettlement(ConfigurationError):
    """A processor's settlement file cannot be read as one, or names a processor that nobody knows."""

    code = "invalid_settlement"


class TopologyMismatch(ConfigurationError):
    """The broker has an object of that name that differs from what the worker needs, or lacks one."""

    code = "topology_mismatch"


class AccessRefused(ConfigurationError):
    """The broker refuses the credentials, the virtual host or an operation."""

    code = "access_refused"


class RabbitMQMissing(ConfigurationError):
    """RabbitMQ is not installed on this machine, or Erlang is not."""

    code = "rabbitmq_missing"


class LocalBrokerFailed(ConfigurationError):
    """The private RabbitMQ node could not start, or ended by itself."""

    code = "local_broker_failed"


class PostgresqlMissing(ConfigurationError):
    """PostgreSQL's server, or what speaks to it, is not installed on this machine."""

    code = "postgresql_missing"


class LocalDatabaseFailed(ConfigurationError):
    """The private PostgreSQL server could not start, or ended by itself."""

    code = "local_database_failed"


# --- invariants ------------------------------------------------------------------------------------------


class NotConserved(InvariantViolation):
    """Parts do not add up to their whole."""

    code = "not_conserved"


class IllegalTransition(InvariantViolation):
    """A payment in the journal is about to enter a state that may not follow the one it is in."""

    code = "illegal_transition"


class SecondDispatch(InvariantViolation):
    """A payment was dispatched under another id than its intent in the journal has."""

    code = "second_dispatch"


class JournalCorrupt(InvariantViolation):
    """The journal lacks what it must have: somebody else has written to it, or it is damaged."""

    code = "journal_corrupt"
