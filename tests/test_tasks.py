"""The grammar, checked against rules of Korean and a parser that the module does not know.

Then the graphs: that of SciPy is made anew from SciPy's sources and compared.
"""

import ast
import hashlib
import importlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from helpers import load_script, not_none
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Int
from torch import Tensor

from gatutils.book.tasks import grammar as module
from gatutils.book.tasks import graphs as graph_tasks
from gatutils.book.tasks import puzzles as puzzle_tasks
from gatutils.book.tasks.dictionaries import dictionaries
from gatutils.book.tasks.graphs import (
    QUESTIONS,
    atlas,
    atlas_split,
    karate,
    planted_classes,
    random_graphs,
    scipy_api,
)
from gatutils.book.tasks.puzzles import (
    Puzzle,
    collate_puzzles,
    deduction,
    next_step,
    sample_puzzles,
)
from gatutils.book.tasks.relay import TOKENS, relay
from gatutils.book.tasks.sentences import (
    ENGLISH,
    KOREAN,
    Pair,
    Vocabulary,
    batches,
    collate,
    exact_match,
    sample_pair,
    sample_pairs,
    split_of,
    verb_roles,
)
from gatutils.book.tasks.witnesses import (
    ANSWERS,
    RIGHT,
    WITNESSES,
    witnesses,
)
from gatutils.interop import to_networkx

# --- Korean by rule, from the forms in a dictionary -----------------------------------------------
# A syllable of Unicode is 0xAC00 + (initial * 21 + vowel) * 28 + final.
A, EO, OH, WA, U = 0, 4, 8, 9, 13  # numbers of the vowels ㅏ ㅓ ㅗ ㅘ ㅜ
NONE, N, L, B, SS = 0, 4, 8, 17, 20  # numbers of the finals: none, ㄴ ㄹ ㅂ ㅆ
SILENT = 11  # number of the initial ㅇ


def split(syllable):
    code = ord(syllable) - 0xAC00
    assert 0 <= code < 11172, syllable
    return code // 28 // 21, code // 28 % 21, code % 28


def join(initial, vowel, final=NONE):
    return chr(0xAC00 + (initial * 21 + vowel) * 28 + final)


def final(word):
    return split(word[-1])[2]


def without_final(word):
    return word[:-1] + join(*split(word[-1])[:2])


def past(dictionary_form):
    stem = dictionary_form.removesuffix("다")
    _, vowel, last = split(stem[-1])
    bright = vowel in (A, OH)  # vowel harmony
    if last == B:  # irregular: the ㅂ of 돕다 turns into ㅗ, which melts with 았 to 왔
        assert stem == "돕"
        return without_final(stem) + join(SILENT, WA, SS) + "다"
    return stem + join(SILENT, A if bright else EO, SS) + "다"  # 보았다: the full form, not 봤다


def adnominal(dictionary_form):
    """-(으)ㄴ: of verbs the past form before a noun, of adjectives the only one."""
    stem = dictionary_form.removesuffix("다")
    initial, vowel, last = split(stem[-1])
    if last == B:  # 돕 + 은 -> 도운
        return without_final(stem) + join(SILENT, U, N)
    if last in (NONE, L):  # ㄴ fits under the vowel; ㄹ gives way to it
        return stem[:-1] + join(initial, vowel, N)
    return stem + "은"


def subject(noun):
    return "이" if final(noun) else "가"


def direct_object(noun):
    return "을" if final(noun) else "를"


NOUN = {
    "cat": "고양이", "dog": "개", "fox": "여우", "girl": "소녀",
    "boy": "소년", "bear": "곰", "deer": "사슴", "horse": "말",
}  # fmt: skip
VERB = {"chased": "쫓다", "bit": "물다", "helped": "돕다", "saw": "보다", "found": "찾다"}
ADJECTIVE = {"small": "작다", "big": "크다", "quick": "빠르다", "young": "어리다"}
PLACE = {"park": "공원", "forest": "숲", "garden": "정원"}
TIME = {"today": "오늘", "yesterday": "어제", "earlier": "아까"}


def test_the_rules_of_this_file_give_what_a_grammar_book_gives():
    assert " ".join(map(past, VERB.values())) == "쫓았다 물었다 도왔다 보았다 찾았다"
    assert " ".join(map(adnominal, VERB.values())) == "쫓은 문 도운 본 찾은"
    assert " ".join(map(adnominal, ADJECTIVE.values())) == "작은 큰 빠른 어린"
    assert "".join(subject(n) for n in NOUN.values()) == "가가가가이이이이"


# --- an independent parser: all readings of an English sentence -----------------------------------


def noun_phrases(words, i):
    """Every noun phrase that starts at i, as (noun, Korean with English indices, number of
    clauses, pairs of related nouns, end)."""
    for noun, korean, end in bare(words, i):
        yield noun, korean, 0, [], end
        if words[end : end + 1] != ["that"]:
            continue
        for verb, j in verbs(words, end + 1, adnominal):  # that bit NP
            for inner, inside, clauses, related, stop in noun_phrases(words, j):
                clause = [*inside, (direct_object(NOUN[inner]), None), verb]
                related = [*related, (noun, inner)]
                yield noun, clause + korean, clauses + 1, related, stop
        for inner, inside, j in bare(words, end + 1):  # that the boy bit
            for verb, stop in verbs(words, j, adnominal):
                clause = [*inside, (subject(NOUN[inner]), None), verb]
                yield noun, clause + korean, 1, [(inner, noun)], stop


def bare(words, i):
    if words[i : i + 1] == ["the"]:
        korean = []
        i += 1
        if i < len(words) and words[i] in ADJECTIVE:
            korean.append((adnominal(ADJECTIVE[words[i]]), i))
            i += 1
        if i < len(words) and words[i] in NOUN:
            yield words[i], [*korean, (NOUN[words[i]], i)], i + 1


def verbs(words, i, form):
    if i < len(words) and words[i] in VERB:
        yield (form(VERB[words[i]]), i), i + 1


def readings(english):
    """Every translation: (Korean with English indices, number of clauses, related nouns)."""
    words = list(english)
    found = []
    for doer, left, n, related, i in noun_phrases(words, 0):
        for verb, j in verbs(words, i, past):
            for thing, right, m, more, k in noun_phrases(words, j):
                korean = [*left, (subject(NOUN[doer]), None)]
                korean += [*right, (direct_object(NOUN[thing]), None), verb]
                place, time, rest = [], [], words[k:]
                if rest[:2] == ["in", "the"] and rest[2] in PLACE:
                    place = [(PLACE[rest[2]], k + 2), ("에서", k)]
                    k, rest = k + 3, rest[3:]
                if rest and rest[0] in TIME:
                    time = [(TIME[rest[0]], k)]
                    rest = rest[1:]
                if not rest:
                    nouns = [*related, *more, (doer, thing)]
                    found.append((time + place + korean, n + m, nouns))
    return found


def drawn(clauses, seed):
    return sample_pair(clauses, random.Random(seed))


draws = st.tuples(st.integers(0, 9), st.integers(0, 2**32))  # of `drawn`: clauses and seed
quick = settings(max_examples=60, deadline=None, database=None)

EXAMPLES = {
    "the cat chased the dog that bit the boy today": "오늘 고양이 가 소년 을 문 개 를 쫓았다",
    "the cat chased the dog that the boy bit": "고양이 가 소년 이 문 개 를 쫓았다",
    "the cat saw the small dog that bit the boy": "고양이 가 소년 을 문 작은 개 를 보았다",
    "the big dog that helped the girl found the bear in the park yesterday": (
        "어제 공원 에서 소녀 를 도운 큰 개 가 곰 을 찾았다"
    ),
    "the boy saw the cat that found the dog that the bear chased": (
        "소년 이 곰 이 쫓은 개 를 찾은 고양이 를 보았다"
    ),
}


@pytest.mark.parametrize("english", EXAMPLES)
def test_examples_are_read_one_way(english):
    ((korean, clauses, _),) = readings(english.split())
    assert " ".join(word for word, _ in korean) == EXAMPLES[english]
    assert clauses == english.split().count("that")


