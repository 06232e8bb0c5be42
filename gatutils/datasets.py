"""What the chapters train on: an endless grammar of English and Korean, graphs, and puzzles.

English puts the object after the verb and nests relative clauses to the right; Korean puts the
verb last and nests to the left, so a translator must look far back and far ahead:

    the cat chased the dog that bit the boy today
    오늘 고양이 가 소년 을 문 개 를 쫓았다

Every English sentence has exactly one Korean sentence, so a translation is right or wrong and no
score has to be estimated. The rules that make it so: a noun carries at most one relative clause,
place and time belong to the main clause, and the noun inside an object relative is bare of clauses.

The graphs come with this package or with networkx, so nothing is downloaded.
"""

import difflib
import hashlib
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatutils.checks import expect, expect_int, expect_list, expect_tensor
from gatutils.graph import Graph

# English word -> Korean word; a verb has a past form and an adnominal one, which precedes a noun.
NOUNS = {
    "cat": "고양이", "dog": "개", "fox": "여우", "girl": "소녀",
    "boy": "소년", "bear": "곰", "deer": "사슴", "horse": "말",
}  # fmt: skip
VERBS = {
    "chased": ("쫓았다", "쫓은"), "bit": ("물었다", "문"), "helped": ("도왔다", "도운"),
    "saw": ("보았다", "본"), "found": ("찾았다", "찾은"),
}  # fmt: skip
ADJECTIVES = {"small": "작은", "big": "큰", "quick": "빠른", "young": "어린"}
PLACES = {"park": "공원", "forest": "숲", "garden": "정원"}
TIMES = {"today": "오늘", "yesterday": "어제", "earlier": "아까"}
PAST, ADNOMINAL = 0, 1  # the two forms of a verb
SUBJECT, OBJECT = ("이", "가"), ("을", "를")  # after a final consonant, after a vowel

# How sentences are drawn: probabilities, each drawn on its own.
ADJECTIVE = 0.3  # a noun has an adjective
PLACE = 0.4  # the sentence names a place
TIME = 0.4  # the sentence names a time
SUBJECT_CLAUSE = 0.25  # one of the clauses hangs on the subject; all others nest in the object
OBJECT_RELATIVE = 0.5  # the innermost clause of a chain is an object relative; outer ones cannot be
TEST_ONE_IN = 5  # one sentence, or one puzzle, in so many belongs to the test split

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<pad>", "<bos>", "<eos>")

_Words = list[tuple[str, int | None]]  # Korean tokens, each with the index of its English token
_OTHERS = {noun: tuple(n for n in NOUNS if n != noun) for noun in NOUNS}


@dataclass(frozen=True)
class Pair:
    """An English sentence and its Korean translation.

    Attributes:
        english: The English words.
        korean: The Korean words; particles are words of their own.
        clauses: Number of relative clauses.
        alignment: For each Korean token the index of the English token that it translates
            (에서 translates "in"); None for 이, 가, 을, 를, which English says by word order.

    Raises:
        TypeError: `english` or `korean` is not a sequence of words, or `clauses` not an int.
        ValueError: A side is empty or no tuple, `clauses` is negative, or `alignment` does not fit.
    """

    english: tuple[str, ...]
    korean: tuple[str, ...]
    clauses: int
    alignment: tuple[int | None, ...]

    def __post_init__(self) -> None:
        for name, side in (("english", self.english), ("korean", self.korean)):
            expect_list(side, name, str)
            if not (side and isinstance(side, tuple)):
                raise ValueError(f"{name}: expected a tuple of at least one word, got {side!r}")
        expect_int(self.clauses, "clauses", least=0)
        inside = all(i is None or 0 <= i < len(self.english) for i in self.alignment)
        if len(self.alignment) != len(self.korean) or not inside:
            raise ValueError(
                f"alignment: expected {len(self.korean)} entries, each None or an index below "
                f"{len(self.english)}, got {self.alignment!r}"
            )

    def __str__(self) -> str:
        return f"{' '.join(self.english)} -> {' '.join(self.korean)}"


def _particle(noun: str, forms: tuple[str, str]) -> tuple[str, None]:
    # Unicode lists the syllables in rows of 28, by final consonant; the first of a row has none.
    return forms[(ord(NOUNS[noun][-1]) - ord("가")) % 28 == 0], None


