"""Every setting, in one frozen object; the only reader of the environment (``PAYMENT_WORKER_*``)."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from worker.errors import InvalidSettings
from worker.journal.address import Address, InMemory, Postgresql, parse_address, without_password
from worker.retry_settings import EXAMPLE, CodePolicies, Seconds, check_delays

ENVIRONMENT_PREFIX = "PAYMENT_WORKER_"
_OPTIONS = {
    "amqp_url": "--amqp-url",
    "journal": "--journal",
    "rules": "--rules",
    "overlays": "--overlay",
    "prefix": "--prefix",
    "processes": "--processes",
    "prefetch": "--prefetch",
    "shards": "--shards",
    "topology": "--topology",
    "log_level": "--log-level",
    "log_format": "--log-format",
}


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _urls(value: SecretStr) -> tuple[URL, ...]:
    return tuple(URL(part.strip()) for part in value.get_secret_value().split(",") if part.strip())


PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Settings(BaseSettings):
    """What a worker needs to know beside its rules. Durations take ``5s``, ``2m`` and the like."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=ENVIRONMENT_PREFIX, extra="forbid", hide_input_in_errors=True
    )

    amqp_url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
        description="the broker, amqp:// or amqps://; several separated by commas are tried in turn",
    )
    rules: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(Path("routing_rules"),), description="rule files or folders of them"
    )
    overlays: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="rule files laid over the others, for one environment"
    )
    prefix: str = Field(
        default="payments",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="prefix of our queues and exchanges",
    )
    lane: Literal["tap", "standard"] = Field(
        default="tap", description="the data plane: our own frames on a tap, or aiormq's channel API"
    )
    topology: Literal["declare", "verify"] = Field(
        default="declare", description="declare missing objects, or only verify those the operators own"
    )
    processes: int = Field(default=1, ge=1, le=256)
    prefetch: int = Field(
        default=1000, ge=1, le=5000, description="deliveries in flight per process, at most"
    )
    shards: int = Field(
        default=1, ge=1, le=256, description="queues that incoming payments are spread over, by a hash"
    )
    retired_shards: int = Field(
        default=0, ge=0, le=256, description="shards behind those that get nothing new and are only emptied"
    )
    ordered_by: Literal["merchant_id", "customer_id"] | None = Field(
        default=None, description="payments with the same value keep their order"
    )
    max_batch: int = Field(default=200, ge=1, le=1000, description="payments a batch, at most")
    max_message_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=16 * 1024 * 1024, description="bytes of one payment, at most"
    )
    max_batch_lines: int = Field(
        default=1000, ge=1, le=10_000, description="payments in one message of application/x-ndjson, at most"
    )
    max_batch_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=16 * 1024 * 1024, description="bytes of such a message, at most"
    )
    connect_timeout: Seconds = Field(default=10.0, gt=0)
    heartbeat: int = Field(default=10, ge=2, le=600, description="seconds")
    confirm_timeout: Seconds = Field(
        default=30.0, gt=0, description="after this a publish's outcome is unknown"
    )
    drain_timeout: Seconds = Field(
        default=20.0, gt=0, description="how long SIGTERM may take to finish what is in flight"
    )
    retry_in_process: Seconds = Field(
        default=2.0, ge=0, description="how long a payment is retried before it is delayed"
    )
    delay_steps: Annotated[
        tuple[Seconds, ...], NoDecode, BeforeValidator(_split), AfterValidator(check_delays)
    ] = Field(
        default=(1.0, 5.0, 30.0, 120.0, 600.0, 3600.0),
        description="delays between attempts; after the last, dead letter",
    )
    retry_policies: CodePolicies = Field(
        default_factory=dict, description=f"other retries for some error codes, as JSON: {EXAMPLE}"
    )
    consumer_timeout: Seconds = Field(
        default=1800.0, gt=0, description="what the broker's consumer_timeout is"
    )
    delivery_limit: int = Field(
        default=20, ge=1, description="deliveries that crash their worker, before `crashed`"
    )
    journal: SecretStr = Field(
        default=SecretStr("sqlite:///journal.db"),
        description="what remembers payments: sqlite:///file, postgresql://..., memory: or none",
    )
    journal_lease: Seconds = Field(
        default=60.0, ge=1, description="how long a worker's claim on a payment is respected, at most"
    )
    events: Literal["on", "off"] = Field(
        default="off", description="publish what happens to payments to the exchange payments.events"
    )
    journal_fingerprint_key: SecretStr | None = Field(
        default=None, description="key of the payments' fingerprints; without it, the journal's own"
    )
    plugins: Annotated[tuple[PluginName, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="names of the plugins that rules may use; nothing else is imported"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal"
    )

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp_url(cls, value: SecretStr) -> SecretStr:
        try:
            urls = _urls(value)
        except ValueError as error:
            raise ValueError("not a URL") from error
        if not urls or any(url.scheme not in ("amqp", "amqps") or not url.host for url in urls):
            raise ValueError(
                "expected amqp://user:password@host:port/vhost or amqps://..., or several separated by commas"
            )
        return value

    @field_validator("journal")
    @classmethod
    def _is_journal_url(cls, value: SecretStr) -> SecretStr:
        parse_address(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _fits_the_brokers_patience(self) -> Self:
        own = [policy.in_process or 0 for policy in self.retry_policies.values()]
        in_process = max([self.retry_in_process, *own]) * (self.ordered_prefetch if self.ordered_by else 1)
        if in_process + self.confirm_timeout >= self.consumer_timeout:
            before = f", with {self.ordered_prefetch} before it (twice max_batch)" if self.ordered_by else ""
            raise ValueError(
                f"a payment may be held for {in_process:g} s of tries in process (retry_in_process,"
                f" in_process of retry_policies{before}) and {self.confirm_timeout:g} s of confirm_timeout;"
                f" that is"
                f" not less than consumer_timeout, {self.consumer_timeout:g} s, after which the broker takes"
                " back what is not acknowledged: shorten the former, or raise the latter here and there"
            )
        return self

    @model_validator(mode="after")
    def _keeps_one_consumer(self) -> Self:
        if self.ordered_by is not None and self.lane == "standard":
            raise ValueError(
                "ordered_by needs lane tap: the lane standard changes its consumer while it works, and"
                " another worker's would become the active one meanwhile"
            )
        return self

    @model_validator(mode="after")
    def _shares_its_memory(self) -> Self:
        if self.processes > 1 and isinstance(self.journal_address, InMemory):
            raise ValueError(
                f"journal is memory:, which processes do not share, and there are to be {self.processes}: a"
                " payment that is published twice could be paid twice; name a file, sqlite:///journal.db, or"
                " run one process"
            )
        return self

    @property
    def shard_prefetch(self) -> int:
        """Deliveries in flight from one of the queues of work, at most."""
        each = max(1, self.prefetch // (self.shards + self.retired_shards))
        return min(each, self.ordered_prefetch) if self.ordered_by else each

    @property
    def ordered_prefetch(self) -> int:
        """Deliveries that may wait behind one another, at most."""
        return 2 * self.max_batch

    @property
    def journal_address(self) -> Address:
        """Where the journal is."""
        return parse_address(self.journal.get_secret_value())

    @property
    def shown_journal(self) -> str:
        """The journal's address without a password, for logs and messages."""
        text = self.journal.get_secret_value()
        return without_password(text) if isinstance(self.journal_address, Postgresql) else text

    @property
    def every_delay(self) -> tuple[float, ...]:
        """All delays in seconds that any payment may wait in the broker, rising."""
        own = (delay for policy in self.retry_policies.values() for delay in policy.delays or ())
        return tuple(sorted({*self.delay_steps, *own}))

    @property
    def amqp_urls(self) -> tuple[URL, ...]:
        """The broker's addresses, one at least, in the order in which they are tried."""
        return _urls(self.amqp_url)

    @property
    def broker(self) -> str:
        """The broker's addresses without the passwords, for logs and messages."""
        return ", ".join(str(url.with_password(None)) if url.user else str(url) for url in self.amqp_urls)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment, with ``overrides`` that are not None before it.

    Raises:
        InvalidSettings: naming each setting, how it can be given, and what was expected.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    _check_environment()
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidSettings("\n".join(map(_describe, problems))) from None


def _describe(problem: Any) -> str:
    """Return which setting is wrong, how it can be given, and what was expected."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message  # it is about several settings, and names them
    name, *inside = (str(part) for part in problem["loc"])
    option = f"{_OPTIONS[name]} or " if name in _OPTIONS else ""
    member = f"{'.'.join(inside)}: " if inside else ""
    return f"{option}{ENVIRONMENT_PREFIX}{name.upper()}: {member}{message}"


Exporter: TypeAlias = Literal["none", "otlp", "console"]


def otel_exporter(signal: Literal["traces", "metrics"]) -> Exporter:
    """Return what the standard ``OTEL_*`` variables ask for; without any of them nothing is exported.

    Raises:
        InvalidSettings: an exporter that is not supported.
    """
    environment = os.environ
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "none"
    protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    if protocol != "http/protobuf":
        raise InvalidSettings(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; only http/protobuf is supported (port 4318)"
        )
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    default = "otlp" if any(environment.get(name) for name in endpoints) else "none"
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    match environment.get(variable) or default:
        case "none" | "otlp" | "console" as chosen:
            return chosen
        case other:
            raise InvalidSettings(f"{variable} is {other!r}; expected otlp, console or none")


def _check_environment() -> None:
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidSettings(f"the environment variable {name} is not a setting{hint}")
