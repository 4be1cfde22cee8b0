"""What to do next about a dead letter: a line for each code."""

from collections.abc import Iterable
from typing import Final

_SENDER: Final = "redriven as it is it dies again: have its producer send it anew, then drop it"
_RULES: Final = "mend the rules, look with `payment-worker rules explain`, then redrive"

ADVICE: Final[dict[str, str]] = {
    "malformed_message": f"The body is no JSON object; {_SENDER}.",
    "empty_message": f"There is no body; {_SENDER}.",
    "message_too_large": "Raise max_message_bytes and redrive, or have its producer send less.",
    "batch_too_large": "Raise max_batch_lines or max_batch_bytes and redrive, or have fewer sent at once.",
    "unsupported_content_type": f"Only JSON and NDJSON in UTF-8, uncompressed, are read; {_SENDER}.",
    "invalid_encoding": f"The body is not UTF-8; {_SENDER}.",
    "duplicate_key": f"Readers would disagree about a member that is there twice; {_SENDER}.",
    "nesting_too_deep": f"No payment is nested so deep; {_SENDER}.",
    "number_out_of_range": f"A number is beyond what JSON readers hold; {_SENDER}.",
    "invalid_payment": f"A field is missing or wrong; {_SENDER}.",
    "invalid_identifier": f"An id has characters or a length it may not have; {_SENDER}.",
    "malformed_properties": "Its properties could not be read and are lost; publish its body, then drop it.",
    "invalid_amount": f"The amount is no plain decimal; {_SENDER}.",
    "amount_not_text": f"The amount came as a JSON number, which is not exact; {_SENDER}.",
    "amount_not_positive": f"A payment is of more than nothing; {_SENDER}.",
    "too_many_digits": f"The amount has more decimals than its currency or unit allows; {_SENDER}.",
    "amount_overflow": f"The amount does not fit in 64 bits; {_SENDER}.",
    "unknown_currency": "Let the rules define the unit and redrive, or have its producer send another code.",
    "withdrawn_currency": f"The message names the successor; {_SENDER}.",
    "not_settleable": f"Nothing settles in that code; {_SENDER}.",
    "currency_mismatch": f"Two amounts must be of one currency: where rules or fees made them, {_RULES}.",
    "fee_exceeds_amount": "Choose what happens then (when_fee_exceeds), or other fees, then redrive.",
    "fee_not_defined": "Give the fee schedule a price in that currency, then redrive.",
    "no_fee_schedule": "Let a fee schedule cover the payment, then redrive.",
    "missing_rate": "Give the rules a rate for the pair, or mend the plugin that has it, then redrive.",
    "no_route": f"No rule covers it, or no processor may have it: {_RULES}.",
    "rejected": "A rule rejects it: where the rule is right, drop it; else mend the rule and redrive.",
    "held": "A rule wants a person to look: refuse it with drop, or let a rule route it and redrive.",
    "expired": "Older than its route allows: ask the customer again and drop it, or allow more and redrive.",
    "plugin_failed": "The message names the plugin: mend it, then redrive.",
    "retries_exhausted": "Mend what every attempt met, then redrive.",
    "internal_error": "A bug of the worker: report the log's traceback; redrive with a mended version.",
    "outcome_unknown": "Ask the processor it names: if that has the payment, drop the letter; if not, let"
    " the rules name it again, then redrive.",
    "returned": "See why each processor gave it back; mend that, let its connector forget the dispatch id,"
    " and redrive; or let the rules name another processor first.",
    "not_our_dispatch": "A connector gave back what is no dispatch: mend the connector, then drop it.",
    "crashed": "It may have been dispatched: ask the processor. Report the log's traceback; redrive with a"
    " mended version, or drop it.",
    "idempotency_conflict": "Its id is another payment's: have it sent under a new one, then drop it.",
}
"""By the code of a dead letter."""

_ATTEMPTS: Final[dict[str, str]] = {
    "returned": "see why the processor gave it back",
    "unroutable": "bind the processor's inbox to its exchange, or start its connector",
    "publish_refused": "let the processor's connector empty its full inbox",
    "no_exchange": "declare the processor's exchange (`payment-worker topology declare`)",
    "channel_lost": "see why the broker closed the channel",
    "claimed_elsewhere": "see that no worker hangs",
    "circuit_open": "see why the processor refused so often that it was passed over",
    "broker_unavailable": "see that the broker is well",
    "journal_unavailable": "see that the journal can be written",
    "wire_error": "see that nothing garbles the connection to the broker",
    "missing_rate": "provide the rate that was missing",
    "stale_rate": "see why rates are not renewed",
    "step_unavailable": "mend the plugin, or what it asks",
}
"""By the code of an attempt that failed for a while."""


def advice_for(code: str, attempts: Iterable[str] = ()) -> str:
    """Return what to do about a dead letter with this code and these codes of failed attempts."""
    known = ADVICE.get(code)
    if known is None:
        return f"A rule or a plugin named this code: where it is right, drop the letter; else {_RULES}."
    if code != "retries_exhausted":
        return known
    met = [_ATTEMPTS[one] for one in dict.fromkeys(attempts) if one in _ATTEMPTS]
    return f"{known[:-1]}: {'; '.join(met)}." if met else known
