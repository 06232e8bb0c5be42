"""The split into training and test sets, by a hash of the example itself."""

import hashlib

TEST_ONE_IN = 5  # one sentence or puzzle in this many belongs to the test split


def split_of_text(text: str) -> str:
    """Return ``"train"`` or ``"test"``, by the text's hash."""
    digest = hashlib.sha256(text.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % TEST_ONE_IN == 0 else "train"
