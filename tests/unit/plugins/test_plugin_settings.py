"""The setting that says which plugins may be used."""

import pytest

from worker.errors import InvalidSettings
from worker.settings import load_settings


def test_no_plugin_is_allowed_unless_named() -> None:
    """The list is empty by default."""
    assert load_settings().plugins == ()


def test_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces around them do not matter."""
    monkeypatch.setenv("PAYMENT_WORKER_PLUGINS", "odd_hours, risk_score,")
    assert load_settings().plugins == ("odd_hours", "risk_score")


@pytest.mark.parametrize("name", ["Odd", "odd-hours", "os.path", "a:b", "*"])
def test_only_names_are_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No import path and no pattern gets in."""
    monkeypatch.setenv("PAYMENT_WORKER_PLUGINS", name)
    with pytest.raises(InvalidSettings, match="PAYMENT_WORKER_PLUGINS"):
        load_settings()
