"""The pronouncing dictionary: its file, its splits, and how errors are counted."""

import hashlib
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, load_script
from hypothesis import given
from hypothesis import strategies as st

from gatutils.book.experiments.spelling import spelling_errors
from gatutils.book.protocols import SPELLING
from gatutils.book.tasks import spelling as module
from gatutils.book.tasks.spelling import (
    LENGTHS,
    LETTERS,
    PHONEMES,
    Spelling,
    at_a_steady_rate,
    batches,
    collate,
    edit_distance,
    errors,
    phonemes_by_length,
    pronunciations,
    spellings,
)

builder = load_script("book/cmudict.py")


def test_what_is_kept_of_a_dictionary():
    text = """'em AH0 M
a AH0
a(2) EY1
read R EH1 D # of the past
read(2) R IY1 D
record R AH0 K AO1 R D
record(2) R AH1 K AO2 R D
u.s. Y UW1 EH1 S
"""
    assert builder.kept(text) == "a\tAH,EY\nread\tR EH D,R IY D\nrecord\tR AH K AO R D\n"


@pytest.mark.slow
def test_the_stored_words_are_the_dictionarys():
    folder = Path(os.environ.get("GATUTILS_DATA", ROOT.parent / "shared/data/planetoid")).parent
    source = folder / "cmudict" / "cmudict.dict"
    if not source.exists():
        pytest.skip(f"no {source}")
    data = source.read_bytes()
    assert hashlib.sha256(data).hexdigest() == builder.SHA256
    stored = {
        f"{word}\t{','.join(map(' '.join, s.sounds))}" for word, s in pronunciations().items()
    }
    assert stored == set(builder.kept(data.decode("utf-8")).splitlines())


def test_the_file_is_small_and_its_licence_lies_beside_the_others():
    assert module.FILE.stat().st_size < 1_000_000
    assert "Carnegie Mellon University" in (ROOT / "LICENSE-CMUdict").read_text(encoding="utf-8")


def test_another_file_is_refused(monkeypatch, tmp_path):
    other = tmp_path / "cmudict.txt.xz"
    other.write_bytes(b"not the dictionary")
    monkeypatch.setattr(module, "FILE", other)
    with pytest.raises(ValueError, match=r"cmudict\.txt\.xz: expected SHA-256"):
        pronunciations.__wrapped__()


def test_words_are_plain_and_their_phonemes_known():
    words = pronunciations()
    assert len(words) == 117_493
    assert words["read"].sounds == (("R", "EH", "D"), ("R", "IY", "D"))
    assert str(words["read"]) == "read -> R EH D or R IY D"
    met = {phoneme for s in words.values() for sound in s.sounds for phoneme in sound}
    assert met == set(PHONEMES.tokens[3:])
    assert {letter for word in words for letter in word} == set(LETTERS.tokens[3:])
    assert all(s.sounds and len(set(s.sounds)) == len(s.sounds) for s in words.values())


def test_the_splits_share_no_word_and_together_have_all():
    train, test = ({s.word for s in spellings(split)} for split in ("train", "test"))
    assert not train & test
    assert train | test == set(pronunciations())
    assert len(test) / len(pronunciations()) == pytest.approx(0.2, abs=0.005)
    with pytest.raises(ValueError, match="split: expected 'train' or 'test', got 'dev'"):
        spellings("dev")


def test_a_seed_gives_the_same_batches_of_training_words():
    one, again, other = (list(islice(batches(8, seed), 3)) for seed in (1, 1, 2))
    assert all(a.target_in.equal(b.target_in) for a, b in zip(one, again, strict=True))
    assert [a.pairs for a in one] == [b.pairs for b in again] != [b.pairs for b in other]
    train = {s.word for s in spellings("train")}
    for batch in one:
        for row, letters in zip(batch.pairs, batch.source.tolist(), strict=True):
            assert row.word in train
            assert "".join(LETTERS.decode(letters)) == row.word
        sounds = [tuple(PHONEMES.decode(ids)) for ids in batch.target_out.tolist()]
        assert all(s in row.sounds for s, row in zip(sounds, batch.pairs, strict=True))


def test_every_pronunciation_is_learned():
    read = pronunciations()["read"]
    for sound in read.sounds:
        (ids,) = collate([read], [sound]).target_out.tolist()
        assert tuple(PHONEMES.decode(ids)) == sound


sequences = st.lists(st.sampled_from("abc"), max_size=6)


@given(sequences, sequences, sequences)
def test_the_edit_distance_is_one(a, b, c):
    """A metric, and by one for each insertion, omission and replacement."""
    assert edit_distance(a, a) == 0
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a, [*a[:2], "d", *a[2:]]) == 1
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_errors_are_counted_against_the_nearest_right_pronunciation():
    words = [Spelling("a" * length, (("B", "AA"), ("K", "AE", "T"))) for length in LENGTHS]
    words += [Spelling("aa", (("B",),)), Spelling("a" * 20, (("B",),))]
    said = {4: ["K", "AE", "D"], 5: [], 20: ["B", "B", "B"]}  # one, two and two phonemes wrong

    def pronounce(batch):
        return [PHONEMES.encode(said.get(len(s.word), list(s.sounds[-1]))) for s in batch.pairs]

    found = errors(pronounce, words, batch_size=4)
    assert found.words == 3 / 11
    # "aaaa" is nearest to K AE T, "aaaaa" to B AA; the others' lengths are 3, and twice 1.
    assert found.phonemes == (1 + 2 + 2) / (3 + 2 + 7 * 3 + 1 + 1)
    assert found.by_length == (1 / 2, 1, 0, 0, 0, 0, 0, 0, 1 / 2)
    with pytest.raises(ValueError, match=r"none of length \[4\]"):
        errors(pronounce, words[1:9])


def test_longer_words_have_more_phonemes_and_more_chances_of_an_error():
    words = [Spelling("a" * (length + 1), (("B",) * length,)) for length in range(2, 20)]
    # Of 2 to 3 letters and phonemes, then of one length each, then of all longer ones.
    assert phonemes_by_length(words) == (2.5, 4, 5, 6, 7, 8, 9, 10, 15)
    with pytest.raises(ValueError, match=r"none of length \[12\]"):
        phonemes_by_length(words[:9])

    expected = at_a_steady_rate(0.9**3, [3, 4, 6])
    assert expected == pytest.approx([0.9**3, 0.9**4, 0.9**6])
    with pytest.raises(ValueError, match="share"):
        at_a_steady_rate(0, [3, 4])


@pytest.mark.parametrize("name", SPELLING)
def test_a_run_has_a_score_for_every_length(name, monkeypatch):
    few = {split: spellings(split)[::400] for split in ("train", "test")}
    monkeypatch.setattr("gatutils.book.experiments.spelling.spellings", few.get)
    plan = replace(SPELLING[name], steps=2)
    found = plan.run(seed=0)
    assert len(found["scores"]) == 2 + len(LENGTHS)
    assert all(score >= 0 for score in found["scores"])
    assert found == plan.run(seed=0)


def test_greedy_decoding_is_what_is_scored():
    words = spellings("test")[::300]
    plan: Any = SPELLING["one vector"]
    model = plan.build().eval()
    found = spelling_errors(model, words)
    assert found.words > 0.9  # nothing is learned
    assert found.phonemes > 0.5
