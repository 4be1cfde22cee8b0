"""What people type after ``payment-worker money``, read into the engine's own types or refused by name."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.errors import WorkerError
    from worker.money import Amount, Currency, CurrencyRegistry, Percent, Prices, Rounding, Share, Withdrawn
    from worker.money.allocation import Weight
    from worker.money.fees import Term


def withdrawn_codes(registry: "CurrencyRegistry", codes: list[str] | None) -> "Iterable[Withdrawn]":
    """Return these withdrawn codes, or all of them; raises ``InvalidMoneyRule`` for a code that is none."""
    from difflib import get_close_matches

    for code in codes or []:
        if code not in registry.withdrawn:
            near = get_close_matches(code.upper(), registry.withdrawn, n=1)
            hint = "it is current" if code in registry else f"did you mean {near[0]}?" if near else "list all"
            refuse(f"CODE: {code!r} is no code that ISO 4217 has withdrawn; {hint}")
    return registry.withdrawn.values() if not codes else [registry.withdrawn[code] for code in codes]


@contextmanager
def about(option: str, *errors: "type[WorkerError]") -> "Iterator[None]":
    """Name the option or argument that a bad value was given for, and make it one of the command's own."""
    from worker.errors import InvalidMoneyRule, WorkerError

    try:
        yield
    except WorkerError as error:
        if errors and not isinstance(error, errors):
            raise
        raise InvalidMoneyRule(f"{option}: {error}") from error


def refuse(message: str) -> NoReturn:
    """Raise ``InvalidMoneyRule`` with a message."""
    from worker.errors import InvalidMoneyRule

    raise InvalidMoneyRule(message)


def read_currency(registry: "CurrencyRegistry", code: str, argument: str) -> "Currency":
    """Return the currency of a code; nothing is computed in one that does not settle."""
    from worker.money.settled import not_settleable

    with about(argument):
        currency = registry.lookup(code)
        if not currency.settleable and argument != "CODE":
            raise not_settleable(currency)
    return currency


def read_amount(text: str, currency: "Currency") -> "Amount":
    """Return the AMOUNT of plain decimal text."""
    from worker.money import Amount

    with about("AMOUNT"):
        return Amount.parse(text, currency)


def read_percent(text: str, option: str) -> "Percent":
    """Return the percentage of an option."""
    from worker.money import Percent

    with about(option):
        return Percent.parse(text)


def read_mode(name: str) -> "Rounding":
    """Return the mode of ``--rounding``; ``carry`` is refused, since one command has nothing to carry."""
    from worker.money import Rounding

    with about("--rounding"):
        mode = Rounding.named(name)
        if mode is Rounding.CARRY:
            refuse("carry needs the remainder that earlier payments left; name another mode")
    return mode


def read_registry(units: list[str] | None) -> "CurrencyRegistry":
    """Return ISO 4217 with the units of ``--unit`` besides."""
    from worker.errors import InvalidMoneyRule
    from worker.money import ISO_4217, Currency

    custom = []
    for text in units or []:
        code, _, decimals = text.partition(":")
        if not (decimals.isascii() and decimals.isdigit() and len(decimals) <= 2):
            raise InvalidMoneyRule(f"--unit: {text!r}, expected a code and its decimals, such as BTC:8")
        with about("--unit"):
            custom.append(Currency(code, int(decimals), code))
    with about("--unit"):
        return ISO_4217.with_units(*custom)


def read_shares(texts: list[str], prefix: str = "") -> "tuple[Share, ...]":
    """Return the shares of ``--share`` under a prefix, each with what is inside of it."""
    from worker.errors import InvalidMoneyRule
    from worker.money import Share

    shares = []
    paths = {text.partition("=")[0] for text in texts}
    for text in texts:
        path, sign, weight = text.partition("=")
        if not sign or not all(path.split("/")):
            raise InvalidMoneyRule(f"share {text!r}: expected a name and a weight, such as platform=30%")
        parent, _, name = path.rpartition("/")
        if parent and parent not in paths:
            raise InvalidMoneyRule(f"share {path!r}: there is no share {parent!r} that it could be inside of")
        if parent == prefix:
            shares.append(Share(name, _weight(text, weight), read_shares(texts, path)))
    return tuple(shares)


def _weight(text: str, weight: str) -> "Weight":
    from worker.errors import InvalidMoneyRule
    from worker.money import REST, Percent

    if weight == "rest":
        return REST
    if weight.endswith("%"):
        return Percent.parse(weight[:-1])
    if weight.isascii() and weight.isdigit() and len(weight) <= 18:
        return int(weight)
    raise InvalidMoneyRule(f"share {text!r}: the weight must be a percentage (30%), a ratio (3) or rest")


def read_limit(currency: "Currency", text: str | None, option: str) -> "Prices | None":
    """Return the sum of an option as prices, or None; it may be charged as it is, so it must be money."""
    from worker.money import Money

    if text is None:
        return None
    with about(option):
        Money.parse(text, currency)
    return _price(currency.code, text, option)


def _price(currency: str, text: str, option: str) -> "Prices":
    from worker.money import Prices

    with about(option):
        return Prices.of({currency: text})


def read_terms(
    currency: str, percent: str | None, fixed: str | None, per_item: str | None
) -> "Iterable[Term]":
    """Yield the terms of ``--percent``, ``--fixed`` and ``--per-item`` that are given."""
    from worker.money import FixedTerm, PercentTerm, PerItemTerm

    if percent is not None:
        yield PercentTerm(read_percent(percent, "--percent"))
    if fixed is not None:
        yield FixedTerm(_price(currency, fixed, "--fixed"))
    if per_item is not None:
        yield PerItemTerm(_price(currency, per_item, "--per-item"))


def read_tiers(currency: "Currency", texts: list[str], *, volume: bool) -> "Iterable[Term]":
    """Yield the term of the ``--tier`` options, if there are any."""
    from worker.money import Tier, TieredTerm, TierKind

    tiers = []
    for text in texts:
        bound, sign, rate = text.rpartition("=")
        up_to = _price(currency.code, bound, "--tier") if sign else None
        tiers.append(Tier(up_to, read_percent(rate, "--tier")))
    if tiers:
        with about("--tier"):
            term = TieredTerm(TierKind.VOLUME if volume else TierKind.GRADUATED, tuple(tiers))
            term.bounds(currency)
        yield term
