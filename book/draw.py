"""The book's drawn pictures: logo, favicon, and the whole way in six panels.

``python book/draw.py`` writes them. The thicknesses in the picture of the way are weights that
``gatutils.attend`` gives, so the picture shows what the package computes.
"""

import base64
import math
import os
import shutil
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatutils.attention import attend
from gatutils.book.figures import ROLES

STATIC = Path(__file__).parent / "_static"

# A logo is an image of its own: it does not see the page's colours. These tones of the roles
# stand out by 3:1 or more on white and on the theme's dark ground.
MID = {"query": "#d9601a", "key": "#2b84d4", "weight": "#a957c4"}

# Five words, the same in all panels. As a graph: each noun with its article, its verb and the
# other noun, so "cat" has the neighbours "the", "saw" and "dog".
WORDS = ("the", "cat", "saw", "the", "dog")
ASKING = 1  # the cat
EDGES = ((0, 1), (1, 2), (2, 4), (3, 4), (1, 4))
SCORES = (
    (1.5, 2.0, 0.0, 0.5, 0.0),
    (1.0, 0.6, 2.1, 0.7, 1.5),
    (0.0, 1.8, 1.0, 0.0, 1.8),
    (0.5, 0.0, 0.0, 1.5, 2.0),
    (0.6, 1.4, 2.0, 1.1, 0.6),
)
LOOK_BACK = (
    0.2,
    0.6,
    3.0,
    0.2,
    0.9,
)  # 보았다, the verb to be written, attends to the English words

PANEL = (308, 282)
WIDTH, GAP, FOOT = 640, 24, 62
TITLE, LABEL = 25, 22

Point = tuple[float, float]


