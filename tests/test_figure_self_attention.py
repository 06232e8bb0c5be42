"""The figure of self-attention, driven in a browser: every number is the package's."""

import html
import itertools
import json
import re
from typing import Any

import pytest
import torch
from helpers import OF_A_SCHEME, html_of, not_none, slow_but

from gatutils.attention import MultiHeadAttention, ScaledDot, attend
from gatutils.book.figures import self_attention

WORDS = ["dog", "chased", "cat"]
FEATURES = ["noun", "verb", "dog", "cat"]
X = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]])
W_Q = torch.zeros(4, 4)
W_Q[0, 1] = W_Q[1, 0] = 4.0
EYE = torch.eye(4)
HEADS = (torch.cat([W_Q[:2], W_Q[:2]]), EYE[[2, 1, 3, 1]], EYE[[2, 3, 2, 3]])
STEPS = ["words", "project", "score", "scale", "mask", "softmax", "combine", "heads"]
GRIDS = [
    ["X"],
    ["X", "W0", "P0", "W1", "P1", "W2", "P2"],
    ["P0", "KT", "raw"],
    ["raw", "scaled"],
    ["scaled", "masked"],
    ["masked", "weights"],
    ["weights", "P2", "context"],
    ["a0", "v0", "h0", "a1", "v1", "h1", "joined"],
]


def chapter(**changes):
    """The figure of chapter 4."""
    given: dict[str, Any] = {
        "features": FEATURES,
        "dimensions": FEATURES,
        "heads": HEADS,
        "joined": ["dog", "cat"] * 2,
        "start": 1,
    }
    return self_attention(X, W_Q, EYE, EYE, WORDS, "self-attention", **given | changes)


def random(seed, n=4, dim=4):
    """Words and matrices of normal numbers, rounded as they are written."""
    generator = torch.Generator().manual_seed(seed)
    matrices = [torch.randn(rows, dim, generator=generator) for rows in (n, *[dim] * 6)]
    return [(100 * matrix).round().double() / 100 for matrix in matrices]


def of(x, w_q, w_k, w_v, *heads):
    words = [f"w{i}" for i in range(len(x))]
    return self_attention(x, w_q, w_k, w_v, words, "normal", heads=heads or None)


def expected(x, matrices, heads, causal):
    """Every matrix of the figure, by the package."""
    x, matrices, heads = x.double(), [w.double() for w in matrices], [w.double() for w in heads]
    n, dim = x.shape
    mask = torch.ones(n, n, dtype=torch.bool)
    mask = mask.tril() if causal else mask
    q, k, v = (torch.nn.functional.linear(x, w) for w in matrices)
    scores = ScaledDot()(q, k)
    context, weights = attend(scores, v, mask)
    layer = MultiHeadAttention(dim, 2).double()
    for linear, w in zip((layer.Q, layer.K, layer.V), heads, strict=True):
        linear.weight.data = w
    layer.O.weight.data = torch.eye(dim, dtype=torch.float64)
    with torch.no_grad():
        joined, alphas = layer(x, x, mask)
    found = {"X": x, "KT": k.mT, "raw": q @ k.mT, "scaled": scores, "weights": weights}
    found |= {f"W{r}": w.mT for r, w in enumerate(matrices)}
    found |= {"P0": q, "P1": k, "P2": v, "context": context, "joined": joined}
    found["masked"] = scores.masked_fill(~mask, -torch.inf)
    values = (x @ heads[2].mT).chunk(2, dim=1)
    for m, (value, head) in enumerate(zip(values, joined.chunk(2, dim=1), strict=True)):
        found |= {f"a{m}": alphas[m], f"v{m}": value, f"h{m}": head}
    return found, mask


