"""The grammar, checked against rules of Korean and a parser that the module does not know."""

import hashlib
import random
from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Int
from torch import Tensor

import gatutils.datasets as module
from gatutils.datasets import (
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


def test_no_two_english_sentences_share_a_korean_one():
    pairs = sample_pairs(4000, range(4), seed=1) + sample_pairs(1000, range(4), "test", seed=1)
    assert len({p.english for p in pairs}) == len({p.korean for p in pairs}) > 3000


def relatives(pair):
    """Numbers of subject and of object relatives, and of clauses on the subject."""
    words = pair.english
    after = [words[i + 1] for i, word in enumerate(words) if word == "that"]
    start = words[2 + (words[1] in ADJECTIVE)] == "that"
    return sum(w in VERB for w in after), after.count("the"), start


@pytest.mark.parametrize("clauses", range(1, 8))
def test_both_kinds_of_relative_are_common(clauses):
    found = [relatives(pair) for pair in sample_pairs(400, clauses, seed=3)]
    assert all(s + o == clauses for s, o, _ in found)
    assert sum(s > 0 for s, _, _ in found) > 0.4 * 400
    assert sum(o > 0 for _, o, _ in found) > 0.4 * 400
    assert 0.15 * 400 < sum(start for _, _, start in found) < 0.35 * 400


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
    streams = [sample_pairs(8, 5, seed=seed) for seed in (0, 1, -1)]
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
    assert isinstance(batch.source, Int[Tensor, "batch source"])
    assert isinstance(batch.source_mask, Bool[Tensor, "batch source"])
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
        (lambda: sample_pair(1.0, RNG), TypeError, "clauses.*1.0"),
        (lambda: sample_pair(1, random), TypeError, "rng"),
        (lambda: sample_pairs(-1, 1), ValueError, "count.*-1"),
        (lambda: sample_pairs(2.0, 1), TypeError, "count"),
        (lambda: sample_pairs(True, 1), TypeError, "count"),
        (lambda: sample_pairs(1, -2), ValueError, "clauses.*-2"),
        (lambda: sample_pairs(1, [0, -2]), ValueError, "clauses.*-2"),
        (lambda: sample_pairs(1, []), ValueError, "clauses"),
        (lambda: sample_pairs(1, True), TypeError, "clauses"),
        (lambda: sample_pairs(1, [1, False]), TypeError, "clauses.*False"),
        (lambda: sample_pairs(1, 2.0), TypeError, "clauses"),
        (lambda: sample_pairs(1, "12"), TypeError, "clauses"),
        (lambda: sample_pairs(0, 1, "valid"), ValueError, "split.*'test'.*'valid'"),
        (lambda: sample_pairs(1, 1, seed=None), TypeError, "seed"),
        (lambda: sample_pairs(1, 1, seed=True), TypeError, "seed"),
        (lambda: batches(0, 1, 0), ValueError, "size.*at least 1.*0"),  # at the call, before next()
        (lambda: batches(1.5, 1, 0), TypeError, "size"),
        (lambda: batches(1, -1, 0), ValueError, "clauses.*-1"),
        (lambda: batches(1, 1, "train"), TypeError, "seed"),
        (lambda: batches(1, 1, 0, "dev"), ValueError, "split.*'dev'"),
        (lambda: split_of("the cat"), TypeError, "english.*the cat"),
        (lambda: split_of(["the", 3]), TypeError, "english.*3"),
        (lambda: split_of(None), TypeError, "english"),
        (lambda: Vocabulary(["a", "b", "a"]), ValueError, "words.*'a'"),
        (lambda: Vocabulary(["<eos>"]), ValueError, "words.*<eos>"),
        (lambda: Vocabulary(["a", 1]), TypeError, "words.*1"),
        (lambda: ENGLISH.encode("the"), TypeError, "tokens.*the"),
        (lambda: ENGLISH.encode(["the", 3]), TypeError, "tokens.*3"),
        (lambda: ENGLISH.decode([29]), ValueError, "ids.*28.*29"),
        (lambda: ENGLISH.decode([-1]), ValueError, "ids.*-1"),
        (lambda: ENGLISH.decode([1.0]), TypeError, "ids"),
        (lambda: ENGLISH.decode([True]), TypeError, "ids"),
        (lambda: ENGLISH.decode("3"), TypeError, "ids"),
        (lambda: ENGLISH.decode(torch.zeros(1, 2, dtype=torch.int64)), TypeError, "ids"),
        (lambda: collate([]), ValueError, "pairs"),
        (lambda: collate(PAIR), TypeError, "pairs"),
        (lambda: collate([PAIR, "the cat"]), TypeError, "pairs"),
        (lambda: collate([FOREIGN]), ValueError, "tokens.*'unicorn'"),
        (lambda: exact_match([], [PAIR]), ValueError, "predictions.*0.*1"),
        (lambda: exact_match([], []), ValueError, "pairs"),
        (lambda: exact_match(["개 가"], [PAIR]), TypeError, "predictions"),
        (lambda: exact_match("개", [PAIR]), TypeError, "predictions"),
        (lambda: exact_match([[1]], [PAIR]), TypeError, "predictions"),
        (lambda: exact_match([[]], [None]), TypeError, "pairs"),
        (lambda: Pair("cat", ("개",), 0, (0,)), TypeError, "english"),
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
    english = [None if j is None else pair.english[j] for j in pair.alignment]
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