@pytest.mark.slow
@pytest.mark.parametrize("english", list(EXAMPLES)[:3])
def test_examples_are_drawn(english, monkeypatch):
    # Only the words of the example are left, so that chance meets it soon.
    words = english.split()
    for table in ("VERBS", "ADJECTIVES", "TIMES"):
        left = {w: k for w, k in getattr(module, table).items() if w in words}
        monkeypatch.setattr(module, table, left)
    monkeypatch.setattr(module, "ADJECTIVE", 0.3 * bool(module.ADJECTIVES))
    monkeypatch.setattr(module, "TIME", 1.0 * bool(module.TIMES))
    monkeypatch.setattr(module, "PLACE", 0.0)
    monkeypatch.setattr(module, "SUBJECT_CLAUSE", 0.0)
    rng = random.Random(0)
    draws = (str(sample_pair(1, rng)) for _ in range(60_000))
    wanted = f"{english} -> "
    assert next(d for d in draws if d.startswith(wanted)) == wanted + EXAMPLES[english]


@given(draws)
@settings(quick, max_examples=300)
def test_english_says_all_of_the_korean(draw):
    pair = drawn(*draw)
    ((korean, clauses, related),) = readings(pair.english)  # exactly one reading
    assert pair.korean == tuple(word for word, _ in korean)
    assert pair.alignment == tuple(i for _, i in korean)
    assert pair.clauses == clauses
    assert all(one != other for one, other in related)


@given(st.integers(0, 40), st.integers())
@quick
def test_clause_count_is_exact(clauses, seed):
    pair = drawn(clauses, seed)
    assert pair.clauses == clauses == pair.english.count("that")
    before_noun = {adnominal(verb) for verb in VERB.values()}
    assert sum(word in before_noun for word in pair.korean) == clauses


@given(draws)
@quick
def test_korean_word_order(draw):
    pair = drawn(*draw)
    past_forms = {past(verb) for verb in VERB.values()}
    assert [word in past_forms for word in pair.korean].index(True) == len(pair.korean) - 1
    for word, after in zip(pair.korean, pair.korean[1:], strict=False):
        if word in NOUN.values():
            assert after in (subject(word), direct_object(word))
        if after == "에서":
            assert word in PLACE.values()
    first = [w for w in pair.korean if w in TIME.values() or w in PLACE.values() or w == "에서"]
    assert pair.korean[: len(first)] == tuple(first)
    assert [w for w in first if w in TIME.values()] == first[: len(first) % 2]  # time, place 에서


@given(draws)
@quick
def test_alignment_covers_every_word_with_meaning_once(draw):
    pair = drawn(*draw)
    dictionary = NOUN | PLACE | TIME | {"in": "에서"}
    pointed = []
    for word, i in zip(pair.korean, pair.alignment, strict=True):
        if word in "이가을를":
            assert i is None
            continue
        english = pair.english[i]
        if english in VERB:
            assert word in (past(VERB[english]), adnominal(VERB[english]))
        elif english in ADJECTIVE:
            assert word == adnominal(ADJECTIVE[english])
        else:
            assert word == dictionary[english]
        pointed.append(i)
    assert sorted(pointed) == [i for i, w in enumerate(pair.english) if w not in ("the", "that")]


@pytest.mark.slow
def test_no_two_english_sentences_share_a_korean_one():
    rng = random.Random(1)
    pairs = [sample_pair(k % 4, rng) for k in range(5000)]  # of both splits, as they come
    assert len({p.english for p in pairs}) == len({p.korean for p in pairs}) > 3000


def relatives(pair):
    """Numbers of subject and of object relatives, and of clauses on the subject."""
    words = pair.english
    after = [words[i + 1] for i, word in enumerate(words) if word == "that"]
    start = words[2 + (words[1] in ADJECTIVE)] == "that"
    return sum(w in VERB for w in after), after.count("the"), start


@pytest.mark.slow
@pytest.mark.parametrize("clauses", range(1, 8))
def test_both_kinds_of_relative_are_common(clauses):
    found = [relatives(pair) for pair in sample_pairs(400, clauses, seed=3)]
    assert all(s + o == clauses for s, o, _ in found)
    assert sum(s > 0 for s, _, _ in found) > 0.4 * 400
    assert sum(o > 0 for _, o, _ in found) > 0.4 * 400
    assert 0.15 * 400 < sum(start for _, _, start in found) < 0.35 * 400


@pytest.mark.slow
def test_shares_are_those_of_the_constants():
    pairs = sample_pairs(2000, range(8), seed=4)
    counts = Counter(word for pair in pairs for word in pair.english)
    adjectives, nouns = (sum(counts[w] for w in words) for words in (ADJECTIVE, NOUN))
    assert adjectives / nouns == pytest.approx(module.ADJECTIVE, abs=0.02)
    assert counts["in"] / 2000 == pytest.approx(module.PLACE, abs=0.04)
    assert sum(counts[w] for w in TIME) / 2000 == pytest.approx(module.TIME, abs=0.04)
    for table in (NOUN, VERB, ADJECTIVE, PLACE, TIME):  # no word is left out or favoured
        fair = sum(counts[w] for w in table) / len(table)
        assert all(0.75 * fair < counts[w] < 1.25 * fair for w in table)
    numbers = Counter(pair.clauses for pair in pairs)
    assert all(180 < numbers[clauses] < 320 for clauses in range(8))


def test_str_of_a_pair():
    pair = Pair(("the", "cat"), ("고양이", "가"), 0, (1, None))
    assert str(pair) == "the cat -> 고양이 가"


# --- splits and seeds -----------------------------------------------------------------------------


@pytest.mark.slow
def test_splits_share_nothing_and_are_one_to_four():
    train = sample_pairs(500, [0, 1], "train", seed=5)
    test = sample_pairs(500, [0, 1], "test", seed=5)
    assert {split_of(p.english) for p in train} == {"train"}
    assert {split_of(p.english) for p in test} == {"test"}
    assert not {p.korean for p in train} & {p.korean for p in test}
    rng = random.Random(6)
    free = [split_of(sample_pair(3, rng).english) for _ in range(2000)]
    assert free.count("test") / 2000 == pytest.approx(1 / 5, abs=0.03)


@given(draws)
@quick
def test_split_is_the_hash_of_the_sentence(draw):
    pair = drawn(*draw)
    number = int(hashlib.sha256(" ".join(pair.english).encode()).hexdigest()[:16], 16)
    assert split_of(list(pair.english)) == ("train" if number % 5 else "test")


def test_same_seed_same_pairs_on_every_machine():
    # Python hashes strings anew in each run, so a stored digest fails if anything hangs on that.
    pairs = sample_pairs(50, range(8), "test", seed=7)
    (batch,) = islice(batches(16, range(8), 7), 1)
    everything = "\n".join(map(repr, pairs)) + str(batch.source.tolist() + batch.target_in.tolist())
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "e115c72b52cba208"


def test_seeds_and_purposes_have_streams_of_their_own():
    streams: list[Sequence[Pair]] = [sample_pairs(8, 5, seed=seed) for seed in (0, 1, -1)]
    streams += [next(batches(8, 5, 0)).pairs, next(batches(8, 5, 0, "test")).pairs]
    streams += [sample_pairs(8, 5, "test", 0)]
    sentences = [pair.english for stream in streams for pair in stream]
    assert len(set(sentences)) == len(sentences)
    assert sample_pairs(8, 5, seed=0) == streams[0] == sample_pairs(20, 5, seed=0)[:8]


def test_batches_go_on_and_do_not_disturb_each_other():
    one, other = batches(4, [2, 3], 0), batches(4, [2, 3], 0)
    alone = [batch.pairs for batch in islice(one, 5)]
    again = []
    for batch in islice(other, 5):
        again.append(batch.pairs)
        sample_pairs(1, 0, seed=random.randrange(9))  # others draw in between
    assert again == alone
    assert alone[0] != alone[1]
    cut = [pair for pairs in alone for pair in pairs]
    assert cut == next(batches(20, [2, 3], 0)).pairs  # the size only cuts the stream


