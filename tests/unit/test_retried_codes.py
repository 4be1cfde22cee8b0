"""The codes with retries of their own are those in the documents."""

from pathlib import Path

from worker.retry_settings import retried_codes

DOCUMENTS = Path(__file__).parents[2] / "docs"


def test_every_code_that_is_tried_again_is_documented() -> None:
    """Operators find what they may write, and connectors' people what they may meet."""
    for name in ("operations.md", "messages.md"):
        text = (DOCUMENTS / name).read_text()
        assert [code for code in set(retried_codes()) if f"`{code}`" not in text] == []
