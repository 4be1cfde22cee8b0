"""The program's entry: what happens before there is a command line."""

import sys
import types

import pytest

from worker import __main__ as entry


def test_interruption_while_loading_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the first tenths of a second ends with the exit code of an interruption."""

    class Interrupted(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "worker.cli", Interrupted("worker.cli"))
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130