def _number(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _tag(name: str, content: str = "", /, **attributes: object) -> str:
    written = "".join(
        f' {key.strip("_").replace("_", "-")}="'
        f'{_number(value) if isinstance(value, float) else escape(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _role(role: str) -> str:
    """The page's colour of a role, and the light one where there is no page."""
    return f"var(--gat-{role}, {ROLES[role][0]})"


def _text(x: float, y: float, content: str, anchor: str = "middle", **attributes: object) -> str:
    attributes = {"fill": "currentColor", "font_size": LABEL} | attributes
    return _tag("text", escape(content), x=x, y=y, text_anchor=anchor, **attributes)


def _dot(x: float, y: float, role: str = "key", r: float = 11) -> str:
    return _tag("circle", cx=x, cy=y, r=r, fill=_role(role))


def _path(d: str, colour: str, width: float, **attributes: object) -> str:
    return _tag(
        "path", d=d, fill="none", stroke=colour, stroke_width=width, stroke_linecap="round",
        **attributes,
    )  # fmt: skip


def _line(a: Point, b: Point, colour: str, width: float, **attributes: object) -> str:
    points = (*a, *b)
    return _path("M{} {}L{} {}".format(*map(_number, points)), colour, width, **attributes)


def _arrow(a: Point, b: Point, start: float, end: float) -> str:
    """An arrow from a to b that leaves room for the dots at both."""
    angle = math.atan2(b[1] - a[1], b[0] - a[0])
    ux, uy = math.cos(angle), math.sin(angle)
    tail = (a[0] + start * ux, a[1] + start * uy)
    tip = (b[0] - end * ux, b[1] - end * uy)
    barbs = [
        (tip[0] - 8 * math.cos(angle + turn), tip[1] - 8 * math.sin(angle + turn))
        for turn in (0.5, -0.5)
    ]
    head = "M{} {}L{} {}L{} {}".format(*map(_number, (*barbs[0], *tip, *barbs[1])))
    return _line(tail, tip, "currentColor", 2.5) + _path(head, "currentColor", 2.5)


def weights(scores: Sequence[Sequence[float]], mask: Tensor | None = None) -> list[list[float]]:
    """Row by row, the weights that the book's one function gives."""
    rows = torch.tensor(scores, dtype=torch.float64)
    return attend(rows, torch.eye(rows.shape[-1], dtype=torch.float64), mask)[1].tolist()


def neighbours() -> Tensor:
    """The graph as a mask: True where row i attends to j, itself included."""
    mask = torch.eye(len(WORDS), dtype=torch.bool)
    for i, j in EDGES:
        mask[i, j] = mask[j, i] = True
    return mask


def _thickness(weight: float) -> float:
    return 1.5 + 20 * weight


ROW = [(36.0 + 59 * j, 222.0) for j in range(len(WORDS))]
RING = [(66.0, 248.0), (88.0, 180.0), (154.0, 120.0), (242.0, 248.0), (220.0, 180.0)]

LOOPS = ("-58 -6 -24 -54", "-58 -6 -24 -54", "-34 -46 34 -46", "58 -6 24 -54", "58 -6 24 -54")


def _words_in_a_row(asking: int | None = None) -> str:
    return "".join(
        _dot(x, y, "query" if j == asking else "key") + _text(x, y + 34, WORDS[j])
        for j, (x, y) in enumerate(ROW)
    )


def _words_in_a_graph(asking: int | None = None) -> str:
    labels = (
        (-18, 17, "end"), (-18, 17, "end"), (22, 5, "start"), (18, 17, "start"), (18, 17, "start"),
    )  # fmt: skip
    return "".join(
        _dot(x, y, "query" if j == asking else "key", 13) + _text(x + dx, y + dy, WORDS[j], anchor)
        for j, ((x, y), (dx, dy, anchor)) in enumerate(zip(RING, labels, strict=True))
    )


def _loop(j: int) -> str:
    """The edge from a node to itself."""
    x, y = RING[j]
    return f"M{_number(x)} {_number(y)}c{LOOPS[j]} 0 0"


def sequence() -> str:
    """One word after the other, into one vector."""
    top = (ROW[-1][0], 124.0)
    return (
        "".join(_arrow(a, b, 15, 15) for a, b in pairwise(ROW))
        + _arrow(ROW[-1], top, 15, 20)
        + _words_in_a_row()
        + _dot(*top, "value", 15)
        + _text(top[0] - 26, top[1] + 8, "one vector c", "end")
    )


def attention() -> str:
    """The decoder attends to every word."""
    top = (ROW[2][0], 116.0)
    (row,) = weights((LOOK_BACK,))
    return (
        "".join(
            _line(place, top, _role("weight"), _thickness(weight))
            for place, weight in zip(ROW, row, strict=True)
        )
        + _words_in_a_row()
        + _dot(*top, "query", 15)
        + _text(top[0] + 26, top[1] + 2, "보았다", "start", lang="ko")
    )


def self_attention() -> str:
    """The words attend to each other."""
    row = weights(SCORES)[ASKING]

    def arc(i: int, j: int) -> str:
        (a, y), (b, _) = ROW[i], ROW[j]
        if i == j:  # a loop below the arcs' feet
            return f"M{_number(a)} {_number(y)}c-34 -44 34 -44 0 0"
        rise = 30.0 + 29 * abs(i - j)
        first, last = _number(a), _number(b)
        up = _number(y - rise)
        return f"M{first} {_number(y)}C{first} {up} {last} {up} {last} {_number(y)}"

    others = [(i, j) for i in range(5) for j in range(i + 1, 5) if ASKING not in (i, j)]
    return (
        "".join(_path(arc(i, j), "currentColor", 1.5, opacity=0.35) for i, j in others)
        + "".join(
            _path(arc(ASKING, j), _role("weight"), _thickness(weight))
            for j, weight in enumerate(row)
        )
        + _words_in_a_row(ASKING)
    )


def masked() -> str:
    """Which word attends to which, as a table: rows are queries, columns are keys."""
    mask, cell, left, top = neighbours(), 36, 94, 82
    rows = weights(SCORES, mask)
    marks = []
    for i, row in enumerate(rows):
        y = top + cell * i
        marks.append(_text(left - 14, y + 25, WORDS[i], "end"))
        for j, weight in enumerate(row):
            x = left + cell * j
            box = {"x": x + 2, "y": y + 2, "width": cell - 4, "height": cell - 4, "rx": 5}
            if mask[i, j]:
                shade = f"{0.18 + 0.82 * weight / max(map(max, rows)):.2f}"
                marks.append(_tag("rect", **box, fill=_role("weight"), fill_opacity=shade))
            else:
                grey = _role("masked")
                marks.append(_tag("rect", **box, fill="none", stroke=grey, stroke_width=1.5))
                marks += [  # hatched, as masked cells are everywhere
                    _line((x + 4, y + 4 + k), (x + 4 + k, y + 4), grey, 1.5) for k in (9, 18, 27)
                ]
                marks += [
                    _line((x + 4 + k, y + 32), (x + 32, y + 4 + k), grey, 1.5) for k in (9, 18)
                ]
    y = top + cell * ASKING
    frame = {"x": left - 3, "y": y - 1, "width": 5 * cell + 6, "height": cell + 2, "rx": 8}
    marks.append(_tag("rect", **frame, fill="none", stroke=_role("query"), stroke_width=3.5))
    return "".join(marks)


def graph() -> str:
    """The same table as a graph."""
    lines = "".join(_line(RING[i], RING[j], "currentColor", 2.5) for i, j in EDGES)
    loops = "".join(_path(_loop(j), "currentColor", 2.5) for j in range(len(WORDS)))
    return lines + loops + _words_in_a_graph()


def graph_attention() -> str:
    """The cat attends to its neighbours and itself."""
    mask = neighbours()
    row = weights(SCORES, mask)[ASKING]
    marks = [
        _line(RING[i], RING[j], "currentColor", 1.5, opacity=0.35)
        for i, j in EDGES
        if ASKING not in (i, j)
    ]
    marks += [
        _line(RING[j], RING[ASKING], _role("masked"), 2.5, stroke_dasharray="1 8")
        for j in range(len(WORDS))
        if not mask[ASKING, j]
    ]
    marks += [
        _line(RING[j], RING[ASKING], _role("weight"), _thickness(row[j]))
        for j in range(len(WORDS))
        if mask[ASKING, j] and j != ASKING
    ]
    marks.append(_path(_loop(ASKING), _role("weight"), _thickness(row[ASKING])))
    return "".join(marks) + _words_in_a_graph(ASKING)


PANELS = (
    ("Sequence", "one word after another", "01-seq2seq", sequence),
    ("Attention", "attend to each word", "02-attention", attention),
    ("Self-attention", "each attends to all", "04-self-attention", self_attention),
    ("Mask", "which attends to which", "06-masks-are-graphs", masked),
    ("Graph", "the mask is a graph", "07-message-passing", graph),
    ("Graph attention", "attend to neighbours", "10-graph-attention", graph_attention),
)
"""Title, caption, the chapter that begins it, and what draws it."""

WAY_IN_WORDS = (
    "The way of the book in six panels, with the same five words in each. "
    "1, sequence: a chain of words ends in one vector. "
    "2, attention: a decoder about to write the Korean for saw attends to each word, "
    "most of all to saw. "
    "3, self-attention: each word attends to all words. "
    "4, mask: a table of which word attends to which; masked pairs are hatched. "
    "5, graph: the same table drawn as nodes and edges. "
    "6, graph attention: a node attends to its neighbours and to itself, and to no others. "
    "In all of them one function runs: score, mask, softmax, weighted sum."
)


def _panel(at: int) -> str:
    """One panel of the way: its frame, title, drawing and caption."""
    title, caption, _, draw = PANELS[at]
    width, height = PANEL
    frame = _tag(
        "rect", x=1, y=1, width=width - 2, height=height - 2, rx=14,
        fill="none", stroke="currentColor", stroke_opacity=0.3, stroke_width=1.5,
    )  # fmt: skip
    heading = _text(18, 34, title, "start", font_size=TITLE, font_weight=700)
    return frame + heading + draw() + _text(18, 64, caption, "start")


def panels() -> str:
    """The way as six links, for the home page: inline, so it has the page's colours."""
    width, height = PANEL
    links = []
    for at, (title, caption, chapter, _) in enumerate(PANELS):
        picture = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' aria-hidden="true">{_panel(at)}</svg>'
        )
        name = escape(f"{title}: {caption}")
        links.append(f'<a href="../notebooks/{chapter}.html" aria-label="{name}">{picture}</a>')
    return (
        '<nav class="gat-way" aria-label="The way, in six panels">\n'
        + "\n".join(links)
        + "\n</nav>\n"
    )


def way() -> str:
    """The whole way on one picture, for the README."""
    width, height = PANEL
    step_x, step_y = WIDTH - width, height + GAP
    total = 3 * height + 2 * GAP + FOOT
    parts = []
    for at in range(len(PANELS)):
        x, y = (at % 2) * step_x, (at // 2) * step_y
        parts.append(_tag("g", _panel(at), transform=f"translate({x} {y})"))
    steps = (("score", ""), ("mask", "masked"), ("softmax", "weight"), ("weighted sum", "value"))
    spans = " → ".join(
        _tag("tspan", name, fill=_role(role) if role else "currentColor", font_weight=700)
        for name, role in steps
    )
    parts.append(
        f'<text x="{WIDTH / 2:g}" y="{total - 16}" text-anchor="middle" font-size="26"'
        f' fill="currentColor">{spans}</text>'
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" role="img"'
        f' aria-label="{escape(WAY_IN_WORDS)}"'
        f' style="display:block;width:100%;max-width:{WIDTH}px;height:auto;margin:0 auto">\n'
        f"{body}\n</svg>\n"
    )


# Where a key is, its radius, the point towards which its flow bends, and the flow's thickness.
Key = tuple[float, float, float, Point, float]


def _mark(keys: Sequence[Key], node: tuple[float, float, float], title: str) -> str:
    """Keys that flow into one node, each as strongly as it weighs."""
    x, y, r = node
    flows = "".join(
        _path(
            f"M{_number(kx)} {_number(ky)}Q{_number(bx)} {_number(by)} {_number(x)} {_number(y)}",
            MID["weight"],
            width,
        )
        for kx, ky, _, (bx, by), width in keys
    )
    dots = "".join(_tag("circle", cx=a, cy=b, r=c, fill=MID["key"]) for a, b, c, _, _ in keys)
    centre = _tag("circle", cx=x, cy=y, r=r, fill=MID["query"])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f"<title>{escape(title)}</title>{flows}{dots}{centre}</svg>\n"
    )


def logo() -> str:
    """A node that gathers from three others, more from one than from another."""
    keys = (
        (10.0, 11.0, 7.0, (30.0, 12.0), 3.5),
        (9.0, 36.0, 7.0, (26.0, 36.0), 10.0),
        (26.0, 56.0, 7.0, (40.0, 52.0), 6.0),
    )
    return _mark(keys, (47.0, 29.0, 14.0), "A node that gathers from three others")


def preview() -> str:
    """What is shown where a link to the book is shared: 1200 by 630, on a ground of its own."""
    shown = "".join(
        _tag("g", _panel(at), transform=f"translate({60 + k * 368} 270) scale(1.1)")
        for k, at in enumerate((1, 3, 5))
    )
    words = _text(60, 120, "Attention,", "start", font_size=76, font_weight=700) + _text(
        60, 205, "from sequences to graphs", "start", font_size=60
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1200 630" width="1200" height="630"'
        ' color="#22242b" font-family="sans-serif"><rect width="1200" height="630"'
        f' fill="#fefdfb"/>{words}{shown}</svg>\n'
    )


def favicon() -> str:
    """The logo, heavier, for a browser's tab."""
    keys = (
        (10.0, 11.0, 9.0, (30.0, 11.0), 5.0),
        (10.0, 39.0, 9.0, (26.0, 38.0), 13.0),
        (32.0, 55.0, 8.0, (42.0, 50.0), 7.0),
    )
    return _mark(keys, (46.0, 27.0, 17.0), "Attention, from sequences to graphs")


PICTURES = {
    "logo.svg": logo,
    "favicon.svg": favicon,
    "way.svg": way,
    "way.html": panels,
}


FIGURES = (("03-soft-dictionary", "gat-lookup"), ("04-self-attention", "gat-self"),
           ("10-graph-attention", "gat-attention"))  # fmt: skip
"""The figures in the README: the chapter that shows each, and its element."""


def save_preview(path: Path, browser: Any) -> None:
    """Draw the preview as a PNG, which is what other sites read."""
    page = browser.new_page(viewport={"width": 1200, "height": 630})
    page.set_content(f'<body style="margin:0">{preview()}')
    _write(path, page.screenshot())


def save_strip(path: Path, html: Path, browser: Any) -> None:
    """Show three figures side by side, as they look in the built book."""
    page = browser.new_page(viewport={"width": 900, "height": 900}, device_scale_factor=2)
    pictures = []
    for chapter, element in FIGURES:
        page.goto((html / "notebooks" / f"{chapter}.html").as_uri())
        shot = page.locator(element).first.screenshot()
        pictures.append(base64.b64encode(shot).decode())
    images = "".join(f'<img src="data:image/png;base64,{picture}">' for picture in pictures)
    page = browser.new_page(viewport={"width": 1500, "height": 384})
    page.set_content(  # the last one is tall: its lower part is left out
        "<style>body{margin:0;padding:14px;background:#fefdfb;display:flex;gap:24px;width:1500px;"
        "box-sizing:border-box;align-items:center}img{flex:1;min-width:0;height:356px;"
        "object-fit:contain}img:last-child{object-fit:cover;object-position:top}</style>"
        f"<body>{images}"
    )
    page.wait_for_function("[...document.images].every(image => image.complete)")
    _write(path, page.screenshot())


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_bytes(content)
    os.replace(draft, path)


def main() -> None:
    """Write every picture; that of the figures only where the book is built."""
    for name, draw in PICTURES.items():
        (STATIC / name).write_text(draw(), encoding="utf-8", newline="\n")
    from playwright.sync_api import sync_playwright  # only here: the rest needs no browser

    with sync_playwright() as play:
        executable = os.environ.get("GATUTILS_CHROMIUM") or shutil.which("chromium")
        browser = play.chromium.launch(executable_path=executable)
        save_preview(STATIC / "og.png", browser)
        html = STATIC.parents[1] / "_build" / "html"
        if (html / "index.html").exists():  # as `make book` leaves it
            save_strip(STATIC / "figures.png", html, browser)
        browser.close()


if __name__ == "__main__":
    main()