SHOWN = """figure => {
  const root = figure.shadowRoot, all = s => [...root.querySelectorAll(s)];
  const grids = {};
  for (const cell of all('td[data-i]')) {
    const grid = grids[cell.dataset.grid] ??= [], style = getComputedStyle(cell);
    (grid[cell.dataset.i] ??= []).push({
      value: Number(cell.dataset.value), text: cell.textContent,
      tint: style.backgroundColor, hatched: style.backgroundImage.includes('gradient'),
      framed: ['row', 'column', 'cell'].find(name => cell.classList.contains(name)) ?? '',
      selected: cell.getAttribute('aria-selected') === 'true', stop: cell.tabIndex === 0,
    });
  }
  return {
    grids, step: all('[type=radio]').findIndex(r => r.checked) + 1,
    ends: all('.stepper button').map(b => b.getAttribute('aria-disabled')),
    mask: all('.mask button').map(b => b.getAttribute('aria-pressed')),
    choosable: root.querySelector('.mask').checkVisibility(),
    says: root.querySelector('.says').textContent.replaceAll('\\u00a0', ' '),
    what: root.querySelector('.what').textContent,
  };
}"""


def shown(page, at=0):
    """What the figure shows."""
    return page.locator("gat-self").nth(at).evaluate(SHOWN)


def two(x):
    return "−∞" if x == -torch.inf else f"{x:z.2f}".replace("-", "−")


def trimmed(x):
    return re.sub(r"\.?0+$", "", two(x))


def check(found, step, matrices, mask):
    """The grids of this step hold the package's numbers and write them rounded."""
    assert found["step"] == step
    assert list(found["grids"]) == GRIDS[step - 1]
    assert found["ends"] == [str(step == 1).lower(), str(step == 8).lower()]
    assert found["choosable"] == (step > 4)
    for name, rows in found["grids"].items():
        values = [[cell["value"] for cell in row] for row in rows]
        wanted = matrices[name]
        torch.testing.assert_close(
            torch.tensor(values, dtype=torch.float64), wanted, atol=1e-9, rtol=1e-9
        )
        short = trimmed if name[0] in "XWPKv" else two
        texts = [[cell["text"] for cell in row] for row in rows]
        assert texts == [[short(x) for x in row] for row in values], name
        hatched = [[cell["hatched"] for cell in row] for row in rows]
        masked = name in {"masked", "weights", "a0", "a1"}
        assert hatched == [[masked and not see for see in row] for row in mask.tolist()] or (
            not masked and not any(map(any, hatched))
        ), name
        assert sum(cell["stop"] for row in rows for cell in row) == 1, name
    assert sum(c["selected"] for g in found["grids"].values() for row in g for c in row) == 1


@pytest.mark.parametrize("causal", [False, True])
def test_every_step_shows_the_numbers_of_the_package(show, causal):
    page = show(chapter(step=1, causal=causal))
    matrices, mask = expected(X, (W_Q, EYE, EYE), HEADS, causal)
    forth = page.get_by_role("button", name="next step")
    for step in range(1, 9):
        check(shown(page), step, matrices, mask)
        forth.press("Enter")
    check(shown(page), 8, matrices, mask)  # the last step is the last
    page.get_by_role("button", name="previous step").press("Enter")
    check(shown(page), 7, matrices, mask)


@pytest.mark.parametrize("seed", slow_but([1], range(4)))
def test_any_numbers_are_those_of_the_package(shared_page, seed):
    x, *six = random(seed, n=2 + seed)
    heads = six[3:] if seed % 2 else six[:3]
    shared_page.set_content(html_of(of(x, *six[:3], *(heads if seed % 2 else ()))))
    for causal, name in enumerate(("none", "causal")):
        matrices, mask = expected(x, six[:3], heads, causal)
        for step in range(8, 0, -1):
            shared_page.get_by_role("radio").nth(step - 1).check()
            if step == 8:
                shared_page.get_by_role("button", name=name, exact=True).click()
            check(shown(shared_page), step, matrices, mask)