def test_clauses_given_as_a_list_may_change_later():
    counts = [2]
    stream = batches(3, counts, 0)
    counts[0] = 0
    assert {pair.clauses for pair in next(stream).pairs} == {2}


# --- vocabularies, batches, scores ----------------------------------------------------------------


def test_vocabularies_hold_the_words_of_the_grammar():
    specials = ["<pad>", "<bos>", "<eos>"]
    english = [*NOUN, *VERB, *ADJECTIVE, *PLACE, *TIME, "the", "that", "in"]
    korean = [*NOUN.values(), *PLACE.values(), *TIME.values(), *"이가을를", "에서"]
    korean += [f(v) for v in VERB.values() for f in (past, adnominal)]
    korean += [adnominal(a) for a in ADJECTIVE.values()]
    for vocabulary, words, size in ((ENGLISH, english, 26 + 3), (KOREAN, korean, 33 + 3)):
        assert len(vocabulary) == size
        assert vocabulary.encode(specials) == [0, 1, 2]
        assert sorted(vocabulary.encode(words)) == list(range(3, size))
        assert all(word in vocabulary for word in words)
        assert "<unk>" not in vocabulary


@given(draws)
@quick
def test_vocabulary_round_trip(draw):
    pair = drawn(*draw)
    assert ENGLISH.decode(ENGLISH.encode(pair.english)) == list(pair.english)
    ids = KOREAN.encode(pair.korean)
    assert KOREAN.decode([1, *ids, 0, 2, *ids]) == list(pair.korean)
    assert KOREAN.decode(torch.tensor([1, *ids, 2, 0])) == list(pair.korean)


def test_unknown_words_name_their_neighbours():
    with pytest.raises(ValueError, match=r"'chase'.*'chased'"):
        ENGLISH.encode(["the", "chase"])
    with pytest.raises(ValueError, match=r"'zzz'; none"):
        ENGLISH.encode(["zzz"])


@given(st.lists(draws, min_size=1, max_size=5))
@quick
def test_batches_are_padded_and_masked(draws):
    pairs = [drawn(*draw) for draw in draws]
    batch = collate(pairs)
    assert isinstance(batch.source, Int[Tensor, "batch source"])  # type: ignore[arg-type]
    assert isinstance(batch.source_mask, Bool[Tensor, "batch source"])  # type: ignore[arg-type]
    assert batch.source.dtype == batch.target_in.dtype == batch.target_out.dtype == torch.int64
    assert batch.pairs == pairs
    assert batch.source.shape == (len(pairs), max(len(p.english) for p in pairs))
    assert batch.source_mask.shape == batch.source.shape
    assert batch.target_in.shape == (len(pairs), 1 + max(len(p.korean) for p in pairs))
    assert batch.target_out.shape == batch.target_in.shape
    for row, pair in enumerate(pairs):
        n, m = len(pair.english), len(pair.korean)
        english, korean = ENGLISH.encode(pair.english), KOREAN.encode(pair.korean)
        assert batch.source[row].tolist() == english + [0] * (batch.source.shape[1] - n)
        assert batch.source_mask[row].tolist() == [i < n for i in range(batch.source.shape[1])]
        padding = [0] * (batch.target_in.shape[1] - m - 1)
        assert batch.target_in[row].tolist() == [1, *korean, *padding]
        assert batch.target_out[row].tolist() == [*korean, 2, *padding]


def test_exact_match_counts_whole_sentences():
    pairs = sample_pairs(4, 1, seed=8)
    said = [list(pair.korean) for pair in pairs]
    assert exact_match(said, pairs) == 1.0
    assert exact_match([pair.korean for pair in pairs], pairs) == 1.0
    said[0][-1] = "공원"
    said[2] = []
    said[3] = [*said[3], "개"]
    assert exact_match(said, pairs) == 0.25