class _Writer:
    """Writes the English from left to right, and hands back the Korean of each piece."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.english: list[str] = []

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, words: Sequence[str]) -> str:
        # Python promises only random() itself to stay the same in later versions, not choice().
        return words[int(self.rng.random() * len(words))]

    def say(self, word: str, korean: str) -> tuple[str, int]:
        self.english.append(word)
        return korean, len(self.english) - 1

    def say_any(self, words: Mapping[str, str]) -> tuple[str, int]:
        word = self.pick(tuple(words))
        return self.say(word, words[word])

    def verb(self, form: int) -> tuple[str, int]:
        word = self.pick(tuple(VERBS))
        return self.say(word, VERBS[word][form])

    def simple(self, noun: str) -> _Words:
        self.english.append("the")
        adjective = [self.say_any(ADJECTIVES)] if self.chance(ADJECTIVE) else []
        return [*adjective, self.say(noun, NOUNS[noun])]

    def noun_phrase(self, noun: str, clauses: int) -> _Words:
        korean = self.simple(noun)
        for left in range(clauses, 0, -1):
            self.english.append("that")
            noun = self.pick(_OTHERS[noun])  # nobody bites itself
            if left == 1 and self.chance(OBJECT_RELATIVE):  # that the boy bit
                relative = [*self.simple(noun), _particle(noun, SUBJECT), self.verb(ADNOMINAL)]
            else:  # that bit the boy
                verb = self.verb(ADNOMINAL)
                relative = [*self.simple(noun), _particle(noun, OBJECT), verb]
            korean = relative + korean  # English has grown to the right, Korean grows to the left
        return korean


def sample_pair(clauses: int, rng: random.Random) -> Pair:
    """Draws one sentence with its translation.

    Args:
        clauses: Number of relative clauses of the sentence, 0 or more.
        rng: Where the chance comes from; it is advanced.

    Raises:
        TypeError: `clauses` is not an int, or `rng` not a `random.Random`.
        ValueError: `clauses` is negative.
    """
    expect_int(clauses, "clauses", least=0)
    if not isinstance(rng, random.Random):
        raise TypeError(f"rng: expected a random.Random, got {rng!r}")
    writer = _Writer(rng)
    on_subject = int(clauses > 0 and writer.chance(SUBJECT_CLAUSE))
    noun = writer.pick(tuple(NOUNS))
    subject = [*writer.noun_phrase(noun, on_subject), _particle(noun, SUBJECT)]
    verb = writer.verb(PAST)
    noun = writer.pick(_OTHERS[noun])
    thing = [*writer.noun_phrase(noun, clauses - on_subject), _particle(noun, OBJECT)]
    place: _Words = []
    if writer.chance(PLACE):
        particle = writer.say("in", "에서")
        writer.english.append("the")
        place = [writer.say_any(PLACES), particle]
    time = [writer.say_any(TIMES)] if writer.chance(TIME) else []
    korean, alignment = zip(*time, *place, *subject, *thing, verb, strict=True)
    return Pair(tuple(writer.english), korean, clauses, alignment)


def verb_roles(english: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Says who did it to whom: the place of each verb, and those of its subject and its object.

    In "the dog that bit the boy" the dog bites; in "the dog that the boy bit" the boy does. English
    says so by the order of the words alone.

    Args:
        english: The words of a sentence of this grammar.

    Returns:
        For each verb its index, and the indices of its subject's and its object's noun.

    Raises:
        TypeError: `english` is not a sequence of words.
        ValueError: A verb has too few nouns around it.
    """
    expect_list(english, "english", str)
    nouns = [j for j, word in enumerate(english) if word in NOUNS]
    roles: dict[int, tuple[int, int]] = {}
    that: int | None = None  # where a clause began that has no verb yet
    for j, word in enumerate(english):
        if word == "that":
            that = j
        if word not in VERBS:
            continue
        before, after = [n for n in nouns if n < j], [n for n in nouns if n > j]
        try:
            if that is None:  # the main verb
                roles[j] = nouns[0], after[0]
            elif that == j - 1:  # the dog that bit the boy
                roles[j] = before[-1], after[0]
            else:  # the dog that the boy bit
                roles[j] = before[-1], before[-2]
        except IndexError:
            raise ValueError(f"english: {word!r} at {j} has too few nouns around it") from None
        that = None
    return roles


def split_of(english: Sequence[str]) -> str:
    """Says whether a sentence is for training or for testing: `"train"` or `"test"`.

    The sentence alone decides, so the splits share no sentence, whatever the seed.

    Raises:
        TypeError: `english` is not a sequence of words.
    """
    expect_list(english, "english", str)
    return _split_of(" ".join(english))


def _split_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % TEST_ONE_IN == 0 else "train"


def _pairs(clauses: int | Sequence[int], split: str, seed: int, purpose: str) -> Iterator[Pair]:
    counts = [clauses] if isinstance(clauses, int) else clauses
    expect_list(counts, "clauses", int)
    if not counts:
        raise ValueError(f"clauses: expected an int or at least one, got {clauses!r}")
    for count in counts:
        expect_int(count, "clauses", least=0)
    if split not in ("train", "test"):
        raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
    expect_int(seed, "seed")
    counts = tuple(counts)  # the caller's list may change
    # A text as the seed keeps the streams apart: an int would give every purpose the same one.
    rng = random.Random(f"{purpose} {split} {seed}")

    def endless() -> Iterator[Pair]:
        while True:
            count = counts[int(rng.random() * len(counts))]
            while split_of((pair := sample_pair(count, rng)).english) != split:
                pass
            yield pair

    return endless()  # an inner generator, so that bad arguments fail at the call