def test_the_mask_is_chosen_from_its_step_on_and_stays(show):
    page = show(chapter(step=5))
    none, causal = (expected(X, (W_Q, EYE, EYE), HEADS, choice) for choice in (False, True))
    assert shown(page)["mask"] == ["true", "false"]
    check(shown(page), 5, *none)
    page.get_by_role("button", name="causal").press("Enter")
    assert shown(page)["mask"] == ["false", "true"]
    assert shown(page)["what"].startswith("The causal mask: no word may attend to a later one")
    check(shown(page), 5, *causal)
    page.get_by_role("radio", name="combine").check()
    check(shown(page), 7, *causal)
    page.get_by_role("button", name="none").click()
    check(shown(page), 7, *none)


SAID = {
    1: "In X the row of “chased” has 1 in the column verb. X is given.",
    2: "The query of “chased” in dimension noun is 0·0 + 1·4 + 0·0 + 0·0 = 4.",
    3: "The score of the query of “chased” and the key of “dog” is 4·1 + 0·0 + 0·1 + 0·0 = 4.00.",
    4: "The score of the query of “chased” and the key of “dog” is "
    "4·1 + 0·0 + 0·1 + 0·0 = 4.00; divided by √4 = 2 it is 2.00.",
    5: "“chased” may attend to “dog”, so the score 2.00 stays.",
    6: "The weight of “chased” on “dog” is exp 2.00 / (exp 2.00 + exp 0.00 + exp 2.00) = "
    "7.39 / 15.78 = 0.47.",
    7: "The context of “chased” in dimension noun is 0.47·1 + 0.06·0 + 0.47·1 = 0.94.",
    8: "Head 1 finds for “chased” in dimension dog: 0.89·1 + 0.05·0 + 0.05·0 = 0.89.",
}


def test_each_step_says_the_arithmetic_of_the_largest_number(show):
    page = show(chapter(step=1))
    for step, said in SAID.items():
        page.get_by_role("radio", name=STEPS[step - 1]).check()
        assert shown(page)["says"] == said


def cell(page, name, i, j):
    return page.locator(f"gat-self td[data-grid={name}][data-i='{i}'][data-j='{j}']")


def frames(page, grid):
    """Where the cells of a grid are framed, and how."""
    rows = shown(page)["grids"][grid]
    return {
        (i, j): at["framed"]
        for i, row in enumerate(rows)
        for j, at in enumerate(row)
        if at["framed"]
    }


SOURCES = {
    (2, "P1"): ("X", "W1"),
    (3, "raw"): ("P0", "KT"),
    (7, "context"): ("weights", "P2"),
    (8, "h1"): ("a1", "v1"),
}


@pytest.mark.parametrize(("at", "sources"), SOURCES.items(), ids=str)
def test_a_cell_frames_the_row_and_the_column_that_it_came_from(show, at, sources):
    (step, name), (left, above) = at, sources
    page = show(chapter(step=step))
    cell(page, name, 2, 1).click()
    grids = shown(page)["grids"]
    assert frames(page, left) == {(2, k): "row" for k in range(len(grids[left][0]))}
    assert frames(page, above) == {(k, 1): "column" for k in range(len(grids[above]))}
    rest = set(grids) - {left, above}
    assert not any(frames(page, grid) for grid in rest)
    assert grids[name][2][1]["selected"]
    row = [c["value"] for c in grids[left][2]]
    column = [r[1]["value"] for r in grids[above]]
    dot = sum(x * y for x, y in zip(row, column, strict=True))
    assert grids[name][2][1]["value"] == pytest.approx(dot)
    write = trimmed if step < 7 else two
    terms = " + ".join(f"{write(x)}·{trimmed(y)}" for x, y in zip(row, column, strict=True))
    assert f"{terms} = {grids[name][2][1]['text']}." in shown(page)["says"]