# --- bad input ------------------------------------------------------------------------------------
RNG = random.Random(0)
PAIR = sample_pair(1, RNG)
FOREIGN = Pair(("the", "unicorn"), ("개",), 0, (1,))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sample_pair(-1, RNG), ValueError, "clauses.*at least 0.*-1"),
        (lambda: sample_pair(True, RNG), TypeError, "clauses.*True"),
        (lambda: sample_pair(1.0, RNG), TypeError, "clauses.*1.0"),  # type: ignore[arg-type]
        (lambda: sample_pair(1, random), TypeError, "rng"),  # type: ignore[arg-type]
        (lambda: sample_pairs(-1, 1), ValueError, "count.*-1"),
        (lambda: sample_pairs(2.0, 1), TypeError, "count"),  # type: ignore[arg-type]
        (lambda: sample_pairs(True, 1), TypeError, "count"),
        (lambda: sample_pairs(1, -2), ValueError, "clauses.*-2"),
        (lambda: sample_pairs(1, [0, -2]), ValueError, "clauses.*-2"),
        (lambda: sample_pairs(1, []), ValueError, "clauses"),
        (lambda: sample_pairs(1, True), TypeError, "clauses"),
        (lambda: sample_pairs(1, [1, False]), TypeError, "clauses.*False"),
        (lambda: sample_pairs(1, 2.0), TypeError, "clauses"),  # type: ignore[arg-type]
        (lambda: sample_pairs(1, "12"), TypeError, "clauses"),  # type: ignore[arg-type]
        (lambda: sample_pairs(0, 1, "valid"), ValueError, "split.*'test'.*'valid'"),
        (lambda: sample_pairs(1, 1, seed=None), TypeError, "seed"),  # type: ignore[arg-type]
        (lambda: sample_pairs(1, 1, seed=True), TypeError, "seed"),
        (lambda: batches(0, 1, 0), ValueError, "size.*at least 1.*0"),  # at the call, before next()
        (lambda: batches(1.5, 1, 0), TypeError, "size"),  # type: ignore[arg-type]
        (lambda: batches(1, -1, 0), ValueError, "clauses.*-1"),
        (lambda: batches(1, 1, "train"), TypeError, "seed"),  # type: ignore[arg-type]
        (lambda: batches(1, 1, 0, "dev"), ValueError, "split.*'dev'"),
        (lambda: split_of("the cat"), TypeError, "english.*the cat"),
        (lambda: split_of(["the", 3]), TypeError, "english.*3"),  # type: ignore[list-item]
        (lambda: split_of(None), TypeError, "english"),  # type: ignore[arg-type]
        (lambda: Vocabulary(["a", "b", "a"]), ValueError, "words.*'a'"),
        (lambda: Vocabulary(["<eos>"]), ValueError, "words.*<eos>"),
        (lambda: Vocabulary(["a", 1]), TypeError, "words.*1"),  # type: ignore[list-item]
        (lambda: ENGLISH.encode("the"), TypeError, "tokens.*the"),
        (lambda: ENGLISH.encode(["the", 3]), TypeError, "tokens.*3"),  # type: ignore[list-item]
        (lambda: ENGLISH.decode([29]), ValueError, "ids.*28.*29"),
        (lambda: ENGLISH.decode([-1]), ValueError, "ids.*-1"),
        (lambda: ENGLISH.decode([1.0]), TypeError, "ids"),  # type: ignore[list-item]
        (lambda: ENGLISH.decode([True]), TypeError, "ids"),
        (lambda: ENGLISH.decode("3"), TypeError, "ids"),  # type: ignore[arg-type]
        (lambda: ENGLISH.decode(torch.zeros(1, 2, dtype=torch.int64)), TypeError, "ids"),
        (lambda: collate([]), ValueError, "pairs"),
        (lambda: collate(PAIR), TypeError, "pairs"),  # type: ignore[arg-type]
        (lambda: collate([PAIR, "the cat"]), TypeError, "pairs"),  # type: ignore[list-item]
        (lambda: collate([FOREIGN]), ValueError, "tokens.*'unicorn'"),
        (lambda: exact_match([], [PAIR]), ValueError, "predictions.*0.*1"),
        (lambda: exact_match([], []), ValueError, "pairs"),
        (lambda: exact_match(["개 가"], [PAIR]), TypeError, "predictions"),
        (lambda: exact_match("개", [PAIR]), TypeError, "predictions"),
        (lambda: exact_match([[1]], [PAIR]), TypeError, "predictions"),  # type: ignore[list-item]
        (lambda: exact_match([[]], [None]), TypeError, "pairs"),  # type: ignore[list-item]
        (lambda: Pair("cat", ("개",), 0, (0,)), TypeError, "english"),  # type: ignore[arg-type]
        (lambda: Pair(("cat",), (), 0, ()), ValueError, "korean"),
        (lambda: Pair(("cat",), ("개",), -1, (0,)), ValueError, "clauses"),
        (lambda: Pair(("cat",), ("개",), 0, ()), ValueError, "alignment.*1 entries"),
        (lambda: Pair(("cat",), ("개",), 0, (1,)), ValueError, "alignment"),
        (lambda: Pair(("cat",), ("개",), 0, (-1,)), ValueError, "alignment"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        call()


def korean_roles(pair):
    """The same as `verb_roles`, read off the particles: 이, 가 mark who does it, 을, 를 whom."""
    english: list[Any] = [None if j is None else pair.english[j] for j in pair.alignment]
    marked, roles = [], {}  # marked: nouns with their particle that still wait for a verb
    for k, j in enumerate(pair.alignment):
        if j is None:
            marked.append((pair.alignment[k - 1], pair.korean[k]))
        elif english[k] in module.VERBS:
            if pair.korean[k] == module.VERBS[english[k]][module.PAST]:
                (subject, first), (thing, second) = marked
                assert first in module.SUBJECT
                assert second in module.OBJECT
                roles[j] = subject, thing
            else:  # an adnominal verb describes the next noun
                noun, particle = marked.pop()
                head = next(
                    i
                    for i, word in zip(pair.alignment[k:], english[k:], strict=True)
                    if word in module.NOUNS
                )
                roles[j] = (noun, head) if particle in module.SUBJECT else (head, noun)
    return roles


@given(st.integers(0, 6), st.integers(0, 10**6))
def test_verb_roles_are_those_that_korean_marks(clauses, seed):
    pair = sample_pair(clauses, random.Random(seed))
    roles = verb_roles(pair.english)
    assert roles == korean_roles(pair)
    assert len(roles) == clauses + 1


def test_verb_roles_by_hand():
    words = [
        "the",
        "dog",
        "that",
        "the",
        "boy",
        "bit",
        "saw",
        "the",
        "cat",
        "that",
        "chased",
        "the",
        "fox",
    ]
    named = {words[v]: (words[s], words[o]) for v, (s, o) in verb_roles(words).items()}
    assert named == {"bit": ("boy", "dog"), "saw": ("dog", "cat"), "chased": ("cat", "fox")}


def test_verb_roles_refuse_what_is_no_sentence():
    with pytest.raises(ValueError, match="english: 'saw' at 0 has too few nouns"):
        verb_roles(["saw", "the"])
    with pytest.raises(TypeError, match="english"):
        verb_roles("the dog saw the cat")


# --- SciPy's API as a graph -----------------------------------------------------------------------
SCIPY = scipy_api()
EDGES = list(zip(SCIPY.graph.source.tolist(), SCIPY.graph.target.tolist(), strict=True))
STORED = Path(graph_tasks.__file__).with_name("scipy_api.npz")


def scipy_version():
    try:
        return version("scipy")
    except PackageNotFoundError:
        return "none"


def test_scipy_api_prints_short():
    assert repr(SCIPY.graph) in repr(SCIPY)
    assert repr(SCIPY.classes) in repr(SCIPY)
    assert len(repr(SCIPY)) < 400


@pytest.fixture(scope="module")
def builder():
    return load_script("book/scipy_api.py")


needs_scipy = pytest.mark.skipif(
    scipy_version() != "1.17.1",
    reason=f"the graph is of SciPy 1.17.1, and installed is {scipy_version()}",
)


@pytest.mark.slow
@needs_scipy
def test_the_stored_file_is_what_the_builder_makes(builder, tmp_path):
    """Arrays, not bytes: another build of zlib may pack them otherwise."""
    made = builder.build()
    with np.load(STORED, allow_pickle=False) as stored:
        assert set(stored) == set(made)
        for key in made:
            assert stored[key].dtype == made[key].dtype, key
            assert np.array_equal(stored[key], made[key]), key
    first, again = tmp_path / "first.npz", tmp_path / "again.npz"
    builder.write(made, first)
    builder.write(made, again)
    assert first.read_bytes() == again.read_bytes()
    assert STORED.stat().st_size < 40_000


@needs_scipy
def test_each_node_is_a_thing_of_its_own_in_scipy():
    found = []
    for name in SCIPY.names:
        home, _, attribute = f"scipy.{name}".rpartition(".")
        found.append(getattr(importlib.import_module(home), attribute))
    assert all(map(callable, found))
    assert len(set(map(id, found))) == len(found) == SCIPY.graph.num_nodes


def test_another_scipy_is_refused(builder, monkeypatch):
    monkeypatch.setattr(builder, "VERSION", "0.1")
    with pytest.raises(SystemExit, match=f"scipy: expected version 0.1, got {scipy_version()}"):
        builder.build()


def test_a_file_is_written_whole_or_not_at_all(builder, tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(ValueError, match="allow_pickle"):
        builder.write({"good": np.arange(3), "bad": np.array([{}])}, path)
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["before"]


def test_what_the_builder_reads_in_a_docstring(builder):
    doc = """Title

.. autosummary::
   :toctree: generated/

   solve - Solve it.
   deep.inside     -- Look \\
                      further.
   bare
                   -- of the line before

   other

Text of the page.

   no_entry
"""
    assert list(builder.listed(doc)) == [
        ("solve", "Solve it."),
        ("deep.inside", "Look                        further."),
        ("bare", ""),
        ("other", ""),
    ]
    doc = """Summary of :func:`~scipy.linalg.solve` and `quiet`, :class:`KDTree`.

See Also
--------
one, two : Both
    three
`four`
:func:`scipy.five`: more
This is prose.

Notes
-----
six : not here
"""
    assert sorted(builder.named(doc)) == sorted(
        ["scipy.linalg.solve", "KDTree", "scipy.five", "one", "two", "four", "scipy.five"]
    )


def test_what_the_builder_reads_in_a_source(builder):
    source = """
def f(given, *, norm):
    local = special.gamma(given)
    return helper(local, norm, linalg.lu.solve) + given.eig

class C(Base):
    def one(self, solve):
        return solve(self)
    def two(self):
        return solve(self)
"""
    f, c = ast.parse(source).body
    assert set(builder.used(f)) == {
        "special", "special.gamma", "helper", "linalg", "linalg.lu", "linalg.lu.solve",
    }  # fmt: skip
    assert set(builder.used(c)) == {"Base", "solve"}  # a variable of `one` is none of `two`


def test_counts_of_the_scipy_graph():
    graph = SCIPY.graph
    assert (graph.num_nodes, graph.num_edges, len(SCIPY.words)) == (1091, 2 * 2309, 431)
    labels = not_none(graph.labels)
    sizes = dict(zip(SCIPY.classes, labels.bincount().tolist(), strict=True))
    assert sizes == {
        "interpolate": 53, "linalg": 90, "ndimage": 66, "optimize": 60,
        "signal": 159, "sparse": 85, "special": 230, "stats": 348,
    }  # fmt: skip
    assert min(sizes.values()) >= 40
    same = labels[graph.source] == labels[graph.target]
    assert same.float().mean().item() == pytest.approx(0.794, abs=5e-4)


def test_the_scipy_graph_is_simple_and_leaves_nobody_out():
    assert set(EDGES) == {(j, i) for i, j in EDGES}
    assert len(set(EDGES)) == len(EDGES)
    assert all(i != j for i, j in EDGES)
    assert SCIPY.graph.degree.min() >= 1


def test_names_are_sorted_and_begin_with_their_class():
    assert list(SCIPY.names) == sorted(set(SCIPY.names))
    labels = [SCIPY.classes[label] for label in not_none(SCIPY.graph.labels)]
    assert labels == [name.partition(".")[0] for name in SCIPY.names]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("linalg.lu_factor", "linalg.lu_solve"),  # See Also
        ("interpolate.Rbf", "linalg.lu_factor"),  # used in a method, imported from elsewhere
        ("signal.butter", "signal.iirfilter"),  # used in a function
        ("stats.norm", "stats.rv_continuous"),  # an instance; its class is derived from the other
        ("signal.ShortTimeFFT", "signal.spectrogram"),  # :class: in a docstring
        ("special.psi", "special.polygamma"),  # used in a function; the other is compiled
    ],
)
def test_edges_by_hand(one, other):
    assert (SCIPY.names.index(one), SCIPY.names.index(other)) in EDGES


