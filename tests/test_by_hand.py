"""The numbers that a reader checks with a pencil, computed once more in another way."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def printed(notebook, code):
    """What the cell that contains ``code`` prints."""
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = [
        cell for cell in cells if cell["cell_type"] == "code" and code in "".join(cell["source"])
    ]
    return "".join("".join(output["text"]) for output in cell["outputs"])


def rows(text):
    """(what, word) -> numbers."""
    found = {}
    for line in text.splitlines():
        what, word, *numbers = line.split()
        found[what, word] = [float(number) for number in numbers]
    return found


WORDS = ["dog", "chased", "cat"]
X = [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]]  # noun, verb, dog, cat
ASKED_BY_HAND = [[0, 4, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]]  # nouns ask for verbs, verbs for nouns


@pytest.mark.parametrize(
    ("code", "queries"),
    [("plain = step_by_step(X, X, X)", X), ("W_Q[0, 1] = 4.0", ASKED_BY_HAND)],
    ids=["plain", "projected"],
)
def test_chapter_4_three_words(code, queries):
    shown = rows(printed("04-self-attention", code))
    assert len(shown) == 9
    for word, query in zip(WORDS, queries, strict=True):
        scores = [sum(q * k for q, k in zip(query, key, strict=True)) / 2 for key in X]
        whole = math.fsum(math.exp(score) for score in scores)
        weights = [math.exp(score) / whole for score in scores]
        context = [math.fsum(w * x[n] for w, x in zip(weights, X, strict=True)) for n in range(4)]
        for what, numbers in (("scores", scores), ("weights", weights), ("context", context)):
            assert shown[what, word] == pytest.approx(numbers, abs=0.0006)


def test_chapter_3_price_of_a_pear():
    text = printed("03-soft-dictionary", 'c, weights = soft_lookup("pear", temperature=0.1)')
    taste = {"lemon": (0, 1), "orange": (0.6, 0.8), "apple": (0.8, 0.6), "melon": (1, 0)}
    price = {"lemon": 1, "orange": 2, "apple": 3, "melon": 8}
    scores = {name: 0.96 * sweet + 0.28 * sour for name, (sweet, sour) in taste.items()}
    powers = {name: math.exp(score / 0.1) for name, score in scores.items()}
    for name, score in scores.items():
        line = next(line for line in text.splitlines() if line.startswith(name))
        shown = [float(number) for number in re.findall(r"\d+\.\d+", line)]
        weight = powers[name] / math.fsum(powers.values())
        assert shown == pytest.approx([score, weight], abs=0.0006)
    answer = math.fsum(powers[n] * price[n] for n in price) / math.fsum(powers.values())
    assert float(text.split()[-1]) == pytest.approx(answer, abs=0.006)


def test_chapter_7_three_steps_on_five_nodes():
    heard = {0: [2, 3], 1: [1, 3], 2: [1, 2, 10], 3: [3], 4: []}  # states 1, 2, 3, 10, 5
    ways: dict[str, Callable[[list[int]], float]] = {
        "sum": sum,
        "mean": lambda x: sum(x) / len(x),
        "max": max,
    }
    lines = printed("07-message-passing", "def aggregate(states, graph, aggr)").splitlines()
    assert len(lines) == 3
    for line in lines:
        how, *numbers = line.split()
        want = [ways[how](states) if states else 0 for states in heard.values()]
        assert [float(x) for x in numbers] == pytest.approx(want, abs=0.006)
    lines = printed("07-message-passing", "new = h + c  # combine").splitlines()
    new = [1 + 5, 2 + 4, 3 + 13, 10 + 3, 5 + 0]
    assert lines[0] == f"new states {[float(x) for x in new]}"
    for line, how in zip(lines[1:], ways, strict=True):
        assert line.split()[-2] == how
        assert float(line.split()[-1]) == pytest.approx(ways[how](new), abs=0.006)


def test_chapter_6_what_a_wrong_mask_weighs():
    lines = printed("06-masks-are-graphs", "wrong_scores = grammar * scores").splitlines()[1:]
    shown = {
        name: [float(x) for x in re.findall(r"-?\d+\.\d+", line)]
        for name, line in zip(("score", "right", "wrong", "late"), lines, strict=True)
    }
    scores, seen = shown["score"], [False, True, True, False, True]

    def softmax(numbers):
        powers = [math.exp(x) for x in numbers]
        return [power / sum(powers) for power in powers]

    right = iter(softmax([e for e, may in zip(scores, seen, strict=True) if may]))
    right = [next(right) if may else 0.0 for may in seen]
    wrong = softmax([e if may else 0.0 for e, may in zip(scores, seen, strict=True)])
    late = [w if may else 0.0 for w, may in zip(softmax(scores), seen, strict=True)]
    for name, weights in (("right", right), ("wrong", wrong), ("late", late)):
        assert shown[name] == pytest.approx([*weights, sum(weights)], abs=0.011)


def test_chapter_10_graph_attention_of_five_nodes():
    """The whole layer again from its formula, in plain floats."""
    links = [(1, 2), (1, 3), (2, 3), (3, 4), (4, 5)]
    seen = {i: {i} | {b if a == i else a for a, b in links if i in (a, b)} for i in range(1, 6)}
    h = {1: (1, 0), 2: (0, 1), 3: (1, 1), 4: (2, 0), 5: (0, 2)}
    W, a = ((1, 1), (1, -1)), (-1, 0.5, 0.5, -1)

    def dot(one, other):
        return sum(x * y for x, y in zip(one, other, strict=True))

    def score(i, j):
        inside = dot(a, (*projected[i], *projected[j]))
        return inside if inside > 0 else 0.2 * inside

    def numbers(line):
        return [float(x) for x in re.findall(r"-?\d+\.\d+", line)]

    chapter = "10-graph-attention"
    projected = {i: tuple(dot(row, state) for row in W) for i, state in h.items()}
    for i, line in enumerate(printed(chapter, "projected = h @ W.T\nfor").splitlines(), start=1):
        assert numbers(line) == list(projected[i])

    pairs = printed(chapter, "def score(i, j):").splitlines()
    assert pairs[1].split("=")[-1].strip() == f"{score(1, 1):g}"
    assert pairs[3].split("=")[-1].strip() == f"{score(1, 2):g}"

    e = {i: [score(i, j) for j in h] for i in h}
    for i, line in enumerate(printed(chapter, "e = torch.stack(").splitlines()[1:], start=1):
        assert numbers(line) == pytest.approx(e[i], abs=0.051)

    powers = {i: {j: math.exp(score(i, j)) for j in sorted(seen[i])} for i in h}
    alpha = {i: {j: p / sum(of.values()) for j, p in of.items()} for i, of in powers.items()}
    of_first, weights = printed(chapter, "alpha = e.masked_fill").splitlines()
    total = sum(powers[1].values())
    assert numbers(of_first) == pytest.approx([*powers[1].values(), total], abs=0.0006)
    assert numbers(weights) == pytest.approx([alpha[1].get(j, 0.0) for j in h], abs=0.0006)

    new = {
        i: [sum(w * projected[j][part] for j, w in alpha[i].items()) for part in (0, 1)] for i in h
    }
    lines = printed(chapter, "new = alpha @ projected").splitlines()
    assert numbers(lines[1]) == pytest.approx(new[1], abs=0.0006)
    for i, line in enumerate(lines[3:], start=1):
        assert numbers(line) == pytest.approx(new[i], abs=0.0006)