def test_a_cell_made_from_one_cell_or_from_a_row_frames_it(show):
    page = show(chapter(step=4, causal=True))
    cell(page, "scaled", 0, 1).click()
    assert frames(page, "raw") == {(0, 1): "cell"}
    page.get_by_role("radio", name="mask").check()
    cell(page, "masked", 0, 2).click()
    assert frames(page, "scaled") == {(0, 2): "cell"}
    assert shown(page)["says"] == (
        "“dog” must not attend to “cat”, a later word, so the score 0.00 becomes −∞."
    )
    page.get_by_role("radio", name="softmax").check()
    cell(page, "weights", 1, 2).click()
    assert frames(page, "masked") == {(1, k): "row" for k in range(3)}
    assert shown(page)["says"].endswith("is exactly 0, because “cat” is masked.")
    page.get_by_role("radio", name="heads").check()
    cell(page, "joined", 1, 3).click()
    assert frames(page, "h1") == {(1, 1): "cell"}
    cell(page, "a0", 1, 0).click()
    assert shown(page)["says"].endswith(
        "its score is 4.00 / √2 = 2.83, and the softmax gives 0.94."
    )


def test_every_grid_is_one_stop_and_arrow_keys_move_inside(show):
    page = show(chapter(step=7))
    page.evaluate("addEventListener('keydown', e => window.kept = e.defaultPrevented)")
    page.get_by_role("button", name="causal").focus()
    focus = "document.activeElement.shadowRoot.activeElement.dataset"
    for grid, rows, columns in (("weights", 3, 3), ("P2", 3, 4), ("context", 3, 4)):
        page.keyboard.press("Tab")
        assert page.evaluate(f"{focus}.grid") == grid
        page.keyboard.press("Home")
        for _ in range(4):
            page.keyboard.press("ArrowUp")
        keys = {
            "ArrowDown": (1, 0),
            "ArrowRight": (1, 1),
            "End": (1, columns - 1),
            "ArrowLeft": (1, columns - 2),
            "ArrowUp": (0, columns - 2),
            "Home": (0, 0),
        }
        for key, (i, j) in keys.items():
            page.keyboard.press(key)
            assert page.evaluate("kept")  # the cell moves, the page does not
            assert page.evaluate(f"[{focus}.grid, {focus}.i, {focus}.j]") == [grid, str(i), str(j)]
            assert shown(page)["grids"][grid][i][j]["selected"]
        for _ in range(rows + 1):
            page.keyboard.press("ArrowDown")
        assert page.evaluate(f"[{focus}.i, {focus}.j]") == [str(rows - 1), "0"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "body"


def test_a_word_stays_chosen_from_step_to_step(show):
    page = show(chapter(step=3))
    cell(page, "raw", 2, 1).click()
    page.get_by_role("button", name="next step").click()
    assert shown(page)["says"].startswith("The score of the query of “cat” and the key of “chased”")


def test_a_phone_stacks_the_grids_and_shows_one_product_at_a_time(show):
    page = show(chapter(), viewport={"width": 390, "height": 844}, has_touch=True)
    for step in range(1, 9):
        page.get_by_role("radio").nth(step - 1).check()
        boxes = page.locator("gat-self table:visible").evaluate_all(
            "all => all.map(e => [e.getBoundingClientRect().top, e.getBoundingClientRect().bottom])"
        )
        assert len(boxes) == [1, 3, 3, 2, 2, 2, 3, 4][step - 1]
        assert all(upper[1] <= lower[0] for upper, lower in itertools.pairwise(boxes))
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        sizes = page.locator(
            "gat-self :is(td, th, p, small, b, button, .sign):visible"
        ).evaluate_all("all => all.map(e => parseFloat(getComputedStyle(e).fontSize))")
        assert min(sizes) >= 12
        cut = page.locator("gat-self :is(td, th):visible").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
        )
        assert cut == []
    page.get_by_role("radio", name="project").check()
    page.get_by_role("button", name="keys").tap()
    assert page.get_by_role("grid").evaluate_all("all => all.map(e => e.ariaLabel)") == [
        "X, the words",
        "W K transposed",
        "keys",
    ]
    assert shown(page)["says"].startswith("The key of “chased”")
    cell(page, "P1", 0, 2).tap()
    assert shown(page)["says"].endswith("1·0 + 0·0 + 1·1 + 0·0 = 1.")


