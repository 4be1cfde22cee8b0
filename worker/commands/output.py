"""How commands speak: results on stdout, errors as one readable block on stderr, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

EXIT_FAILURE: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_DIFFERS: Final = 3
"""The books were read, and something in them does not fit."""


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the worker's own errors into their text and an exit code: 2 for configuration, 1 for others."""
    from worker.errors import ConfigurationError, WorkerError

    try:
        yield
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(
            EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else EXIT_FAILURE
        ) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(EXIT_FAILURE) from None
