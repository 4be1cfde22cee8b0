"""What the plugin tests share."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.plugins import write_distribution
from worker.plugins.registry import Registry
from worker.routing.questions import Kind

_numbers = itertools.count()

Offer = Callable[..., Registry]


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Install a distribution whose module no other test has; return a registry that allows some names."""

    def install(
        source: str, offers: Mapping[Kind, Mapping[str, str]], *allowed: str, **about: str
    ) -> Registry:
        number = next(_numbers)
        folder = tmp_path / f"site-{number}"
        folder.mkdir()
        write_distribution(folder, f"offered_plugins_{number}", source, offers, **about)
        monkeypatch.syspath_prepend(folder)
        return Registry.of(allowed)

    return install
