"""Settings: read once, frozen, and clear about what is wrong."""

from pathlib import Path

import pytest

from worker.errors import InvalidSettings
from worker.settings import load_settings, otel_exporter


def test_defaults_are_enough() -> None:
    """Without any variable the worker has settings."""
    settings = load_settings()
    assert settings.delay_steps == (1, 5, 30, 120, 600, 3600)
    assert settings.rules == (Path("routing_rules"),)


def test_variables_and_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are separated by commas, durations have units, and an option wins over its variable."""
    monkeypatch.setenv("PAYMENT_WORKER_DELAY_STEPS", "250ms, 2s,1m")
    monkeypatch.setenv("PAYMENT_WORKER_RULES", "a.yaml,b")
    monkeypatch.setenv("PAYMENT_WORKER_PREFETCH", "7")
    settings = load_settings(prefetch=9, processes=None)
    assert settings.delay_steps == (0.25, 2, 60)
    assert settings.rules == (Path("a.yaml"), Path("b"))
    assert (settings.prefetch, settings.processes) == (9, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PREFETCH", "0", "--prefetch or PAYMENT_WORKER_PREFETCH: .*greater than or equal to 1"),
        ("DELAY_STEPS", "5s,1s", "delays rise"),
        ("DELAY_STEPS", "", r"DELAY_STEPS: there is no delay.*name one at least.*\"attempts\": 1"),
        ("DELAY_STEPS", "soon", "'soon' is not a duration"),
        ("AMQP_URL", "http://localhost", "expected amqp://"),
        ("AMQP_URL", "amqp://one/, http://two/", "expected amqp://"),
        ("AMQP_URL", " , ", "expected amqp://"),
        ("JOURNAL", "sqlight:///x", "does not begin with 'sqlight'; did you mean sqlite?"),
        ("JOURNAL", "sqlite://x", "sqlite:///payments.db"),
        ("TOPOLOGY", "guess", "'declare' or 'verify'"),
        ("CONSUMER_TIMEOUT", "32s", r"2 s of tries.*30 s of confirm_timeout.*consumer_timeout, 32 s"),
        ("RETRY_POLICIES", '{"unroutable": {"in_process": "30m"}}', r"1800 s of tries in process"),
        ("RETRY_POLICIES", "{", "PAYMENT_WORKER_RETRY_POLICIES: not JSON .*write it such as {"),
        ("RETRY_POLICIES", '{"unrouteable": {}}', "did you mean unroutable?"),
        ("RETRY_POLICIES", '{"no_route": {}}', "'no_route' is no code that is tried again"),
        ("RETRY_POLICIES", '{"broker_unavailable": {}}', "is no code that is tried again"),
        (
            "RETRY_POLICIES",
            '{"unroutable": {"delay": []}}',
            "unroutable: 'delay' is.*did you mean delays?",
        ),
        ("RETRY_POLICIES", '{"unroutable": {"attempts": 0}}', "unroutable.attempts: .*greater than or equal"),
        ("RETRY_POLICIES", '{"unroutable": {"delays": ["5s", "1s"]}}', "unroutable.delays: delays rise"),
        ("RETRY_POLICIES", '{"unroutable": {"attempts": 2, "delays": []}}', "delays: there is no delay"),
        ("PREFECH", "5", "PAYMENT_WORKER_PREFECH is not a setting; did you mean PAYMENT_WORKER_PREFETCH?"),
    ],
)
def test_wrong_values_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    """The error says which option or variable it is and what was expected."""
    monkeypatch.setenv(f"PAYMENT_WORKER_{name}", value)
    with pytest.raises(InvalidSettings, match=message):
        load_settings()


def test_a_memory_is_one_processes_own() -> None:
    """Several processes would each remember something else."""
    with pytest.raises(InvalidSettings, match=r"memory:.*there are to be 2.*run one process"):
        load_settings(journal="memory:", processes=2)
    assert load_settings(journal="memory:").processes == 1


def test_every_delay_needs_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delays of single codes are declared beside the common ones, each once."""
    policies = '{"unroutable": {"delays": ["2s", "5s"]}, "publish_refused": {"delays": [0.5]}}'
    monkeypatch.setenv("PAYMENT_WORKER_RETRY_POLICIES", policies)
    monkeypatch.setenv("PAYMENT_WORKER_DELAY_STEPS", "1s,5s")
    assert load_settings().every_delay == (0.5, 1, 2, 5)


def test_an_order_needs_the_lane_that_keeps_its_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another lane would let a second worker become active while the first still has payments in hand."""
    monkeypatch.setenv("PAYMENT_WORKER_ORDERED_BY", "merchant_id")
    assert load_settings().shard_prefetch == 400
    with pytest.raises(InvalidSettings, match="ordered_by needs lane tap"):
        load_settings(lane="standard")


def test_an_order_counts_the_tries_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for others in line is held for as long as all of them are tried."""
    monkeypatch.setenv("PAYMENT_WORKER_RETRY_IN_PROCESS", "30s")
    assert load_settings().shard_prefetch == 1000
    monkeypatch.setenv("PAYMENT_WORKER_ORDERED_BY", "merchant_id")
    with pytest.raises(InvalidSettings, match=r"12000 s of tries in process .* with 400 before it"):
        load_settings()
    assert load_settings(max_batch=20).shard_prefetch == 40


def test_shards_share_the_prefetch() -> None:
    """A process has no more in flight with many queues than with one, but for one payment each."""
    assert load_settings(shards=3, retired_shards=1, prefetch=100).shard_prefetch == 25
    assert load_settings(shards=8, prefetch=2).shard_prefetch == 1


def test_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings' repr, nor the broker's address, nor an error repeats it."""
    settings = load_settings(amqp_url="amqp://user:hunter2@host/")
    assert "hunter2" not in repr(settings)
    assert settings.broker == "amqp://user@host/"
    several = load_settings(amqp_url="amqp://user:hunter2@one/, amqps://two/")
    assert several.broker == "amqp://user@one/, amqps://two/"
    with pytest.raises(InvalidSettings) as caught:
        load_settings(amqp_url="http://user:hunter2@host/")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "none"),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, "none"),
    ],
)
def test_tracing_follows_the_standard_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], exporter: str
) -> None:
    """Spans are exported when OTEL_* says so, and only then."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert otel_exporter("traces") == exporter


def test_an_exporter_we_lack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsupported exporter stops the start instead of losing every span."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(InvalidSettings, match="zipkin"):
        otel_exporter("traces")
