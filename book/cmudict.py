"""The words of the CMU Pronouncing Dictionary: writes ``gatutils/book/tasks/cmudict.txt.xz``.

``python book/cmudict.py FILE`` reads the dictionary's ``cmudict.dict``, of
https://github.com/cmusphinx/cmudict, if it has the checksum below; nothing is downloaded.

Kept are the words of the letters a to z alone, with all their pronunciations, in the dictionary's
order; left out are marks of stress, comments, and what then is the same pronunciation again. A
line is a word, a tab, and its pronunciations with commas between them.
"""

import argparse
import hashlib
import lzma
import os
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "gatutils" / "book" / "tasks" / "cmudict.txt.xz"
SHA256 = "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"


def kept(dictionary: str) -> str:
    """Return the lines to store of the dictionary's text."""
    sounds: dict[str, list[str]] = {}
    for line in dictionary.splitlines():
        entry, *phonemes = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", entry)  # "read(2)" is the second pronunciation of "read"
        sound = " ".join(phoneme.rstrip("012") for phoneme in phonemes)
        if re.fullmatch("[a-z]+", word) and sound not in sounds.setdefault(word, []):
            sounds[word].append(sound)
    return "".join(f"{word}\t{','.join(all_)}\n" for word, all_ in sounds.items())


def main() -> int:
    """Write the file whole, and print its checksum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="cmudict.dict")
    data = parser.parse_args().file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        print(f"expected SHA-256 {SHA256}, got {found}", file=sys.stderr)
        return 1
    stored = lzma.compress(kept(data.decode("utf-8")).encode("ascii"), preset=9)
    draft = TARGET.with_suffix(".tmp")
    draft.write_bytes(stored)
    os.replace(draft, TARGET)
    print(f"{TARGET}: {len(stored):,} bytes, SHA-256 {hashlib.sha256(stored).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