def sample_pairs(
    count: int, clauses: int | Sequence[int], split: str = "train", seed: int = 0
) -> list[Pair]:
    """Draws sentences of one split; short ones may come twice.

    Args:
        count: Number of pairs.
        clauses: Relative clauses of each sentence; from a sequence each drawn equally often.
        split: `"train"` or `"test"`.
        seed: Same seed, same pairs, on every machine.

    Raises:
        TypeError: `count`, `clauses` or `seed` is not of whole numbers.
        ValueError: `count` or `clauses` is negative, `clauses` is empty, `split` is another word.
    """
    expect_int(count, "count", least=0)
    return list(islice(_pairs(clauses, split, seed, "sample"), count))


class Vocabulary:
    """The tokens of one language, numbered from 0; `<pad>`, `<bos>`, `<eos>` come first.

    There is no token for unknown words: the grammar has none.

    Raises:
        TypeError: `words` holds something else than strings.
        ValueError: A word comes twice, or is one of the special tokens.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.tokens = SPECIAL + tuple(words)
        expect_list(self.tokens, "words", str)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = sorted(t for t in self._ids if self.tokens.count(t) > 1)
            raise ValueError(f"words: expected each once and none of {SPECIAL}, got again {twice}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Numbers the tokens.

        Raises:
            TypeError: `tokens` is not a sequence of strings.
            ValueError: A token is unknown; the message names those most like it.
        """
        expect_list(tokens, "tokens", str)
        try:
            return [self._ids[token] for token in tokens]
        except KeyError as error:
            token = error.args[0]
            close = difflib.get_close_matches(token, self.tokens)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "none is like it"
            raise ValueError(
                f"tokens: expected words of this vocabulary, got {token!r}; {hint}"
            ) from None

    def decode(self, ids: Sequence[int] | Int[Tensor, " length"]) -> list[str]:
        """Turns numbers back into words: up to the first `<eos>`, without `<bos>` and `<pad>`.

        Raises:
            TypeError: `ids` is not a sequence of ints.
            ValueError: An id is not in 0 ... len(self) - 1.
        """
        numbers = ids.tolist() if isinstance(ids, Tensor) else ids
        expect_list(numbers, "ids", int)
        words = []
        for i in numbers:
            expect_int(i, "ids")
            if not 0 <= i < len(self):
                raise ValueError(f"ids: expected ids from 0 to {len(self) - 1}, got {i}")
            if i == EOS:
                break
            if i not in (PAD, BOS):
                words.append(self.tokens[i])
        return words


ENGLISH = Vocabulary(["the", "that", "in", *NOUNS, *VERBS, *ADJECTIVES, *PLACES, *TIMES])
_FORMS = [form for forms in VERBS.values() for form in forms]
_KOREAN = [NOUNS, ADJECTIVES, PLACES, TIMES]
KOREAN = Vocabulary(
    [*SUBJECT, *OBJECT, "에서", *_FORMS, *(word for words in _KOREAN for word in words.values())]
)


@dataclass
class Batch:
    """Pairs as padded tensors of token ids, one sentence a row.

    Attributes:
        source: The English words, without `<bos>` and `<eos>`.
        source_mask: True at real words, False at padding.
        target_in: What the decoder reads: `<bos>`, then the Korean words.
        target_out: What it is to say: the Korean words, then `<eos>`.
        pairs: The pairs themselves, in the order of the rows.
    """

    source: Int[Tensor, "batch source"]
    source_mask: Bool[Tensor, "batch source"]
    target_in: Int[Tensor, "batch target"]
    target_out: Int[Tensor, "batch target"]
    pairs: Sequence[Pair]


def collate(pairs: Sequence[Pair]) -> Batch:
    """Pads the pairs to one batch.

    Raises:
        TypeError: `pairs` is not a sequence of `Pair`.
        ValueError: `pairs` is empty, or a word is not of this grammar.
    """
    expect_list(pairs, "pairs", Pair)
    if not pairs:
        raise ValueError(f"pairs: expected at least one, got {pairs!r}")

    def padded(rows: list[list[int]]) -> Int[Tensor, "batch length"]:
        width = max(map(len, rows))
        return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])

    source = padded([ENGLISH.encode(pair.english) for pair in pairs])
    korean = [KOREAN.encode(pair.korean) for pair in pairs]
    target_in = padded([[BOS, *row] for row in korean])
    target_out = padded([[*row, EOS] for row in korean])
    return Batch(source, source != PAD, target_in, target_out, pairs)


