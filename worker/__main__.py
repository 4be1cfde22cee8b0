"""``payment-worker``, also ``python -m worker``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is no error of ours, not even while the program is still being loaded."""
    try:
        from worker.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