def test_words_do_not_tell_the_class_and_make_no_sentence():
    public = {part for name in SCIPY.names for part in name.split(".")[:-1]}
    assert set(SCIPY.classes) <= public
    others = {"scipy", "cluster", "fft", "fftpack", "integrate", "io", "spatial"}
    assert not (public | others) & set(SCIPY.words)
    assert list(SCIPY.words) == sorted(set(SCIPY.words))
    assert all(word.isalpha() and word.islower() and len(word) > 2 for word in SCIPY.words)
    with np.load(STORED, allow_pickle=False) as file:
        texts = {key for key in file if file[key].dtype.kind == "U"}
        assert texts == {"licence", "names", "classes", "words"}
        assert not any(" " in text for key in texts - {"licence"} for text in file[key])
        counts = file["counts"].tolist()
        assert counts == sorted(counts)  # by node, then by word: the order of a sentence is lost
        assert "Copyright (c) 2001-2002 Enthought, Inc. 2003, SciPy Dev" in str(file["licence"])
        assert "Redistributions in binary form must reproduce" in str(file["licence"])
        assert len(str(file["licence"])) < 2000  # SciPy's own, not that of what it bundles


def test_features_are_shares_of_words():
    features = not_none(SCIPY.graph.features)
    assert features.shape == (1091, 431)
    sums = features.sum(dim=1)
    some = sums > 0
    assert (features[~some] == 0).all()
    assert (~some).sum() == 4
    torch.testing.assert_close(sums[some], torch.ones(1087))
    assert ((features > 0).sum(dim=0) >= 3).all()  # no word of fewer than three summaries
    mine = features[SCIPY.names.index("stats.norm")]  # "A normal continuous random variable."
    said = {SCIPY.words[i]: mine[i].item() for i in mine.nonzero().flatten()}
    assert said == {"normal": 0.25, "continuous": 0.25, "random": 0.25, "variable": 0.25}


# --- splits and small graphs ----------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 2**31), st.lists(st.integers(0, 3), max_size=20))
@quick
def test_split_shows_as_many_of_each_class(per_class, seed, more):
    labels = torch.tensor([0, 1, 2, 3] * (per_class + 1) + more)
    train, test = graph_tasks.split(labels, per_class, seed)
    assert train.dtype == test.dtype == torch.bool
    assert torch.equal(train, ~test)
    assert labels[train].bincount().tolist() == [per_class] * 4