def batches(
    size: int, clauses: int | Sequence[int], seed: int, split: str = "train"
) -> Iterator[Batch]:
    """Draws batches without end; no state is shared with another call or with `sample_pairs`.

    Args:
        size: Sentences in a batch.
        clauses: As in `sample_pairs`.
        seed: Same seed, same batches, on every machine.
        split: `"train"` or `"test"`.

    Raises:
        TypeError: `size`, `clauses` or `seed` is not of whole numbers.
        ValueError: `size` < 1, `clauses` is negative or empty, or `split` is another word.
    """
    expect_int(size, "size", least=1)
    pairs = _pairs(clauses, split, seed, "batches")
    return (collate(list(islice(pairs, size))) for _ in iter(int, 1))


def exact_match(predictions: Sequence[Sequence[str]], pairs: Sequence[Pair]) -> float:
    """Share of the sentences, 0 to 1, whose Korean is reproduced word for word.

    Args:
        predictions: The Korean words said for each pair, without special tokens.
        pairs: The pairs, in the same order.

    Raises:
        TypeError: `predictions` is not of sequences of words, or `pairs` not of `Pair`.
        ValueError: There are no pairs, or not as many predictions as pairs.
    """
    expect_list(pairs, "pairs", Pair)
    expect_list(predictions, "predictions", Sequence)
    if not pairs or len(predictions) != len(pairs):
        raise ValueError(
            f"predictions: expected as many as pairs, at least one; "
            f"got {len(predictions)} predictions for {len(pairs)} pairs"
        )
    for words in predictions:
        expect_list(words, "predictions", str)
    right = sum(tuple(words) == p.korean for words, p in zip(predictions, pairs, strict=True))
    return right / len(pairs)


def score_by_clauses(
    translate: Callable[[Batch], Sequence[Sequence[int]]],
    clauses: Sequence[int] = tuple(range(8)),
    count: int = 200,
    seed: int = 0,
    split: str = "test",
) -> list[float]:
    """Share of sentences translated word for word, at each number of relative clauses.

    Args:
        translate: Gives the Korean token ids for each row of a batch.
        clauses: The numbers of relative clauses to ask for.
        count: Sentences for each of them; the same ones at every call.
        seed: Which sentences.
        split: `"train"` or `"test"`.

    Raises:
        TypeError: An argument is of another kind.
        ValueError: `count` < 1, `clauses` is negative, or `split` is another word.
    """
    expect_int(count, "count", least=1)
    scores = []
    for number in clauses:
        batch = collate(sample_pairs(count, number, split, seed))
        said = [KOREAN.decode(list(ids)) for ids in translate(batch)]
        scores.append(exact_match(said, batch.pairs))
    return scores


# ---- Graphs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Citations:
    """A graph of things that refer to each other, each with a few words about it.

    Attributes:
        graph: An edge in both directions for each reference; the label is the number of a class,
            and the features say which share of a node's words is which word.
        names: What the nodes are called.
        classes: What the labels mean.
        words: What the columns of the features mean.
    """

    graph: Graph
    names: tuple[str, ...] = field(repr=False)  # hundreds of each would hide the rest
    classes: tuple[str, ...]
    words: tuple[str, ...] = field(repr=False)


def scipy_api() -> Citations:
    """Returns the functions and classes of SciPy 1.17.1; the label is the subpackage.

    Two are joined if one's documentation refers to the other (See Also, `:func:`, `:class:`) or
    one's source uses it. The words are those of the one-line summaries, without the names of
    subpackages; a row of features sums to 1, but for the few nodes without a word, whose row is
    zero.

    Source:
        SciPy 1.17.1, Copyright (c) 2001-2002 Enthought, Inc. 2003, SciPy Developers, under the
        BSD 3-Clause License, which lies in the file. `book/scipy_api.py` makes the file, and says
        what is taken.
    """
    with np.load(Path(__file__).with_name("scipy_api.npz"), allow_pickle=False) as file:
        names, classes, words = (tuple(file[key].tolist()) for key in ("names", "classes", "words"))
        labels, edges, counts = (
            torch.from_numpy(file[key].astype(np.int64)) for key in ("labels", "edges", "counts")
        )
    features = torch.zeros(len(names), len(words))
    node, word, count = counts.T
    features[node, word] = count.float()
    features /= features.sum(dim=1, keepdim=True).clamp(min=1)
    one, other = edges.T
    ends = torch.cat([one, other]), torch.cat([other, one])
    return Citations(Graph(len(names), *ends, features, labels), names, classes, words)


