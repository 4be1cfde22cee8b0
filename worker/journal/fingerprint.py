"""The keyed fingerprint of a payment, which tells a repeat from another payment of the same id. Pure."""

from hashlib import blake2b


class Fingerprints:
    """Makes keyed fingerprints: what a plain hash of a card payment hides can be found by trying.

    All workers of one journal need the same key; with another one, every repeat is a conflict.
    """

    __slots__ = ("_empty",)

    def __init__(self, key: bytes) -> None:
        self._empty = blake2b(digest_size=16, key=key, person=b"payment")

    def of(self, canonical: bytes) -> bytes:
        """Return the 16 bytes for a payment in canonical form: its JSON, compact, with sorted keys."""
        fingerprint = self._empty.copy()
        fingerprint.update(canonical)
        return fingerprint.digest()