def test_split_is_drawn_by_its_seed():
    labels = not_none(SCIPY.graph.labels)
    state = torch.get_rng_state()
    first, again = (graph_tasks.split(labels, 20, 1)[0] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    masks = torch.stack([graph_tasks.split(labels, 20, seed)[0] for seed in range(300)])
    assert len(masks.unique(dim=0)) == 300
    share = 20 / labels.bincount()[labels]  # every node of a class is drawn equally often
    assert ((masks.float().mean(dim=0) - share).abs() < 0.15).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: graph_tasks.split([0, 1], 1, 0), TypeError, "labels.*list"),  # type: ignore[arg-type]
        (lambda: graph_tasks.split(torch.ones(4), 1, 0), TypeError, "labels.*float"),
        (
            lambda: graph_tasks.split(torch.zeros(2, 2, dtype=torch.long), 1, 0),
            ValueError,
            "labels",
        ),
        (
            lambda: graph_tasks.split(torch.tensor([0, 0, 1]), 1, 0),
            ValueError,
            "more than 1.*class 1",
        ),
        (lambda: graph_tasks.split(torch.tensor([0, 0]), 0, 0), ValueError, "per_class.*0"),
        (lambda: graph_tasks.split(torch.tensor([0, 0]), 1.0, 0), TypeError, "per_class.*1.0"),  # type: ignore[arg-type]
        (lambda: graph_tasks.split(torch.tensor([0, 0]), 1, None), TypeError, "seed.*None"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_splits_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_karate_is_zachary_s():
    graph = karate()
    assert (graph.num_nodes, graph.num_edges) == (34, 2 * 78)
    assert torch.equal(graph.mask(), graph.mask().T)
    assert graph.degree[[0, 33, 32]].tolist() == [16, 17, 12]  # both leaders, and one more
    labels = not_none(graph.labels)
    assert labels.bincount().tolist() == [17, 17]
    assert labels[[0, 33]].tolist() == [0, 1]
    assert graph.features is None


@pytest.fixture(scope="module")
def small():
    """The atlas, which takes a while to read."""
    return atlas()


def test_atlas_holds_every_small_graph_once(small):
    sizes = Counter(graph.num_nodes for graph in small)
    assert sizes == {0: 1, 1: 1, 2: 2, 3: 4, 4: 11, 5: 34, 6: 156, 7: 1044}  # OEIS A000088
    assert all(torch.equal(graph.features, torch.ones(graph.num_nodes, 1)) for graph in small)
    assert all(torch.equal(graph.mask(), graph.mask().T) for graph in small)
    for size in sizes:  # from no edge at all up to every pair
        edges = [graph.num_edges // 2 for graph in small if graph.num_nodes == size]
        assert (edges[0], edges[-1], edges) == (0, size * (size - 1) // 2, sorted(edges))
    five = [nx.Graph(to_networkx(graph)) for graph in small if graph.num_nodes == 5]
    assert not any(nx.is_isomorphic(a, b) for i, a in enumerate(five) for b in five[:i])


def listed(graph):
    """What tells two graphs of the atlas apart."""
    return graph.num_nodes, tuple(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


def test_questions_are_answered_as_networkx_answers_them(small):
    graphs = [*small[1::5], *random_graphs(20, 0)]
    for graph in graphs:
        undirected = nx.Graph(to_networkx(graph))
        degrees = [degree for _, degree in undirected.degree()]
        leaves = degrees.count(1)
        assert {question: ask(graph) for question, ask in QUESTIONS.items()} == {
            "number of leaves": leaves,
            "share of leaves": pytest.approx(leaves / len(degrees)),
            "a node of degree four or more": max(degrees) >= 4,
            "a triangle": any(nx.triangles(undirected).values()),
        }
    answers = [{ask(graph) for graph in graphs} for ask in QUESTIONS.values()]
    assert answers[2] == answers[3] == {0, 1}
    assert all(isinstance(answer, float) for some in answers for answer in some)


def test_atlas_split_draws_from_all_graphs_with_a_node(small, monkeypatch):
    monkeypatch.setattr(graph_tasks, "atlas", lambda: list(small))
    train, test = atlas_split(3)
    assert (len(train), len(test)) == (1000, 252)
    drawn = [listed(graph) for graph in train + test]
    assert sorted(drawn) == sorted(map(listed, small[1:]))
    assert drawn != list(map(listed, small[1:]))
    again, few = atlas_split(3)[0], atlas_split(3, 10)[0]
    assert list(map(listed, again)) == drawn[:1000]
    assert list(map(listed, few)) == drawn[:10]
    assert [listed(graph) for graph in atlas_split(4)[0]] != drawn[:1000]
    assert len(atlas_split(0, 1251)[1]) == 1


def test_random_graphs_are_simple_and_of_the_sizes_promised():
    graphs = random_graphs(300, 5, 3, 8)
    assert len(graphs) == 300
    assert {graph.num_nodes for graph in graphs} == set(range(3, 9))
    for graph in graphs:
        assert torch.equal(not_none(graph.features), torch.ones(graph.num_nodes, 1))
        mask = graph.mask()  # which refuses an edge that is there twice
        assert torch.equal(mask, mask.T)
        assert not mask.diagonal().any()
        assert graph.labels is None
    for nodes in (4, 7):
        edges = {graph.num_edges // 2 for graph in graphs if graph.num_nodes == nodes}
        most = min(nodes + nodes // 2, nodes * (nodes - 1) // 2)
        assert edges == set(range(nodes // 2, most + 1))
    assert len(set(map(listed, graphs))) > 100  # not always the same of so many nodes and edges
    assert {graph.num_nodes for graph in random_graphs(300, 0)} == set(range(15, 41))


@pytest.mark.parametrize("nodes", [16, 17, 403])  # also where the classes are not equally many
def test_planted_classes_are_in_the_edges_and_in_the_features(nodes):
    graph = planted_classes(nodes, 0)
    assert graph.degree.tolist() == [10] * nodes
    assert graph.labels is not None
    assert graph.features is not None
    same = graph.labels[graph.source] == graph.labels[graph.target]
    planted = graph.edge_order % 2 == 0
    assert bool(same[planted].all())
    assert not bool(same[~planted].all())
    other = planted_classes(nodes, 0)
    assert torch.equal(graph.features, not_none(other.features))
    assert torch.equal(graph.source, other.source)
    assert not torch.equal(graph.source, planted_classes(nodes, 1).source)
    own = graph.features[torch.arange(nodes), graph.labels]
    rest = (graph.features.sum() - own.sum()) / (31 * nodes)
    if nodes > 100:
        assert own.mean() - rest == pytest.approx(1, abs=0.25)  # five standard errors


def test_planted_classes_have_so_many_neighbours_and_so_many_of_their_class():
    graph = planted_classes(300, 0, neighbours=6, every=3)
    assert graph.degree.tolist() == [6] * 300
    labels = not_none(graph.labels)
    same = labels[graph.source] == labels[graph.target]
    assert bool(same[graph.edge_order % 3 == 0].all())
    assert 0.2 > same[graph.edge_order % 3 != 0].double().mean() > 0.06  # 1/8 by chance
    with pytest.raises(ValueError, match="every: expected a divisor of neighbours"):
        planted_classes(300, 0, neighbours=6, every=4)


def test_random_graphs_are_drawn_by_their_seed():
    one, other, again = ([listed(g) for g in random_graphs(9, seed)] for seed in (0, 1, 0))
    assert one == again != other
    assert len(set(one)) == 9
    assert [listed(g) for g in random_graphs(4, 0)] == one[:4]


@pytest.mark.parametrize("length", [1, 5])
def test_relay_holds_a_token_to_carry(length):
    batch = relay(length, 300, torch.Generator().manual_seed(0))
    assert (batch.num_graphs, batch.num_nodes) == (300, 300 * (length + 1))
    path = {(k, k + 1) for k in range(length)} | {(k + 1, k) for k in range(length)}
    for start in range(0, batch.num_nodes, length + 1):
        mine = batch.batch[batch.source] == start // (length + 1)
        ends = torch.stack([batch.source[mine], batch.target[mine]]) - start
        assert set(map(tuple, ends.T.tolist())) == path
        assert ends.shape[1] == len(path)
    features, labels = not_none(batch.features), not_none(batch.labels)
    tokens, flag = features.view(300, length + 1, TOKENS + 1).split([TOKENS, 1], dim=2)
    assert (tokens.sum(dim=2) == 1).all()
    assert tokens.unique().tolist() == [0, 1]
    assert torch.equal(flag.squeeze(2), torch.tensor([1.0] + [0.0] * length).expand(300, -1))
    held = tokens.argmax(dim=2)
    assert torch.equal(labels.view(300, -1), held[:, :1].expand(-1, length + 1))
    for node in range(length + 1):  # no token is favoured, and none is the first one's again
        assert set(held[:, node].tolist()) == set(range(TOKENS))
        assert held[:, node].bincount().max() < 2 * 300 / TOKENS
        assert node == 0 or (held[:, node] == held[:, 0]).float().mean() < 2 / TOKENS


def test_relay_is_drawn_by_its_generator():
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    one, next_one = (not_none(relay(3, 9, generator).features) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    again = relay(3, 9, torch.Generator().manual_seed(1))
    assert torch.equal(not_none(again.features), one)
    assert not torch.equal(next_one, one)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: atlas_split("0"), TypeError, "seed.*'0'"),  # type: ignore[arg-type]
        (lambda: atlas_split(0, 0), ValueError, "count.*0"),
        (lambda: atlas_split(0, 1.0), TypeError, "count.*1.0"),  # type: ignore[arg-type]
        (lambda: atlas_split(0, 1252), ValueError, "count.*less than 1252.*1252"),
        (lambda: planted_classes(15, 0), ValueError, "nodes.*at least 16, got 15"),
        (lambda: planted_classes(99, 0, 33), ValueError, "classes.*33"),
        (lambda: planted_classes(99, 0, 0), ValueError, "classes.*0"),
        (lambda: planted_classes(99, None), TypeError, "seed.*None"),  # type: ignore[arg-type]
        (lambda: random_graphs(0, 0), ValueError, "count.*0"),
        (lambda: random_graphs(1, None), TypeError, "seed.*None"),  # type: ignore[arg-type]
        (lambda: random_graphs(1, 0, 0, 3), ValueError, "least.*0"),
        (lambda: random_graphs(1, 0, 4, 3), ValueError, "most.*4.*3"),
        (lambda: relay(0, 1, torch.Generator()), ValueError, "length.*0"),
        (lambda: relay(2.0, 1, torch.Generator()), TypeError, "length.*2.0"),  # type: ignore[arg-type]
        (lambda: relay(1, 0, torch.Generator()), ValueError, "count.*0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_orders_of_graphs_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- puzzles --------------------------------------------------------------------------------------
TASKS = {"deduction": [1, 2, 3], "path": [2, 3, 4, 5, 6]}
every_task = pytest.mark.parametrize("task", TASKS)
TINY = Puzzle("deduction", 1, 4, ((2, "is", 0), (1, "fears", 3), (0, "fears", 1)), (2,), 1)


def same_whatever_the_order(puzzle):
    return puzzle.task, frozenset(puzzle.facts), puzzle.asked


@given(st.integers(1, 6), st.integers())
@quick
def test_a_deduction_follows_from_its_facts(size, seed):
    puzzle = deduction(size, random.Random(seed))
    known = {(who, relation): whom for who, relation, whom in puzzle.facts}
    assert len(known) == len(puzzle.facts) == 4 * (size + 1) == puzzle.entities
    assert (puzzle.task, puzzle.size) == ("deduction", size)
    at = puzzle.asked[0]
    for _ in range(size):
        at = known[at, "is"]
    assert puzzle.answer == known[at, "fears"]
    nobody_is = set(range(puzzle.entities)) - {b for (_, r), b in known.items() if r == "is"}
    assert len(nobody_is) == 4
    assert puzzle.asked[0] in nobody_is
    ends = {a for a, r in known if r == "fears"}
    assert len(ends) == 4
    assert ends == {b for (_, r), b in known.items() if r == "fears"}  # each is feared once
    assert not ends & {a for a, r in known if r == "is"}
    assert all(a != b for (a, _), b in known.items())


@given(st.integers(2, 6), st.integers())
@quick
def test_there_is_one_shortest_way_and_its_first_step_is_the_answer(size, seed):
    puzzle = next_step(size, random.Random(seed))
    world = nx.Graph([(a, b) for a, relation, b in puzzle.facts if relation == "meets"])
    (way,) = nx.all_shortest_paths(world, *puzzle.asked)
    assert len(way) == size + 1
    assert puzzle.answer == way[1]
    assert (puzzle.task, puzzle.size, puzzle.entities) == ("path", size, 20)
    assert len(puzzle.facts) == world.number_of_edges() == 20  # none twice, not even turned round
    assert all(a != b for a, b in world.edges)


def test_a_small_world_is_a_ring_of_which_a_fifth_leads_elsewhere(monkeypatch):
    monkeypatch.setattr(puzzle_tasks, "_shuffled", lambda count, rng: list(range(count)))
    rng = random.Random(0)
    facts = [fact for _ in range(200) for fact in next_step(2, rng).facts]
    elsewhere = [(a, b) for a, _, b in facts if b != (a + 1) % 20]
    # Somewhat less than a fifth: it would be the node itself, or an edge that is there.
    assert len(elsewhere) / len(facts) == pytest.approx(0.2 * 17 / 20, abs=0.015)
    assert {b for _, b in elsewhere} == set(range(20))


@every_task
def test_numbers_and_order_tell_nothing(task):
    puzzles = sample_puzzles(task, 2000, TASKS[task][0], seed=1)
    places = [lambda p: p.answer, lambda p: p.asked[0], lambda p: p.facts[0][0]]
    places.append(lambda p: next(k for k, fact in enumerate(p.facts) if p.asked[0] in fact[::2]))
    for place in places[:3]:
        counts = Counter(map(place, puzzles))
        fair = 2000 / puzzles[0].entities
        assert len(counts) == puzzles[0].entities
        assert all(0.5 * fair < count < 1.5 * fair for count in counts.values())
    first = Counter(map(places[3], puzzles))
    assert len(first) > len(puzzles[0].facts) / 2


@every_task
def test_sizes_are_drawn_equally_often(task):
    sizes = TASKS[task]
    counts = Counter(puzzle.size for puzzle in sample_puzzles(task, 500, sizes, seed=2))
    assert set(counts) == set(sizes)
    fair = 500 / len(sizes)
    assert all(0.7 * fair < count < 1.3 * fair for count in counts.values())


@every_task
@pytest.mark.parametrize("split", ["train", "test"])
def test_split_of_a_puzzle_is_the_hash_of_its_facts(task, split):
    for puzzle in sample_puzzles(task, 200, TASKS[task], split, 3):
        text = repr((sorted(puzzle.facts), puzzle.asked))
        number = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)
        assert split == ("train" if number % 5 else "test")


def test_splits_of_puzzles_share_nothing():
    few = [
        {same_whatever_the_order(p) for p in sample_puzzles("deduction", 800, 1, split, 4)}
        for split in ("train", "test")
    ]
    assert not few[0] & few[1]


def test_same_seed_same_puzzles_on_every_machine():
    puzzles = [p for task in TASKS for p in sample_puzzles(task, 50, TASKS[task], "test", 7)]
    everything = "\n".join(map(str, puzzles)) + str(collate_puzzles(puzzles[50:]).tokens.tolist())
    assert hashlib.sha256(everything.encode()).hexdigest()[:16] == "3267c466cc5a0398"


@every_task
def test_puzzles_are_drawn_by_their_seed(task):
    sizes = TASKS[task]
    streams = [
        sample_puzzles(task, 8, sizes, split, s) for split in ("train", "test") for s in (0, 1)
    ]
    assert len({puzzle for stream in streams for puzzle in stream}) == 32
    assert sample_puzzles(task, 20, sizes)[:8] == streams[0]
    assert sample_puzzles(task, 0, sizes) == []
    assert sample_puzzles(task, 5, sizes[0]) == sample_puzzles(task, 5, sizes[:1])


def test_str_of_a_puzzle():
    assert str(TINY) == "2 is 0, 1 fears 3, 0 fears 1; what does 2 fear? 1"
    path = Puzzle("path", 2, 3, ((0, "meets", 2), (1, "meets", 2)), (1, 0), 2)
    assert str(path) == "0 meets 2, 1 meets 2; from 1 to 0, by way of whom? 2"


@every_task
def test_a_batch_of_puzzles_holds_every_fact_and_the_question(task):
    puzzles = sample_puzzles(task, 5, TASKS[task][1], seed=6)
    batch = collate_puzzles(puzzles)
    relations = {"deduction": ["is", "fears"], "path": ["meets"]}[task]
    count = puzzles[0].entities
    assert batch.puzzles == puzzles
    assert batch.answer.tolist() == [puzzle.answer for puzzle in puzzles]
    assert len(batch.graphs) == {"deduction": 4, "path": 1}[task]
    for graph in batch.graphs:
        assert graph.sizes.tolist() == [count] * 5
    for row, puzzle in enumerate(puzzles):
        said = [t if t < count else relations[t - count] for t in batch.tokens[row].tolist()]
        told = [word for fact in puzzle.facts for word in fact]
        assert said == [*told, *puzzle.asked]
        marks = batch.marks[row * count : (row + 1) * count]
        assert marks.sum() == len(puzzle.asked)
        assert marks.argmax(dim=0).tolist() == list(puzzle.asked)
        kinds = []
        for graph in batch.graphs:
            mine = graph.batch[graph.source] == row
            assert torch.equal(mine, graph.batch[graph.target] == row)
            ends = torch.stack([graph.source[mine], graph.target[mine]]) - row * count
            kinds.append(sorted(map(tuple, ends.T.tolist())))
        forth = [[(a, b) for a, r, b in puzzle.facts if r == relation] for relation in relations]
        back = [[(b, a) for a, b in edges] for edges in forth]
        if task == "path":
            assert kinds == [sorted(forth[0] + back[0])]
        else:
            assert kinds == [
                sorted(edges) for pair in zip(forth, back, strict=True) for edges in pair
            ]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: deduction(0, RNG), ValueError, "size.*at least 1.*0"),
        (lambda: deduction(1.0, RNG), TypeError, "size.*1.0"),  # type: ignore[arg-type]
        (lambda: next_step(1, RNG), ValueError, "size.*at least 2.*1"),
        (lambda: next_step(7, RNG), ValueError, "size.*2 to 6.*7"),
        (lambda: next_step(True, RNG), TypeError, "size.*True"),
        (lambda: sample_puzzles("chess", 1, 1), ValueError, "task.*'deduction' or 'path'.*'chess'"),
        (lambda: sample_puzzles("path", -1, 2), ValueError, "count.*-1"),
        (lambda: sample_puzzles("path", 1.0, 2), TypeError, "count.*1.0"),  # type: ignore[arg-type]
        (lambda: sample_puzzles("path", 1, []), ValueError, r"sizes.*at least one.*\[\]"),
        (lambda: sample_puzzles("path", 1, [2.0]), TypeError, "sizes.*2.0"),  # type: ignore[list-item]
        (lambda: sample_puzzles("path", 1, "2"), TypeError, "sizes.*'2'"),  # type: ignore[arg-type]
        (lambda: sample_puzzles("path", 1, [7]), ValueError, "size.*7"),
        (lambda: sample_puzzles("path", 1, 2, "dev"), ValueError, "split.*'dev'"),
        (lambda: sample_puzzles("path", 1, 2, seed=None), TypeError, "seed.*None"),  # type: ignore[arg-type]
        (lambda: collate_puzzles([]), ValueError, "puzzles.*none"),
        (lambda: collate_puzzles(TINY), TypeError, "puzzles"),  # type: ignore[arg-type]
        (lambda: collate_puzzles([TINY, PAIR]), TypeError, "puzzles"),  # type: ignore[list-item]
        (lambda: collate_puzzles([TINY, deduction(1, RNG)]), ValueError, "puzzles.*one task and"),
        (lambda: collate_puzzles([TINY, next_step(2, RNG)]), ValueError, "puzzles.*one task and"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_orders_of_puzzles_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- witnesses ------------------------------------------------------------------------------------


def drawn_by(seed):
    return torch.Generator().manual_seed(seed)


def edges_of(graph):
    return set(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


def same_graph(one, other):
    return edges_of(one) == edges_of(other) and all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("features", "labels", "sizes")
    )


def test_there_are_twelve_witnesses_and_four_answers():
    assert (WITNESSES, ANSWERS, RIGHT) == (12, 4, 0.6)


@pytest.mark.parametrize(("count", "guessing"), [(1, 0), (2, 12), (7, 5)])
def test_who_asks_looks_at_twelve_witnesses_of_its_own(count, guessing):
    graph = witnesses(count, guessing, drawn_by(0))
    assert graph.num_nodes == 13 * count
    features, labels = not_none(graph.features), not_none(graph.labels)
    assert features.shape == (13 * count, 5)
    assert graph.degree.tolist() == [12] * count + [0] * (12 * count)
    assert sorted(graph.source.tolist()) == list(range(count, 13 * count))
    assert (features[:count] == 0).all()
    told, marks = features[count:, :4], features[count:, 4]
    assert set(told.flatten().tolist()) == {0, 1}
    assert (told.sum(dim=1) == 1).all()
    assert set(marks.tolist()) <= {0, 1}
    for k in range(count):
        own = graph.source[graph.target == k]
        assert features[own, 4].sum() == guessing
    assert set(labels[:count].tolist()) <= {0, 1, 2, 3}
    assert (labels[count:] == -1).all()


def near(counts, shares):
    """Whether counts are those of a fair draw, to four standard deviations."""
    total = sum(counts)
    return all(
        abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share))
        for count, share in zip(counts, shares, strict=True)
    )


def test_who_saw_it_is_right_in_six_of_ten_and_who_guesses_in_a_quarter():
    count = 4000
    graph = witnesses(count, 6, drawn_by(1))
    features, labels = not_none(graph.features), not_none(graph.labels)
    truth = labels[graph.target]
    assert near(labels[:count].bincount().tolist(), [1 / 4] * 4)
    named = features[graph.source, :4].argmax(dim=1)
    off = (named - truth) % 4  # 0 where the witness is right
    guesses = features[graph.source, 4] == 1
    saw = off[~guesses].bincount(minlength=4).tolist()
    assert near(saw, [0.6, *[0.4 / 3] * 3])
    assert near(off[guesses].bincount(minlength=4).tolist(), [1 / 4] * 4)
    assert not near(saw, [1 / 4] * 4)
    for answer in range(4):  # whatever the truth
        own = truth == answer
        assert near(off[~guesses & own].bincount(minlength=4).tolist(), [0.6, *[0.4 / 3] * 3])
        assert near(named[guesses & own].bincount(minlength=4).tolist(), [1 / 4] * 4)
    # The witnesses of a node do not agree with one another: as many are right as in six draws.
    right = torch.zeros(count).index_add(0, graph.target, (~guesses & (off == 0)).float())
    binomial = [math.comb(6, k) * 0.6**k * 0.4 ** (6 - k) for k in range(7)]
    assert near(right.long().bincount(minlength=7).tolist(), binomial)


def test_all_may_guess_or_none():
    graphs = [witnesses(50, guessing, drawn_by(0)) for guessing in (0, 12)]
    marks = [not_none(graph.features)[50:, 4] for graph in graphs]
    assert [set(of.tolist()) for of in marks] == [{0}, {1}]


def test_the_generator_draws_the_witnesses():
    one, same, other = (witnesses(20, 4, drawn_by(seed)) for seed in (3, 3, 4))
    assert same_graph(one, same)
    assert not same_graph(one, other)
    generator = drawn_by(3)
    state = torch.get_rng_state()
    assert same_graph(one, witnesses(20, 4, generator))
    assert not same_graph(one, witnesses(20, 4, generator))  # it was advanced
    assert torch.equal(torch.get_rng_state(), state)


# --- dictionaries ---------------------------------------------------------------------------------


def permutations_of(graph, keys):
    """The values of the keys of each dictionary, as told by the keys."""
    told = graph.features.view(-1, 2 * keys, 2 * keys)[:, keys:, keys:]
    assert (told.sum(dim=2) == 1).all()
    return list(map(tuple, told.argmax(dim=2).tolist()))


@pytest.mark.parametrize(("keys", "count"), [(2, 1), (3, 4), (10, 7)])
def test_every_query_looks_at_every_key_of_its_dictionary(keys, count):
    graph = dictionaries(keys, count, drawn_by(0))
    assert graph.num_nodes == 2 * keys * count
    assert graph.sizes.tolist() == [2 * keys] * count
    assert graph.num_edges == keys * keys * count
    assert edges_of(graph) == {
        (start + keys + key, start + query)
        for start in range(0, graph.num_nodes, 2 * keys)
        for query in range(keys)
        for key in range(keys)
    }
    features, labels = not_none(graph.features), not_none(graph.labels)
    assert features.shape == (graph.num_nodes, 2 * keys)
    eye, labels = torch.eye(keys), labels.view(count, 2 * keys)
    values = permutations_of(graph, keys)
    for row, states in enumerate(features.view(count, 2 * keys, 2 * keys)):
        assert sorted(values[row]) == list(range(keys))
        assert torch.equal(states[:keys], torch.cat([eye, torch.zeros(keys, keys)], dim=1))
        assert torch.equal(states[keys:], torch.cat([eye, eye[list(values[row])]], dim=1))
        assert labels[row].tolist() == [*values[row], *[-1] * keys]


def test_dictionaries_are_drawn_evenly():
    counts = Counter(permutations_of(dictionaries(3, 6000, drawn_by(2)), 3))
    assert set(counts) == set(itertools.permutations(range(3)))
    assert near(list(counts.values()), [1 / 6] * 6)


@pytest.mark.parametrize("kind", [set, list, frozenset])
def test_permutations_to_avoid_are_not_drawn(kind):
    every = list(itertools.permutations(range(3)))
    some = dictionaries(3, 3000, drawn_by(0), kind(every[::2]))
    counts = Counter(permutations_of(some, 3))
    assert some.num_graphs == 3000
    assert set(counts) == set(every[1::2])
    assert near(list(counts.values()), [1 / 3] * 3)
    for left in every:
        only = dictionaries(3, 40, drawn_by(0), kind(p for p in every if p != left))
        assert permutations_of(only, 3) == [left] * 40


def test_nothing_to_avoid_changes_nothing():
    plain = dictionaries(4, 20, drawn_by(0))
    others = set(itertools.permutations(range(4))) - set(permutations_of(plain, 4))
    assert others
    for held in (set(), others):
        assert same_graph(plain, dictionaries(4, 20, drawn_by(0), held))


def test_the_generator_draws_the_dictionaries():
    one, same, other = (dictionaries(5, 8, drawn_by(seed)) for seed in (3, 3, 4))
    assert same_graph(one, same)
    assert not same_graph(one, other)
    generator = drawn_by(3)
    assert same_graph(one, dictionaries(5, 8, generator))
    assert not same_graph(one, dictionaries(5, 8, generator))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: witnesses(0, 1, drawn_by(0)), ValueError, "count: .*at least 1, got 0"),
        (lambda: witnesses(2.0, 1, drawn_by(0)), TypeError, "count: .*2.0"),  # type: ignore[arg-type]
        (lambda: witnesses(2, -1, drawn_by(0)), ValueError, "guessing: .*at least 0, got -1"),
        (lambda: witnesses(2, 13, drawn_by(0)), ValueError, "guessing: .*at most 12, got 13"),
        (lambda: witnesses(2, True, drawn_by(0)), TypeError, "guessing: .*True"),
        (lambda: dictionaries(1, 1, drawn_by(0)), ValueError, "keys: .*at least 2, got 1"),
        (lambda: dictionaries(2.0, 1, drawn_by(0)), TypeError, "keys: .*2.0"),  # type: ignore[arg-type]
        (lambda: dictionaries(2, 0, drawn_by(0)), ValueError, "count: .*at least 1, got 0"),
        (lambda: dictionaries(2, None, drawn_by(0)), TypeError, "count: .*None"),  # type: ignore[arg-type]
        (
            lambda: dictionaries(2, 1, drawn_by(0), [(0, 1), (1, 0)]),
            ValueError,
            "avoid: .*fewer than all 2 permutations, got 2",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_draws_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