@pytest.mark.slow
@pytest.mark.parametrize("width", [688, 820])
def test_a_wide_page_sets_a_result_between_its_row_and_its_column(show, width):
    page = show(chapter(), viewport={"width": width + 16, "height": 900}, reduced_motion="reduce")
    for step, left, above, result in (
        *((2, "X", f"W{r}", f"P{r}") for r in range(3)),
        *((3, "P0", "KT", "raw"), (7, "weights", "P2", "context"), (8, "a1", "v1", "h1")),
    ):
        page.get_by_role("radio").nth(step - 1).check()
        at, beside, over = (cell(page, name, 1, 1).bounding_box() for name in (result, left, above))
        assert at["x"] == pytest.approx(over["x"], abs=1)
        assert at["y"] == pytest.approx(beside["y"], abs=1)
        assert at["x"] > beside["x"]
        assert at["y"] > over["y"]
        assert page.evaluate("document.documentElement.scrollWidth") == width + 16
        cut = page.locator("gat-self td:visible").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
        )
        assert cut == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [704, 390])
def test_axe_finds_nothing(show, axe, theme, width):
    figures = [
        self_attention(
            *(X, W_Q, EYE, EYE, WORDS, f"step {step}"),
            start=1,
            step=step,
            causal=step > 4,
            features=FEATURES,
        )
        for step in range(1, 9)
    ]
    page = show(
        *figures, theme=theme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    assert [shown(page, k)["step"] for k in range(8)] == list(range(1, 9))
    assert axe(page, OF_A_SCHEME if theme == "dark" else ()) == {}


def test_without_javascript_there_is_a_table_for_each_matrix(show):
    page = show(chapter(), java_script_enabled=False, viewport={"width": 390, "height": 844})
    tables = page.get_by_role("table")
    assert tables.count() == 10
    (none, _), (causal, mask) = (
        expected(X, (W_Q, EYE, EYE), HEADS, choice) for choice in (False, True)
    )
    wanted = {
        **{"words X": (none["X"], trimmed), "queries Q": (none["P0"], trimmed)},
        **{"keys K": (none["P1"], trimmed), "values V": (none["P2"], trimmed)},
        **{"scores Q K⊤ / √d": (none["scaled"], two), "weights α": (none["weights"], two)},
        **{"α V": (none["context"], two), "α V, causal mask": (causal["context"], two)},
        "two heads, joined": (none["joined"], two),
    }
    for name, (matrix, write) in wanted.items():
        cells = page.get_by_role("table", name=name, exact=True).locator("tbody td")
        assert cells.all_inner_texts() == [write(x) for x in matrix.flatten().tolist()], name
    cells = page.get_by_role("table", name="weights α, causal mask").locator("tbody td")
    hatched = "all => all.map(e => getComputedStyle(e).backgroundImage.includes('gradient'))"
    assert cells.evaluate_all(hatched) == (~mask).flatten().tolist()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    sizes = page.locator("gat-self :is(td, th, caption)").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12


def test_on_paper_it_is_its_tables(show):
    page = show(chapter())
    still = page.locator(".gat-grids")
    assert not still.is_visible()
    page.emulate_media(media="print")
    assert still.is_visible()
    assert page.get_by_role("radio").count() == 0


@pytest.mark.parametrize(("motion", "moves"), [("reduce", "none"), ("no-preference", "come")])
def test_a_new_step_moves_unless_the_reader_wants_no_motion(show, motion, moves):
    page = show(chapter(), reduced_motion=motion)
    page.get_by_role("button", name="previous step").click()
    names = page.locator("gat-self .result").evaluate_all(
        "all => all.map(e => getComputedStyle(e).animationName)"
    )
    assert names == [moves]


def test_names_are_text_never_html(show):
    words = ["<b>dog", "</script>", "<i>cat"]
    figure = self_attention(X, W_Q, EYE, EYE, words, "<s>", features=["<u>", "a", "b", "c"])
    page = show(figure)
    assert page.get_by_role("rowheader", name="<b>dog", exact=True).count() == 3
    assert shown(page)["says"].startswith("The context of “<b>dog”")
    page.get_by_role("radio", name="words").check()
    assert page.get_by_role("columnheader", name="<u>", exact=True).is_visible()


def test_the_html_is_the_same_on_every_run_and_moves_no_random_number():
    state = torch.get_rng_state()
    assert chapter()._repr_mimebundle_() == chapter()._repr_mimebundle_()
    assert torch.equal(torch.get_rng_state(), state)
    x, *six = random(1)
    single = [matrix.float() for matrix in (x, *six)]
    assert of(x, *six).content == of(*single).content  # 0.1 is 0.1, in single precision too


def test_without_heads_of_their_own_each_has_half_of_the_dimensions():
    found = not_none(re.search(r'data-figure="([^"]*)"', chapter(heads=None).content))
    data = json.loads(html.unescape(found[1]))
    assert data["heads"] == data["W"]


BAD = torch.tensor([[1.0, float("nan")]])
ODD = torch.eye(3)
LARGE = 1e200 * torch.eye(2, dtype=torch.float64)


def small(x=LARGE[:, :2] / 1e200, w=LARGE / 1e200, words=("a", "b"), alt="alt", **more):
    return self_attention(x, w, w, w, list(words), alt, **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(x=torch.zeros(0, 2), words=()), "X: expected one row or more"),
        (lambda: small(x=ODD, w=ODD, words="abc"), "X: expected an even number of columns, got 3"),
        (lambda: small(x=BAD, words=["a"]), "X: expected finite numbers"),
        (lambda: small(x=LARGE, w=LARGE), "X: expected numbers whose products are finite"),
        (lambda: small(w=ODD), "W_Q: expected shape"),
        (lambda: small(w=BAD.expand(2, 2)), "W_Q: expected finite numbers"),
        (lambda: small(heads=[EYE] * 2), "heads: expected three matrices, got 2"),
        (lambda: small(heads=[EYE] * 3), "heads: expected shape"),
        (lambda: small(words="a"), "words: expected a sequence of str|words: expected 2 names"),
        (lambda: small(features=["a"]), "features: expected 2 names, got 1"),
        (lambda: small(dimensions=["a"]), "dimensions: expected 2 names, got 1"),
        (lambda: small(joined=["a"]), "joined: expected 2 names, got 1"),
        (lambda: small(alt=" "), "alt: expected a sentence"),
        (lambda: small(start=2), "start: expected at most 1, got 2"),
        (lambda: small(start=-1), "start: expected an int of at least 0"),
        (lambda: small(step=9), "step: expected at most 8, got 9"),
        (lambda: small(step=0), "step: expected an int of at least 1"),
    ],
)
def test_bad_input_names_the_argument(unchecked, call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(x=[[1.0]]), "X: expected a float tensor, got list"),
        (lambda: small(w=torch.eye(2).long()), "W_Q: expected a float tensor"),
        (lambda: small(heads=[1, 2, 3]), "heads: expected only Tensor"),
        (lambda: small(features="ab"), "features: expected a sequence of str"),
        (lambda: small(step=1.0), "step: expected an int"),
        (lambda: small(start=True), "start: expected an int"),
    ],
)
def test_input_of_another_kind_names_the_argument(unchecked, call, words):
    with pytest.raises(TypeError, match=words):
        call()
