"""What a dispatch says beside the payment, as JSON members: what is charged, shared, settled, added. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

import orjson

from schemas.payment import Payment
from worker.errors import InvalidPayment, PaymentExpired
from worker.money import (
    REST,
    Amount,
    ChargedUnits,
    CompiledSchedule,
    Currency,
    Percent,
    Share,
    Split,
    format_units,
)
from worker.money.text import POWERS
from worker.routing import AccountShare, Answers, PluginSchedule, Rates
from worker.routing.alone import charge_alone

Charge: TypeAlias = tuple[str, int, int, int]
"""Gross, fees and net as JSON members, then gross and net as integers, and the scale of both."""


def charge(
    payment: Payment,
    amount: tuple[int, int],
    currency: Currency,
    schedule: CompiledSchedule | PluginSchedule | None,
    answers: Answers,
) -> Charge:
    """Return what a payment is charged; ``amount`` is units and scale. Raises as the schedule does."""
    units, scale = amount
    exponent = currency.exponent
    if schedule is None:
        if scale < exponent:
            units, scale = units * POWERS[exponent - scale], exponent
        text = format_units(units, scale)
        return _template((), currency.code) % (text, text), units, units, scale
    names: tuple[str, ...]
    if isinstance(schedule, CompiledSchedule):
        gross, net, scale, fees = charge_alone(schedule, units, scale)
        names = schedule.names
    else:
        gross, net, scale, names, fees = schedule.bill(payment, units, scale, answers)
    return charged_members(currency, names, (gross, net, scale, fees))


def charged_members(currency: Currency, names: tuple[str, ...], charged: ChargedUnits) -> Charge:
    """Return what is charged, from integers: gross and net at a scale, a fee for each name."""
    gross, net, scale, fees = charged
    texts = [format_units(fee, currency.exponent) for fee in fees]
    template = _template(names, currency.code)
    return template % (format_units(gross, scale), *texts, format_units(net, scale)), gross, net, scale


@lru_cache(maxsize=4096)
def _template(fees: tuple[str, ...], code: str) -> str:
    """Return the JSON members with a ``%s`` for each amount; names of fees and currencies need no escapes."""
    items = ",".join(f'{{"name":"{name}","amount":{_amount("%s", code)}}}' for name in fees)
    return f'"gross":{_amount("%s", code)},"fees":[{items}],"net":{_amount("%s", code)}'


def _amount(value: str, code: str) -> str:
    return f'{{"value":"{value}","currency":"{code}"}}'


def account_member(shares: tuple[AccountShare, ...], net: Amount) -> str:
    """Return the net split between accounts, to the last unit at the net's own scale."""
    parts = _split(shares).units(net.units)
    code, scale = net.currency.code, net.scale
    items = [
        f'{{"account":{_text(share.account)},"amount":{_amount(format_units(part, scale), code)}}}'
        for share, part in zip(shares, parts, strict=True)
    ]
    return f'"accounts":[{",".join(items)}]'


@lru_cache(maxsize=4096)
def _split(shares: tuple[AccountShare, ...]) -> Split:
    weights = [REST if share.percent is None else Percent.parse(share.percent) for share in shares]
    return Split(tuple(Share(str(i), weight) for i, weight in enumerate(weights)))


def settlement_member(
    net: Amount, into: Currency, rates: Rates | None, now: datetime, answers: Answers
) -> str:
    """Return the currency to settle in, with the net converted where rates are given and it is another one.

    Raises as ``Rates.convert`` does, and ``AmountOverflow``.
    """
    if rates is None or into == net.currency:
        return f'"settlement":{{"currency":"{into.code}"}}'
    exchange = rates.convert(net, into, now, answers)
    rate = exchange.rate
    as_of = rfc3339_seconds(datetime.fromtimestamp(rate.as_of, UTC))
    return (
        f'"settlement":{{"currency":"{into.code}","amount":{_amount(str(exchange.result), into.code)},'
        f'"rate":"{rate}","source":{_text(rate.source)},"as_of":"{as_of}",'
        f'"rounding":"{rates.rounding.value}","remainder":"{exchange.remainder}"}}'
    )


def expiry_member(payment: Payment, seconds: int, now: datetime) -> str:
    """Return until when a processor may begin with the payment: ``seconds`` after it was created.

    Raises:
        PaymentExpired: that is over.
        InvalidPayment: it was created so late that no calendar has the end.
    """
    created = datetime.fromisoformat(payment.created_at)
    try:
        expires = (created + timedelta(seconds=seconds)).astimezone(UTC)
    except OverflowError:
        raise InvalidPayment(f"created_at {payment.created_at}: it expires after the year 9999") from None
    if now >= expires:
        raise PaymentExpired(
            f"created at {payment.created_at}, and its route gives it {seconds} s: it expired at "
            f"{rfc3339_seconds(expires)}; send it again as a new payment if it is still wanted"
        )
    return f'"expires_at":"{rfc3339_seconds(expires)}"'


def enrichment_member(added: dict[str, str | int | bool]) -> str:
    """Return what steps have added to the payment."""
    return f'"enrichment":{orjson.dumps(added).decode()}'


def rfc3339_seconds(moment: datetime) -> str:
    """Write a moment in UTC as RFC 3339, fractions of a second only where it has some."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(text: str) -> str:
    return orjson.dumps(text).decode()