def split(
    labels: Int[Tensor, " nodes"], per_class: int, seed: int
) -> tuple[Bool[Tensor, " nodes"], Bool[Tensor, " nodes"]]:
    """Draws the nodes whose labels are shown in training; all others are for testing.

    Args:
        labels: The number of each node's class.
        per_class: How many to draw of each class.
        seed: Same seed, same nodes.

    Returns:
        Two masks, `train` and `test`: each node is in exactly one.

    Raises:
        TypeError: `labels` holds no whole numbers, or `per_class` or `seed` is not an int.
        ValueError: `labels` is not one row, `per_class` < 1, or a class has no more nodes than
            that, so that none is left for testing.
    """
    expect_tensor(labels, "labels", "int", ndim=1, exact=True)
    expect_int(per_class, "per_class", least=1)
    expect_int(seed, "seed")
    train = torch.zeros(len(labels), dtype=torch.bool)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        wanted = f"more than {per_class} nodes of class {label}"
        expect(len(members) > per_class, "labels", wanted, len(members))
        train[members[:per_class]] = True
    return train, ~train


def karate() -> Graph:
    """Returns the friendships in a karate club of 34, which later split in two.

    The label is the club that a member went to: 0 the instructor's, 1 the officers'. There are no
    features.

    Source:
        Zachary (1977), An Information Flow Model for Conflict and Fission in Small Groups; it
        comes with networkx.
    """
    club = nx.karate_club_graph()
    labels = torch.tensor([int(went == "Officer") for _, went in club.nodes(data="club")])
    return Graph.from_networkx(club, labels=labels)


def atlas() -> list[Graph]:
    """Returns all 1,253 graphs of up to seven nodes, that without a node first.

    No two are the same graph with other numbers. Every feature is 1, so what tells two nodes
    apart is their edges alone.

    Source:
        Read and Wilson (1998), An Atlas of Graphs; it comes with networkx.
    """
    return [
        Graph.from_networkx(graph, features=torch.ones(len(graph), 1))
        for graph in nx.graph_atlas_g()
    ]


QUESTIONS: dict[str, Callable[[Graph], float]] = {
    "number of leaves": lambda graph: float((graph.degree == 1).sum()),
    "share of leaves": lambda graph: float((graph.degree == 1).double().mean()),
    "a node of degree four or more": lambda graph: float((graph.degree >= 4).any()),
    "a triangle": lambda graph: float(graph.adjacency().matrix_power(3).trace() > 0),
}
"""What can be asked of an undirected graph -> its answer; for yes or no 1 or 0."""


def atlas_split(seed: int, count: int = 1000) -> tuple[list[Graph], list[Graph]]:
    """Draws ``count`` graphs of the atlas to train on; all others are for testing.

    The graph without a node is in neither.

    Raises:
        TypeError: ``seed`` or ``count`` is not an int.
        ValueError: ``count`` is below 1, or leaves none for testing.
    """
    expect_int(seed, "seed")
    expect_int(count, "count", least=1)
    graphs = [graph for graph in atlas() if graph.nodes]
    expect(count < len(graphs), "count", f"less than {len(graphs)}", count)
    random.Random(seed).shuffle(graphs)
    return graphs[:count], graphs[count:]


