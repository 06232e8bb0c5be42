"""The numbers that a reader checks with a pencil, computed once more in another way."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def tables(notebook, name):
    """The tables that a cell shows, each: the label of a row -> its cells as text."""
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if cell["id"] == name]
    found = []
    for output in cell["outputs"]:
        page = "".join(output["data"]["text/html"])
        rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
        found.append({label: re.findall(r"<td[^>]*>(.*?)</td>", row) for label, row in rows})
    return found


def number(text):
    return float(text.replace("−", "-"))


def numbers(texts):
    return [number(text) for text in texts if text]


WORDS = ["dog", "chased", "cat"]
X = [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]]  # noun, verb, dog, cat
ASKED_BY_HAND = [[0, 4, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]]  # nouns ask for verbs, verbs for nouns


@pytest.mark.parametrize(
    ("cell", "queries"),
    [("ch04-04bt", X), ("ch04-06t", ASKED_BY_HAND)],
    ids=["plain", "projected"],
)
def test_chapter_4_three_words(cell, queries):
    shown = tables("04-self-attention", cell)
    assert [len(table) for table in shown] == [3, 3, 3]
    for word, query in zip(WORDS, queries, strict=True):
        scores = [sum(q * k for q, k in zip(query, key, strict=True)) / 2 for key in X]
        whole = math.fsum(math.exp(score) for score in scores)
        weights = [math.exp(score) / whole for score in scores]
        context = [math.fsum(w * x[n] for w, x in zip(weights, X, strict=True)) for n in range(4)]
        for table, expected in zip(shown, (scores, weights, context), strict=True):
            assert numbers(table[word]) == pytest.approx(expected, abs=0.0006)


def test_chapter_3_price_of_a_pear():
    (shown,) = tables("03-soft-dictionary", "ch03-11b")
    taste = {"lemon": (0, 1), "orange": (0.6, 0.8), "apple": (0.8, 0.6), "melon": (1, 0)}
    price = {"lemon": 1, "orange": 2, "apple": 3, "melon": 8}
    scores = {name: 0.96 * sweet + 0.28 * sour for name, (sweet, sour) in taste.items()}
    powers = {name: math.exp(score / 0.1) for name, score in scores.items()}
    for name, score in scores.items():
        weight = powers[name] / math.fsum(powers.values())
        assert numbers(shown[name]) == pytest.approx([score, weight, price[name]], abs=0.0006)
    answer = math.fsum(powers[n] * price[n] for n in price) / math.fsum(powers.values())
    assert numbers(shown["weighted sum"]) == pytest.approx([answer], abs=0.006)


def test_chapter_7_three_steps_on_five_nodes():
    heard = {0: [2, 3], 1: [1, 3], 2: [1, 2, 10], 3: [3], 4: []}  # states 1, 2, 3, 10, 5
    ways: dict[str, Callable[[list[int]], float]] = {
        "sum": sum,
        "mean": lambda x: sum(x) / len(x),
        "max": max,
    }
    chapter = "07-message-passing"
    (received,) = tables(chapter, "ch07-07b")
    assert list(received) == list(ways)
    for how, cells in received.items():
        want = [ways[how](states) if states else 0 for states in heard.values()]
        assert numbers(cells) == pytest.approx(want, abs=0.006)
    new = [1 + 5, 2 + 4, 3 + 13, 10 + 3, 5 + 0]
    (combined,) = tables(chapter, "ch07-09t")
    assert numbers(combined["new state"]) == new
    (out,) = tables(chapter, "ch07-09b")
    assert numbers(out["graph"]) == pytest.approx([way(new) for way in ways.values()], abs=0.051)


def test_chapter_6_what_a_wrong_mask_weighs():
    (table,) = tables("06-masks-are-graphs", "ch06-26b")
    *words, sums = table.values()
    columns = zip(*(numbers(cells) for cells in words), strict=True)
    shown = dict(zip(("score", "right", "wrong", "late"), map(list, columns), strict=True))
    for name, total in zip(("right", "wrong", "late"), numbers(sums), strict=True):
        shown[name].append(total)
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

    chapter = "10-graph-attention"
    projected = {i: tuple(dot(row, state) for row in W) for i, state in h.items()}
    (shown,) = tables(chapter, "ch10-06t")
    assert [numbers(cells) for cells in shown.values()] == [list(x) for x in projected.values()]

    (terms,) = tables(chapter, "ch10-08b")
    for cells, j in zip(terms.values(), (1, 2), strict=True):
        factors = [[number(x) for x in cell.split("·")] for cell in cells[:4]]
        assert sorted(factors) == sorted(
            map(list, zip(a, projected[1] + projected[j], strict=True))
        )
        assert number(cells[4]) == pytest.approx(sum(x * y for x, y in factors))
        assert number(cells[5]) == pytest.approx(score(1, j))

    e = {i: [score(i, j) for j in h] for i in h}
    (shown,) = tables(chapter, "ch10-10b")
    for cells, of in zip(shown.values(), e.values(), strict=True):
        assert numbers(cells) == pytest.approx(of, abs=0.051)

    powers = {i: {j: math.exp(score(i, j)) for j in sorted(seen[i])} for i in h}
    alpha = {i: {j: p / sum(of.values()) for j, p in of.items()} for i, of in powers.items()}
    (shown,) = tables(chapter, "ch10-12b")
    total = sum(powers[1].values())
    assert shown["score"][3:5] == ["−∞", "−∞"]
    for name, expected, whole in (("exp", powers[1], total), ("weight", alpha[1], 1)):
        want = [*(expected.get(j, 0.0) for j in h), whole]
        assert numbers(shown[name]) == pytest.approx(want, abs=0.0006)

    new = {
        i: [sum(w * projected[j][part] for j, w in alpha[i].items()) for part in (0, 1)] for i in h
    }
    first, all_five = tables(chapter, "ch10-15b")
    pair = re.findall(r"[−\d.]+", first["sum"][-1])
    assert numbers(pair) == pytest.approx(new[1], abs=0.0006)
    for cells, states in zip(all_five.values(), new.values(), strict=True):
        assert numbers(cells) == pytest.approx(states, abs=0.0006)
