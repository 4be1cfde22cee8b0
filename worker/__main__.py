"""``python -m worker`` is ``payment-worker``."""

from worker.cli import main

if __name__ == "__main__":
    main()