def random_graphs(count: int, seed: int, least: int = 15, most: int = 40) -> list[Graph]:
    """Draws undirected graphs, larger than the atlas has; every feature is 1.

    The number n of nodes is drawn from ``least`` to ``most``, that of edges from n/2 to 3n/2, and
    then so many of all pairs of nodes.

    Raises:
        TypeError: An argument is not an int.
        ValueError: ``count`` or ``least`` is below 1, or ``most`` below ``least``.
    """
    expect_int(count, "count", least=1)
    expect_int(seed, "seed")
    expect_int(least, "least", least=1)
    expect_int(most, "most", least=least)
    rng = random.Random(seed)
    graphs = []
    for _ in range(count):
        nodes = rng.randint(least, most)
        edges = rng.randint(nodes // 2, nodes + nodes // 2)
        drawn = nx.gnm_random_graph(nodes, edges, seed=rng.randrange(2**32))
        graphs.append(Graph.from_networkx(drawn, features=torch.ones(nodes, 1)))
    return graphs


TOKENS = 8
"""How many tokens a :func:`relay` knows."""


def relay(length: int, count: int, generator: torch.Generator) -> Graph:
    """Draws paths along which one token has to be carried from the first node to all others.

    Every node holds a random token (one-hot) and the first one a flag besides. The label of all
    nodes of a path is the first one's token, so what the others hold must be let pass.

    Args:
        length: Edges of a path, which has one node more.
        count: How many paths.
        generator: Draws the tokens.

    Returns:
        A batch of ``count`` graphs with ``TOKENS`` + 1 features.

    Raises:
        TypeError: ``length`` or ``count`` is not an int.
        ValueError: One of them is below 1.
    """
    expect_int(length, "length", least=1)
    expect_int(count, "count", least=1)
    nodes = length + 1
    tokens = torch.randint(TOKENS, (count, nodes), generator=generator)
    flag = torch.zeros(count, nodes, 1)
    flag[:, 0] = 1
    held = torch.cat([torch.nn.functional.one_hot(tokens, TOKENS), flag], dim=-1)
    path = [(k, k + 1) for k in range(length)]
    batch = Graph.batch([Graph.from_edges(path, nodes, undirected=True)] * count)
    labels = tokens[:, :1].expand(-1, nodes).flatten()
    return batch.with_features(held.flatten(0, 1), labels)


WITNESSES, ANSWERS, RIGHT = 12, 4, 0.6
"""How many witnesses a node has, how many answers there are, how often one who saw it is right."""


def witnesses(count: int, guessing: int, generator: torch.Generator) -> Graph:
    """Draws nodes that ask, each with witnesses, some of whom only guess, and are known to.

    A witness who saw it names the right answer with probability ``RIGHT``, else one of the others;
    a witness who guesses names any. The features are the answer named (one-hot), then a mark: 1
    where a witness guesses. The node that asks holds zeros, and its label is the right answer; a
    witness's label is -1.

    Args:
        count: How many nodes ask.
        guessing: How many of the witnesses of each guess.
        generator: Draws all of it.

    Returns:
        One graph, in which edges lead from witnesses to who asks, who has the first numbers.

    Raises:
        TypeError: ``count`` or ``guessing`` is not an int.
        ValueError: ``count`` is below 1, or ``guessing`` not from 0 to ``WITNESSES``.
    """
    expect_int(count, "count", least=1)
    expect_int(guessing, "guessing", least=0)
    expect(guessing <= WITNESSES, "guessing", f"at most {WITNESSES}", guessing)
    truth = torch.randint(ANSWERS, (count,), generator=generator)
    shape = (count, WITNESSES)
    wrong = torch.randint(1, ANSWERS, shape, generator=generator)
    saw = (truth.unsqueeze(1) + wrong) % ANSWERS
    saw = torch.where(torch.rand(shape, generator=generator) < RIGHT, truth.unsqueeze(1), saw)
    guess = torch.randint(ANSWERS, shape, generator=generator)
    guesses = torch.arange(WITNESSES) < guessing
    named = torch.where(guesses, guess, saw).flatten()
    told = torch.nn.functional.one_hot(named, ANSWERS)
    marked = guesses.repeat(count).unsqueeze(1)
    features = torch.cat([torch.zeros(count, ANSWERS + 1), torch.cat([told, marked], dim=1)])
    labels = torch.cat([truth, torch.full((count * WITNESSES,), -1)])
    source = torch.arange(count, count * (WITNESSES + 1))
    target = torch.arange(count).repeat_interleave(WITNESSES)
    return Graph(len(labels), source, target, features, labels)


def dictionaries(
    keys: int,
    count: int,
    generator: torch.Generator,
    avoid: Collection[tuple[int, ...]] = (),
) -> Graph:
    """Draws dictionaries, each a graph in which every query looks at every key.

    The values are a random permutation. A query's features name its key (one-hot) and no value; a
    key's name the key and its value. The label of a query is the value of its key, that of a key is
    -1. In each dictionary the queries come first, then the keys, both in order.

    Args:
        keys: k, how many keys, and as many queries.
        count: How many dictionaries.
        generator: Draws the permutations.
        avoid: Permutations that are not drawn, so that a test can be kept apart.

    Returns:
        A batch of ``count`` graphs of 2k nodes, k times k edges and 2k features.

    Raises:
        TypeError: ``keys`` or ``count`` is not an int.
        ValueError: ``keys`` is below 2 or ``count`` below 1, or ``avoid`` leaves no permutation.

    Source:
        Brody et al. (2022), section 4.1.
    """
    expect_int(keys, "keys", least=2)
    expect_int(count, "count", least=1)
    every_one, held = math.factorial(keys), len(set(avoid))
    expect(held < every_one, "avoid", f"fewer than all {every_one} permutations", held)
    values = torch.empty(0, keys, dtype=torch.long)
    while len(values) < count:
        drawn = torch.rand(count - len(values), keys, generator=generator).argsort(dim=1)
        if avoid:
            drawn = drawn[[tuple(row) not in avoid for row in drawn.tolist()]]
        values = torch.cat([values, drawn])
    eye = torch.eye(keys)
    asks = torch.cat([eye, torch.zeros(keys, keys)], dim=1).expand(count, -1, -1)
    answers = torch.cat([eye.expand(count, -1, -1), eye[values]], dim=2)
    nobody = torch.full((count, keys), -1)
    every = torch.arange(keys)
    starts = 2 * keys * torch.arange(count).view(-1, 1, 1)
    source = (starts + keys + every).expand(-1, keys, -1)
    target = (starts + every.unsqueeze(1)).expand(-1, -1, keys)
    return Graph(
        2 * keys * count,
        source.flatten(),
        target.flatten(),
        torch.cat([asks, answers], dim=1).flatten(0, 1),
        torch.cat([values, nobody], dim=1).flatten(),
        sizes=[2 * keys] * count,
    )


# ---- Puzzles -------------------------------------------------------------------------------------
# After bAbI (Weston et al., 2015) in the symbols of Li et al. (2016): facts about entities that are
# mere numbers, drawn anew for each puzzle, so nothing can be learned by heart. The answer is one of
# them.

CHAINS = 4  # of a deduction
RING = 20  # nodes of a small world
REWIRED = 0.2  # share of its edges that lead elsewhere

RELATIONS = {"deduction": ("is", "fears"), "path": ("meets",)}
"""Task -> what its facts say. To meet holds both ways."""


@dataclass(frozen=True)
class Puzzle:
    """Facts, a question and its answer.

    Attributes:
        task: `"deduction"` or `"path"`.
        size: How far the answer is to seek: see `deduction` and `next_step`.
        entities: How many there are; they are called 0, 1 and so on.
        facts: Each (subject, relation, object), in the order in which they are told.
        asked: The entities that the question names.
        answer: The entity to find.
    """

    task: str
    size: int
    entities: int
    facts: tuple[tuple[int, str, int], ...]
    asked: tuple[int, ...]
    answer: int

    def __str__(self) -> str:
        told = ", ".join(f"{a} {relation} {b}" for a, relation, b in self.facts)
        ask = "what does {} fear" if self.task == "deduction" else "from {} to {}, by way of whom"
        return f"{told}; {ask.format(*self.asked)}? {self.answer}"


def deduction(size: int, rng: random.Random) -> Puzzle:
    """Draws four chains of `size` facts "a is b"; their ends fear one another.

    Asked is what the first of one chain fears. Each end fears one other and is feared by one, so
    until word has come from the one asked along its chain, and on to the one that its end fears,
    nobody can do better than guess.

    Args:
        size: Facts of a chain, 1 or more; with 1 it is bAbI's task 15, in symbols.
        rng: Where the chance comes from; it is advanced.

    Raises:
        TypeError: `size` is not an int.
        ValueError: `size` is below 1.
    """
    expect_int(size, "size", least=1)
    end = CHAINS * size  # the first of the ends; a step along a chain is CHAINS further
    facts = [(a, "is", a + CHAINS) for a in range(end)]
    fears = list(range(CHAINS))
    while any(k == fears[k] for k in range(CHAINS)):  # nobody fears itself
        fears = _shuffled(CHAINS, rng)
    facts += [(end + k, "fears", end + other) for k, other in enumerate(fears)]
    asked = int(rng.random() * CHAINS)
    return _told("deduction", size, end + CHAINS, facts, [asked], end + fears[asked], rng)


def next_step(size: int, rng: random.Random) -> Puzzle:
    """Draws a puzzle of the task `"path"`: the first step of the only shortest way to a goal.

    It leads through a small world (Watts and Strogatz, 1998): a ring of 20, of which some edges
    lead elsewhere.

    Args:
        size: Edges of the way from where it starts to the goal, 2 to 6.
        rng: Where the chance comes from; it is advanced.

    Raises:
        TypeError: `size` is not an int.
        ValueError: `size` is not in 2 ... 6.
    """
    expect_int(size, "size", least=2)
    expect(size <= 6, "size", "2 to 6", size)
    while True:
        edges = {(i, (i + 1) % RING) for i in range(RING)}
        for i in range(RING):
            end = int(rng.random() * RING)
            fits = end != i and not {(i, end), (end, i)} & edges
            if rng.random() < REWIRED and fits:
                edges.remove((i, (i + 1) % RING))
                edges.add((i, end))
        near = np.zeros((RING, RING), int)
        for a, b in edges:
            near[a, b] = near[b, a] = 1
        # How many walks of k edges lead from a node to another, for each k.
        walks = [np.linalg.matrix_power(near, k) for k in range(size + 1)]
        ends = np.argwhere((walks[size] == 1) & (sum(walks[:size]) == 0)).tolist()
        if ends:
            start, goal = ends[int(rng.random() * len(ends))]
            answer = int((near[start] * walks[size - 1][goal]).argmax())
            facts = [(a, "meets", b) for a, b in sorted(edges)]
            return _told("path", size, RING, facts, [start, goal], answer, rng)


def _told(
    task: str,
    size: int,
    entities: int,
    facts: Sequence[tuple[int, str, int]],
    asked: Sequence[int],
    answer: int,
    rng: random.Random,
) -> Puzzle:
    """Give the entities new numbers and the facts a new order."""
    name, order = _shuffled(entities, rng), _shuffled(len(facts), rng)
    told = [(name[a], relation, name[b]) for a, relation, b in (facts[k] for k in order)]
    return Puzzle(task, size, entities, tuple(told), tuple(name[a] for a in asked), name[answer])


def _shuffled(count: int, rng: random.Random) -> list[int]:
    # Python promises only random() itself to stay the same in later versions, not shuffle().
    return sorted(range(count), key=lambda _: rng.random())


def sample_puzzles(
    task: str, count: int, sizes: int | Sequence[int], split: str = "train", seed: int = 0
) -> list[Puzzle]:
    """Draws puzzles of one task and one split.

    The splits share no puzzle, not even with its facts in another order; but the same one with
    other numbers may be in both.

    Args:
        task: `"deduction"` or `"path"`.
        count: Number of puzzles.
        sizes: As in `deduction` and `next_step`; from a sequence each drawn equally often.
        split: `"train"` or `"test"`.
        seed: Same seed, same puzzles, on every machine.

    Raises:
        TypeError: `count`, `sizes` or `seed` is not of whole numbers.
        ValueError: `count` is negative, `sizes` is empty or holds one out of range, or `task` or
            `split` is another word.
    """
    expect(task in RELATIONS, "task", " or ".join(map(repr, RELATIONS)), repr(task))
    expect_int(count, "count", least=0)
    choice = [sizes] if isinstance(sizes, int) else sizes
    expect_list(choice, "sizes", int)
    expect(len(choice) > 0, "sizes", "an int or at least one", sizes)
    expect(split in ("train", "test"), "split", "'train' or 'test'", repr(split))
    expect_int(seed, "seed")
    rng = random.Random(f"{task} {split} {seed}")
    draw = deduction if task == "deduction" else next_step
    puzzles: list[Puzzle] = []
    while len(puzzles) < count:
        size = choice[int(rng.random() * len(choice))]
        puzzle = draw(size, rng)
        while _split_of(repr((sorted(puzzle.facts), puzzle.asked))) != split:
            puzzle = draw(size, rng)
        puzzles.append(puzzle)
    return puzzles


@dataclass
class PuzzleBatch:
    """Puzzles as graphs side by side, and as rows of tokens.

    Attributes:
        graphs: One for each kind of edge, over the same nodes: each relation and its way back,
            which are one kind for "meets".
        marks: 1 in column k at the k-th entity that the question names, else 0.
        tokens: The facts, three tokens each, then what is asked. The entities come first among
            the tokens, then the relations.
        answer: The entity to find.
        puzzles: The puzzles themselves.
    """

    graphs: list[Graph]
    marks: Float[Tensor, "nodes asked"]
    tokens: Int[Tensor, "puzzles length"]
    answer: Int[Tensor, " puzzles"]
    puzzles: Sequence[Puzzle]


def collate_puzzles(puzzles: Sequence[Puzzle]) -> PuzzleBatch:
    """Puts puzzles of one task, and of as many facts and entities, side by side.

    Raises:
        TypeError: `puzzles` is not a sequence of `Puzzle`.
        ValueError: `puzzles` is empty, or they differ in one of the three.
    """
    expect_list(puzzles, "puzzles", Puzzle)
    shapes = {(puzzle.task, puzzle.entities, len(puzzle.facts)) for puzzle in puzzles}
    expect(len(shapes) == 1, "puzzles", "some of one task and size", sorted(shapes) or "none")
    ((task, entities, _),) = shapes
    graphs = []
    for relation in RELATIONS[task]:
        forth = [[(a, b) for a, said, b in p.facts if said == relation] for p in puzzles]
        back = [[(b, a) for a, b in edges] for edges in forth]
        both = relation == "meets"
        for kind in [forth] if both else [forth, back]:
            alone = [Graph.from_edges(edges, entities, undirected=both) for edges in kind]
            graphs.append(Graph.batch(alone))
    asked = torch.tensor([puzzle.asked for puzzle in puzzles])
    marks = torch.nn.functional.one_hot(asked, entities).transpose(1, 2).flatten(0, 1).float()
    token = {relation: entities + k for k, relation in enumerate(RELATIONS[task])}
    rows = [[t for a, said, b in p.facts for t in (a, token[said], b)] for p in puzzles]
    tokens = torch.cat([torch.tensor(rows), asked], dim=1)
    answer = torch.tensor([puzzle.answer for puzzle in puzzles])
    return PuzzleBatch(graphs, marks, tokens, answer, puzzles)
