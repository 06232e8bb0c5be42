import html
import importlib
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
import torch
from helpers import not_none, pair_scores

from gatutils.attention import attend
from gatutils.book import figures
from gatutils.book.figures import (
    Curve,
    Network,
    Picture,
    arrow,
    box,
    circle,
    core,
    curves,
    drawing,
    elements,
    graph_attention,
    gru_cell,
    heads,
    heatmap,
    lookup,
    masks,
    message_passing,
    minefield,
    networks,
    picture,
    pronounce,
    receptive_field,
    strips,
)
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.interop import from_networkx

GROUNDS = ("#ffffff", "#121212")
JS = Path(elements.__file__).with_name("js")
ROOT = Path(__file__).parents[1]
STYLE = ROOT / "book" / "_static" / "roles.css"


def linear(color):
    """The light that a colour sends, red, green and blue (WCAG 2.2, relative luminance)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def contrast(one, other):
    high, low = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) + 0.05)
        for x in (one, other)
    )[::-1]
    return high / low


def as_seen(color, kind):
    """Lab-like coordinates of a colour, after a full colour-vision deficiency.

    The matrices are those of Machado, Oliveira & Fernandes (2009) at severity 1; the result is
    CIE 1976 L*a*b* (D65).
    """
    matrix = {
        "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }[kind]
    rgb = torch.tensor(matrix, dtype=torch.float64) @ torch.tensor(linear(color)).double()
    to_xyz = torch.tensor(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ).double()
    x, y, z = (to_xyz @ rgb.clamp(0, 1) / torch.tensor([0.9505, 1.0, 1.089])).pow(1 / 3).tolist()
    return torch.tensor([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("name", [*figures.ROLES, *figures.SERIES])
def test_colours_are_legible_as_text_on_both_grounds(name):
    for color, ground in zip((figures.ROLES | figures.SERIES)[name], GROUNDS, strict=True):
        assert contrast(color, ground) >= 4.5


@pytest.mark.parametrize("kind", ["normal", "protan", "deutan", "tritan"])
@pytest.mark.parametrize("scheme", [0, 1])
def test_roles_can_be_told_apart_by_the_colour_blind(kind, scheme):
    seen = {role: as_seen(pair[scheme], kind) for role, pair in figures.ROLES.items()}
    for one, other in itertools.combinations(seen, 2):
        distance = (seen[one] - seen[other]).norm().item()
        assert distance > 15, (one, other, distance)  # 2.3 is just noticeable


@pytest.mark.parametrize("kind", ["normal", "protan", "deutan", "tritan"])
@pytest.mark.parametrize(("scheme", "ink"), [(0, "#22242b"), (1, "#dcdee4")])
def test_series_can_be_told_apart_by_the_colour_blind(kind, scheme, ink):
    colors = {name: pair[scheme] for name, pair in figures.SERIES.items() if name != "grey"}
    seen = {name: as_seen(color, kind) for name, color in (colors | {"text": ink}).items()}
    for one, other in itertools.combinations(seen, 2):
        distance = (seen[one] - seen[other]).norm().item()
        assert distance > 15, (one, other, distance)


def test_a_series_has_no_roles_colour():
    assert not set(figures.SERIES) & set(figures.ROLES)
    assert not {*figures.SERIES.values()} & {*figures.ROLES.values()}
    with pytest.raises(ValueError, match="color: expected one of teal"):
        figures.series_color("query")


def test_the_style_sheet_is_what_the_module_prints():
    out = subprocess.run(
        [sys.executable, "-m", "gatutils.book.figures"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert out.stdout == core.style_sheet() == STYLE.read_text(encoding="utf-8")
    for role, pair in (figures.ROLES | figures.SERIES).items():
        assert [m[1] for m in re.finditer(rf"--gat-{role}: (#\w+);", out.stdout)] == list(pair)


def lines():
    runs = [[1, 0.9, 0.8], [1, 0.8, 0.6]]
    return [
        Curve("looks back", [0, 1, 2], runs, "teal"),
        Curve("one <vector>", [0, 1, 2], [[1, 0.5, 0]]),
    ]


def sketch(alt="two boxes"):
    figure, ax = drawing(3, 1)
    box(ax, 0.5, 0.5, "고양이", "key")
    box(ax, 2.5, 0.5, "$c_i$", "value")
    arrow(ax, (0.9, 0.5), (2.1, 0.5), "weight", width=3)
    return picture(figure, alt)


def heat(**options):
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    return heatmap(weights, ["개", "<를>"], ["the", "dog"], "weights", **options)


# A pair each way, an arrow, and a loop.
FOUR = Graph.from_edges([(0, 1), (1, 0), (1, 2), (2, 2)], 4)


def net(graph=FOUR, alt="four nodes", columns=None, height=None, legend=None, **options):
    return networks([Network(graph, **options)], alt, "", columns, height, legend)


def four():
    return net(title="a <title>", names=list("abcd"), colors=["teal", "sky", None, "gold"])


MAKERS = [lambda: curves(lines(), "falls", "x", "y"), sketch, heat, four]


@pytest.mark.parametrize("make", MAKERS)
def test_figures_are_the_same_each_time_and_well_formed(make):
    first, second = make(), make()
    assert first == second
    ElementTree.fromstring(f"<p>{first.content}</p>")
    html = first._repr_mimebundle_()[0]["text/html"]
    assert html.startswith('<figure class="gat-figure">')


@pytest.mark.parametrize("make", MAKERS)
def test_figures_follow_the_page(make):
    """Roles are the page's variables, everything else its text colour; no ground of their own."""
    content = make().content
    weight, teal = (figures.ROLES["weight"][0], figures.SERIES["teal"][0])
    assert re.search(rf"var\(--gat-(weight, ?{weight}|teal, {teal})\)", content)
    bare = re.sub(r"var\(--gat-\w+, ?#\w+\)", "", content)
    assert re.findall(r"#[0-9a-f]{6}\b", bare) == []
    assert figures.INK not in content


def test_two_figures_on_a_page_share_no_id():
    first, second = sketch("one"), sketch("two")
    ids = [re.findall(r' id="([^"]+)"', figure.content) for figure in (first, second)]
    assert ids[0]
    assert len(set(ids[0])) == len(ids[0])
    assert not set(ids[0]) & set(ids[1])
    for figure, known in zip((first, second), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", figure.content)) <= set(known)


def test_alt_text_reaches_the_page_escaped():
    figure = sketch('a "quoted" <word>')
    assert ElementTree.fromstring(figure.content).get("aria-label") == 'a "quoted" <word>'
    assert ElementTree.fromstring(figure.content).get("role") == "img"
    assert figure._repr_mimebundle_()[0]["text/plain"] == '[figure: a "quoted" <word>]'


def test_numbers_and_labels_are_written_as_they_are():
    """Only coordinates are rounded, never what a reader reads."""
    small = [Curve("lr 0.00312", [0, 1], [[0.001, 0.004]])]
    content = curves(small, "p = 0.00125", "x", "y", ylim=None, caption="0.98765 <b>").content
    for word in ("lr 0.00312", "0.0010", "0.0040"):
        assert word in content, word
    shown = curves(small, "p = 0.00125", "x", "y", caption="0.98765 <b>")._repr_mimebundle_()[0]
    assert "<figcaption>0.98765 &lt;b&gt;</figcaption>" in shown["text/html"]
    assert 'aria-label="p = 0.00125"' in shown["text/html"]
    paths = " ".join(re.findall(r' d="([^"]*)"', content))
    assert re.search(r"\d\.\d\d", paths)
    assert not re.search(r"\d\.\d{3}", paths)


def test_figures_are_in_the_font_of_the_page():
    for figure in (sketch(), curves(lines(), "falls", "x", "y")):
        assert "DejaVu" not in figure.content
        assert "font-family" not in figure.content
        # It would hold for the whole page.
        assert re.findall(r"<style>([^{]*)", figure.content) in ([], ["figure.gat-figure"])
        assert "font-size" in figure.content


def test_a_list_of_fonts_without_matplotlibs_own_changes_nothing(tmp_path):
    """As another installation leaves it behind that is removed while it runs."""
    here = os.environ | {"MPLCONFIGDIR": str(tmp_path), "PYTHONUTF8": "1"}

    def done(code):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=here, capture_output=True, encoding="utf-8", check=True)

    done(
        "import matplotlib.font_manager as fm\n"
        "known = fm.fontManager\n"
        "known.ttflist = [font for font in known.ttflist if 'mpl-data' not in font.fname]\n"
        "fm.json_dump(known, f'{fm.mpl.get_cachedir()}/fontlist-v{known.__version__}.json')"
    )
    drawn = done(
        "from gatutils.book.figures import *\n"
        "figure, ax = drawing(2, 2)\n"
        "ax.text(0, 0, r'$\\alpha_1$')\n"
        "print(picture(figure, alt='alpha').content)"
    )
    assert not drawn.stderr
    assert "α" in drawn.stdout


def test_any_alt_text_will_do():
    assert r"\lambda \1 C:\new" in sketch(r"\lambda \1 C:\new").content


def corners(content, style):
    """The corners of the first path with that style, or of the shape that stands in for it."""
    path = not_none(re.search(rf'<path d="([^"]*)"[^>]*{style}', content))
    return [tuple(map(float, xy)) for xy in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path[1])]


LINE = "stroke: currentColor; stroke-width: 2"


def wide(content):
    """The desktop's form of a plot."""
    return not_none(re.search(r'<svg class="gat-wide".*?</svg>', content, re.S))[0]


def smallest(svg, width):
    """The size in pixels of the smallest text where the drawing is that wide."""
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    return min(sizes) * width / float(not_none(re.search(r'viewBox="0 0 ([\d.]+)', svg))[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: curves(lines(), "falls", "x", "y", shade=(0, 1, "seen")),
        lambda: strips({"few": [1.0, 3.0], "one": [2.0]}, "dots", "share"),
    ],
)
def test_a_plot_has_a_form_for_a_phone_and_one_for_a_desktop(make):
    content = make().content
    desktop, phone = wide(content), content.replace(wide(content), "")
    assert 'class="gat-narrow"' in phone
    assert smallest(phone, 342) >= 12  # the text's width where the screen has 390 pixels
    assert smallest(desktop, core.NARROW) >= 12
    assert 'width="688"' in desktop  # the whole column
    shown = [
        {m[1] for m in re.finditer(r">([^<>]+)</text>", svg) if not re.match(r"[\d.]+$", m[1])}
        for svg in (desktop, phone)
    ]
    assert shown[0] == shown[1]


def test_a_drawing_has_large_text_on_a_phone():
    figure, ax = drawing(5.4, 1)
    ax.text(0.5, 0.5, "small", fontsize=6)
    ax.text(2.5, 0.5, "large", fontsize=20)
    content = picture(figure, "two words").content
    assert smallest(content, core.PHONE) == pytest.approx(12, abs=0.01)
    assert "font-size: 20px" in content


def test_boxes_and_arrows_have_the_size_and_the_corners_that_are_given():
    figure, ax = drawing(4, 3)
    box(ax, 1, 2, "tall", "key", 1.5, 0.8, size=15, fill=0.03)
    arrow(ax, (1, 1.6), (3, 0.5), "value", through=[(1, 1), (3, 1)])
    shown = picture(figure, "a box, and an arrow around two corners")
    marks = {key: mark for mark in map(json.loads, shown.data) for key in [mark["mark"].split()[0]]}
    assert (marks["FancyBboxPatch"]["x"], marks["FancyBboxPatch"]["y"]) == (
        [0.25, 1.75],
        [1.6, 2.4],
    )
    value = figures.ROLES["value"][0]
    assert value in marks["line"]["mark"]
    assert value in marks["FancyArrowPatch"]["mark"]
    assert marks["line"]["x"][:3] == [1, 1, 3]
    assert marks["line"]["y"][:3] == [1.6, 1, 1]
    start, _, tip = zip(marks["FancyArrowPatch"]["x"], marks["FancyArrowPatch"]["y"], strict=True)
    assert start == (3, 1)
    assert tip == pytest.approx((3, 0.5), abs=0.02)
    assert "font-size: 15px" in shown.content
    assert re.search(r"opacity: 0\.03", shown.content)


def test_a_drawing_may_have_a_form_for_a_phone():
    wide_form, narrow_form = (drawing(width, 1) for width in (7.15, 3.6))
    for _, ax in (wide_form, narrow_form):
        box(ax, 1, 0.5, "box")
    content = picture(wide_form[0], "a box on two screens", narrow=narrow_form[0]).content
    assert 'class="gat-wide"' in content
    assert float(not_none(re.search(r'width="(\d+)"', wide(content)))[1]) >= 0.95 * core.COLUMN
    assert smallest(content.replace(wide(content), ""), 342) >= 12


def test_a_leader_joins_a_label_that_is_moved_to_its_line():
    def leaders(*ends):
        given = [Curve(f"line {k}", [0, 1], [[1, end]]) for k, end in enumerate(ends)]
        drawn = wide(curves(given, "ends", "x", "y", ylim=(0, 1)).content)
        return len(re.findall(r"stroke-width: 0.8; stroke-linecap: round", drawn))

    assert leaders(0.2, 0.8) == leaders(0.2)
    assert leaders(0.5, 0.5, 0.5) == leaders(0.5) + 2  # the lowest one stays where it is


def test_labels_do_not_push_the_axes_away(recwarn):
    """Also where the limits follow from the lines, and where no line has a name."""
    steep = [Curve(name, [5, 40], [[0.1, end]]) for name, end in (("a", 8.0), ("b", 9.0))]
    desktop = wide(curves(steep, "steep", "x", "y", ylim=None).content)
    assert not recwarn.list
    frame = not_none(re.search(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"', desktop))
    assert float(frame[1]) > 400  # of 516
    assert "legend" not in curves([Curve("", [0, 1], [[1, 2]])], "alone", "x", "y").content
    assert not recwarn.list


def test_masked_cells_are_hatched_and_short_heads_stand_upright():
    mask = torch.tensor([[True, False], [True, True]])
    table = heat(mask=mask).content
    assert table.count('class="masked"') == 1
    assert 'title="개 ← dog: masked"' in table
    assert core.ROLES["masked"][0] in table
    assert 'class="gat-heat"' in table
    upright = heatmap(torch.eye(2), ["a", "b"], ["a", "b"], "weights").content
    assert 'class="gat-heat upright"' in upright


def test_the_line_is_the_mean_and_the_band_the_range():
    def draw(*runs):
        return wide(curves([Curve("a", [0, 1], runs)], "alt", "x", "y", ylim=(0, 1)).content)

    def line(*runs):
        return [y for _, y in corners(draw(*runs), LINE)]

    runs = [[0.2, 0.2], [0.6, 0.6], [0.4, 0.7]]
    assert line(*runs) == pytest.approx(line([0.4, 0.5]), abs=0.02)
    assert "opacity: 0.18" not in draw([0.4, 0.5])
    shape = re.search(
        r'<path id="[^"]*" d="([^"]*)"/>\n?</defs>\n?.*\n.*opacity: 0.18', draw(*runs)
    )
    assert shape is not None
    ys = {float(y) for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", shape[1])}
    span = max(ys) - min(ys)  # from the least, 0.2, to the most, 0.7
    assert span == pytest.approx(line([0.2, 0.2])[0] - line([0.7, 0.7])[0], abs=0.05)


def test_logarithm_limits_shade_and_legend_reach_the_figure():
    line = [Curve("a", [0, 1], [[0.001, 1.0]]), Curve("b", [0, 1], [[0.01, 0.9]])]
    plain = curves(line, "alt", "x", "y").content
    for options in ({"ylim": None, "log": True}, {"ylim": (0, 2)}):
        other = curves(line, "alt", "x", "y", **options).content
        assert corners(other, LINE) != corners(plain, LINE)
    assert "never seen" in curves(line, "alt", "x", "y", shade=(0, 1, "never seen")).content
    assert curves(line, "alt", "x", "y", legend="upper right").content != plain


def test_labels_at_the_top_stay_inside():
    top = [Curve(f"line {k}", [0, 1], [[0.5, 1.0]]) for k in range(6)]
    content = wide(curves(top, "top", "x", "y").content)
    box_height = float(not_none(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', content))[1])
    heights = [
        float(not_none(re.search(r' y="([\d.]+)"', line))[1])
        for line in content.splitlines()
        if ">line " in line
    ]
    assert len(heights) == 6
    assert min(heights) > 0
    assert max(heights) < box_height


def test_curves_show_mean_range_and_labels():
    content = curves(lines(), "falls", "clauses", "share").content
    for word in ("looks back", "one &lt;vector&gt;", "clauses", "share"):
        assert word in content
    assert "고양이" in sketch().content


def test_strips_show_every_run_and_the_mean(monkeypatch):
    drawn = []
    plain = Picture("<svg/>", "dots")
    module = importlib.import_module("gatutils.book.figures.curves")
    monkeypatch.setattr(module, "picture", lambda figure, *_: drawn.append(figure) or plain)
    strips({"few": [1.0, 3.0], "<one>": [2.0]}, "dots", "share", {"few": "teal"}, "seeds")
    ax = drawn[0].axes[0]
    assert ax.get_xlabel() == "share"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["few", "<one>"]
    dots, bar, one, _ = ax.lines
    assert list(dots.get_xdata()) == [1, 3]
    assert list(bar.get_xdata()) == [2, 2]
    assert dots.get_color() == bar.get_color() == figures.SERIES["teal"][0]
    assert one.get_color() == figures.INK
    assert len(set(dots.get_ydata()) | set(one.get_ydata())) == 2  # a row each


def test_strips_are_a_picture():
    shown = strips({"<one>": [2.0]}, "a <dot>", "share", caption="a seed")
    assert (shown.alt, shown.caption) == ("a <dot>", "a seed")
    assert "&lt;one&gt;" in shown.content


@pytest.mark.parametrize(
    ("groups", "colors", "words"),
    [
        ({}, {}, "groups: expected one group or more, got none"),
        ({"a": []}, {}, r"groups\['a'\]: expected one finite number or more"),
        ({"a": [1.0, math.nan]}, {}, r"groups\['a'\]: expected one finite number"),
        ({"a": [1.0]}, {"b": "teal"}, "colors: expected some of a, got"),
        ({"a": [1.0]}, {"a": "key"}, "color: expected one of"),
    ],
)
def test_strips_refuse_what_they_cannot_draw(groups, colors, words):
    with pytest.raises(ValueError, match=words):
        strips(groups, "dots", "share", colors)


def test_labels_at_close_ends_do_not_overlap():
    close = [Curve(f"line {k}", [0, 1], [[1, 0.5 + k / 1000]]) for k in range(4)]
    content = wide(curves(close, "close", "x", "y").content)
    heights = sorted(
        float(not_none(re.search(r'y="([\d.]+)"|translate\([\d.]+ ([\d.]+)\)', line))[1])
        for line in content.splitlines()
        if ">line " in line
    )
    assert len(heights) == 4
    assert min(b - a for a, b in itertools.pairwise(heights)) > 10


def test_heat_map_is_a_table_with_its_numbers():
    table = not_none(ElementTree.fromstring(f"<p>{heat().content}</p>").find("table"))
    assert [th.findtext("span") for th in table.findall("thead/tr/th")] == ["the", "dog"]
    rows = table.findall("tbody/tr")
    assert [row.findtext("th") for row in rows] == ["개", "<를>"]
    assert [[td.findtext("span") for td in row.findall("td")] for row in rows] == [
        ["0.25", "0.75"],
        ["1.00", "0.00"],
    ]
    shades = [[td.get("style") for td in row.findall("td")] for row in rows]
    assert shades == [["--w:25%", "--w:75%"], ["--w:100%", "--w:0%"]]
    marked = heat(marks={(0, 1): "its own word"}).content
    assert 'class="mark"' in marked
    assert "개 ← dog: 0.75 (its own word)" in marked


FRUIT = {"lemon": [0.0, 1.0], "<b>": [0.6, 0.8], "apple": [0.8, 0.6], "melon": [1.0, 0.0]}
QUERIES = {'"apple"': [0.8, 0.6], "pear": [0.96, 0.28]}
ASKS, ASKED = ["고양이", "<가>", "개"], ["the", "cat"]
GIVEN = torch.tensor([[[0.25, 0.75], [0, 0], [1, 0]], [[0.5, 0.5], [1 / 3, 2 / 3], [0, 1]]])

SEES = torch.ones(3, 3).tril().bool()
LOOKS = torch.tensor([[1, 0, 0], [0, 0, 0], [0.25, 0, 0.75]])


def fruit(queries=QUERIES, keys=FRUIT, values=(1, 2, 3, 8), alt="a <lookup>", **options):
    return lookup(queries, keys, values, alt, **options)


def asking(weights=GIVEN, rows=ASKS, columns=ASKED, alt="who <asks>", **options):
    return heads(weights, rows, columns, alt, **options)


def parts(figure):
    """The custom element, its data, and its script."""
    found = not_none(re.fullmatch(r"(.*)<script>(.*)</script>", figure.content, re.S))
    element = ElementTree.fromstring(found[1])
    return element, json.loads(element.attrib["data-figure"]), found[2]


def masked(mask=SEES, weights=LOOKS, labels=ASKS, alt="whom <it> sees", **options):
    return masks({"<causal>": mask}, {"<causal>": weights}, labels, alt, **options)


LINKS = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 4)]
FIVE = Graph.from_edges(LINKS, 5, undirected=True).with_self_loops()
STATES = torch.tensor([[1.0, 0], [0, 1], [1, 1], [2, 0], [0, 2]])
W, A = torch.tensor([[1.0, 1], [1, -1]]), torch.tensor([-1, 0.5, 0.5, -1])


def attending(graph=FIVE, features=STATES, names=tuple("12345"), **options):
    given: dict[str, Any] = {"W": W, "a": A, "alt": "how <it> attends"} | options
    return graph_attention(graph, features, names=names, **given)


def passing():
    return message_passing(FIVE.without_self_loops(), STATES[:, :1], tuple("12345"), "one <round>")


def remembering():
    return gru_cell("what <it> keeps")


def pronouncing():
    said = {"one <vector>": ["K N IH T"], "attention": ["N"]}
    return pronounce(
        ["no"], [["N OW"]], said, [[[90, 10], [2, 98]]], [True], "no", "what it <says>"
    )


def sweeping():
    alone = [[[25, 25, 25, 25]] * 4]
    return minefield(["", "1", "1", "<b>"], [True, False] * 2, [5, 6, 7, 8], alone, "where <it> is")


def needing():
    line = Graph.from_edges([(0, 1), (1, 2)], 3, undirected=True)
    return receptive_field(line, [(0, 0), (1, 0), (2, 0)], "what it <needs>")


INTERACTIVE: list[Callable[..., Picture]] = [
    *(fruit, asking, masked, attending, passing, remembering, pronouncing, sweeping, needing)
]


@pytest.mark.parametrize("make", INTERACTIVE)
def test_interactive_figures_bring_all_they_need(make):
    assert make() == make()
    element, _, script = parts(make())
    assert element.get("role") == "group"
    named = {"a <lookup>", "who <asks>", "whom <it> sees", "how <it> attends"}
    named |= {"one <round>", "what <it> keeps", "what it <says>", "where <it> is"}
    named |= {"what it <needs>"}
    assert element.get("aria-label") in named
    for end in ("</script", "<!--", "http:", "https:", "import", "innerHTML +="):
        assert end not in script
    assert f'customElements.define("{element.tag}"' in script


@pytest.mark.parametrize("make", INTERACTIVE)
def test_interactive_figures_have_the_colours_of_the_page(make):
    content = make().content
    for role, color in re.findall(r"var\(--gat-(\w+), ?(#\w+)\)", content):
        assert color == figures.ROLES[role][0]
    bare = re.sub(r"var\(--gat-\w+, ?#\w+\)", "", html.unescape(content))
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(|: *(?:black|white)\b", bare)


def test_a_lookup_knows_its_scores():
    _, data, _ = parts(fruit(unit="won", start="pear"))
    assert [name for name, *_ in data["queries"]] == ['"apple"', "pear"]
    assert data["keys"][1] == ["<b>", "(0.6, 0.8)"]
    for (_, written, scores), query in zip(data["queries"], QUERIES.values(), strict=True):
        assert written == f"({query[0]:g}, {query[1]:g})"
        exact = torch.tensor(list(FRUIT.values())).double() @ torch.tensor(query).double()
        assert scores == pytest.approx(exact.tolist())
    assert (data["values"], data["unit"], data["start"]) == ([1, 2, 3, 8], " won", 1)


def test_keys_that_tie_on_paper_tie_in_the_dictionary():
    keys = {"a": [0.1, 0.3], "b": [0.7, 0.1]}  # 0.1 and 0.09999999999999999 with floats
    _, data, _ = parts(lookup({"q": [0.1, 0.3]}, keys, [1, 2], "ties"))
    assert len(set(data["queries"][0][2])) == 1
    assert data["start"] == 0


def test_a_lookup_is_a_table_at_five_temperatures():
    table = parts(fruit(unit="won", start="pear"))[0].find("table")
    assert table.findtext("caption") == "query pear (0.96, 0.28)"
    assert [th.text for th in table.findall("thead/tr")[1]] == ["0", "0.1", "1", "10", "∞"]
    scores = torch.tensor(list(FRUIT.values())).double() @ torch.tensor([0.96, 0.28]).double()
    values = torch.tensor([[1.0], [2], [3], [8]]).double()
    columns: list[Any] = [[0, 0, 0, 1.0]]
    columns += (attend(scores[None] / t, values)[1][0] for t in (0.1, 1, 10))
    columns.append([0.25] * 4)
    rows = table.findall("tbody/tr")
    assert ["".join(row.find("th").itertext()) for row in rows][1] == "<b> (0.6, 0.8)"
    for j, row in enumerate(rows):
        value, score, *weights = [td.text for td in row.findall("td")]
        assert (value, score) == (f"{values[j].item():g}", f"{scores[j]:.3f}")
        assert weights == [f"{column[j]:.2f}" for column in columns]
    results = [float(td.findtext("b")) for td in table.findall("tfoot/tr/td")]
    exact = [sum(w * v for w, v in zip(c, (1, 2, 3, 8), strict=True)) for c in columns]
    assert results == pytest.approx([float(x) for x in exact], abs=0.005)
    assert "won" in table.findtext("tfoot/tr/th")
    far = parts(lookup({"q": [100]}, {"a": [0], "b": [1]}, [0, 1], "far"))[0]
    assert [td.findtext("b") for td in far.findall("table/tfoot/tr/td")][-1] == "0.50"


def test_heads_are_tables_and_rounded_data():
    element, data, _ = parts(asking(names=["one", "<two>"], start=(1, 2), answers="gives"))
    tables = element.findall("div/table")
    assert [table.findtext("caption") for table in tables] == ["one", "<two>"]
    for table, head in zip(tables, GIVEN.tolist(), strict=True):
        rows = table.findall("tbody/tr")
        assert [row.findtext("th") for row in rows] == ASKS
        shown = [[td.findtext("span") for td in row.findall("td")] for row in rows]
        assert shown == [[f"{w:.2f}" for w in row] for row in head]
    assert data["weights"][1][1] == [0.3333, 0.6667]
    assert (data["rows"], data["columns"], data["names"]) == (ASKS, ASKED, ["one", "<two>"])
    assert (data["start"], data["asks"], data["answers"]) == ([1, 2], "attends to", "gives")
    assert parts(asking())[1]["names"] == ["head 1", "head 2"]
    assert asking().content.count(".gat-heat{") == 1
    nudged = asking(weights=GIVEN + 1e-6 * torch.tensor([1, -1]) * (GIVEN > 0.26) * (GIVEN < 1))
    assert nudged == asking()


def test_masks_are_tables_and_rounded_data():
    line = {2: (0, 5), 0: (-3, 5), 1: (7, 5)}
    element, data, _ = parts(masked(start=2, positions={"<causal>": line}))
    (table,) = element.iter("table")
    assert table.findtext("caption") == "<causal>"
    rows = table.findall("tbody/tr")
    assert [row.findtext("th") for row in rows] == ASKS
    shown = [[td.findtext("span") for td in row.findall("td")] for row in rows]
    assert shown == [[f"{w:.2f}" for w in row] for row in LOOKS.tolist()]
    hidden = [[td.get("class") == "mark" for td in row.findall("td")] for row in rows]
    assert hidden == (~SEES).tolist()
    assert rows[0].findall("td")[1].get("title") == "고양이 ← <가>: 0.00 (masked)"
    assert data["weights"] == [[[1, None, None], [0, 0, None], [0.25, 0, 0.75]]]
    assert (data["names"], data["labels"], data["start"]) == (["<causal>"], ASKS, 2)
    assert data["places"] == [[[0, 0.5], [1, 0.5], [0.3, 0.5]]]
    nudged = LOOKS + 1e-6 * torch.tensor([-1, 0, 1]) * (LOOKS > 0) * (LOOKS < 1)
    assert masked(weights=nudged) == masked()


def test_nodes_stand_on_a_circle_y_upwards_and_loops_look_outwards():
    assert circle(4)[1] == pytest.approx((1, 0))
    assert circle(4)[2] == pytest.approx((0, -1))
    every = torch.ones(4, 4, dtype=torch.bool)
    _, data, _ = parts(masked(every, torch.full((4, 4), 0.25), list("abcd")))
    assert data["places"] == [[[0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5]]]  # from the top, clockwise
    turned = [round(angle % math.tau, 3) for angle in data["loops"][0]]  # in SVG y points down
    assert turned == [round(k * math.pi / 2, 3) for k in (3, 0, 1, 2)]


def cells(figure):
    """The words of the still form, row by row, as far as it has one."""
    rows = parts(figure)[0].findall("table/*/tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def two(x):
    return f"{x:z.2f}".replace("-", "−")


def pair(row):
    return f"({two(row[0])}, {two(row[1])})"


def test_graph_attention_is_a_table_of_all_steps():
    figure = attending(names=["1", "<b>", "3", "4", "5"])
    assert parts(figure)[0].findtext("table/caption").replace("\xa0", " ") == (
        "what node 1 attends to; masked scores are struck out; "
        "W = [[1, 1], [1, −1]], a = [−1, 0.5, 0.5, −1]"
    )
    head, *body, foot = cells(figure)
    assert [word.replace("\xad", "") for word in head] == [
        *("nodej", "featureshj", "projectedW hj", "raw scorea · [W hi ‖ W hj]"),
        *("scoreeij, LeakyReLU", "weightαij", "weightedαij W hj"),
    ]
    assert body == [
        ["1", "(1, 0)", "(1.00, 1.00)", "−1.00", "−0.20", "0.16", "(0.16, 0.16)"],
        ["<b>", "(0, 1)", "(1.00, −1.00)", "1.00", "1.00", "0.52", "(0.52, −0.52)"],
        ["3", "(1, 1)", "(2.00, 0.00)", "0.50", "0.50", "0.32", "(0.64, 0.00)"],
        ["4", "(2, 0)", "(2.00, 2.00)", "−1.50", "−0.30", "0.00", "(0.00, 0.00)"],
        ["5", "(0, 2)", "(2.00, −2.00)", "2.50", "2.50", "0.00", "(0.00, 0.00)"],
    ]
    assert foot == ["sum", "1.00", "(1.32, −0.37)"]
    rows = parts(figure)[0].findall("table/tbody/tr")
    struck = [[j for j, cell in enumerate(row) if cell.find("s") is not None] for row in rows]
    assert struck == [[], [], [], [4], [4]]
    assert ["--gat-masked" in row.get("style", "") for row in rows] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("start", range(4))
def test_graph_attention_is_the_layer(start):
    """Arrows one way, a node that does not see itself, one that sees nobody."""
    graph = Graph.from_edges([(1, 0), (2, 0), (0, 1), (1, 1), (3, 1), (2, 2)], 4)
    torch.manual_seed(start)
    conv = GATConv(2, 2, negative_slope=0.3, bias=False).double()
    states = torch.randn(4, 2).double()
    before = torch.get_rng_state()
    figure = graph_attention(
        graph, states, conv.W[0], conv.a[0], list("abcd"), "any", start=start, slope=0.3
    )
    assert torch.equal(torch.get_rng_state(), before)  # what is drawn after it stays the same
    new, weights = conv.dense(states, graph.mask())
    projected = conv.project(states)[0]
    scores = pair_scores(conv, projected)[0, start]
    _, *body, foot = cells(figure)
    for j, (_, h, key, raw, score, weight, part) in enumerate(body):
        short = (f"{round(x, 2):g}".replace("-", "−") for x in states[j].tolist())
        assert h == f"({', '.join(short)})"
        assert key == pair(projected[j, 0])
        assert score == two(scores[j])
        assert float(raw.replace("−", "-")) == pytest.approx(
            scores[j].item() / (1 if scores[j] > 0 else 0.3), abs=0.0051
        )
        assert weight == two(weights[0, start, j])
        assert part == pair(weights[0, start, j] * projected[j, 0])
    assert foot == ["sum", two(weights[0, start].sum()), pair(new[start])]


def test_graph_attention_knows_what_is_given():
    line = [(0, 3), (0, 0), (1, 2.2), (2, 0), (3, 3)]
    features = STATES.clone()
    features[3, 0] = -2.1  # in float32 it is -2.0999999
    _, data, _ = parts(attending(features=features, start=2, step=4, slope=0.1, positions=line))
    assert data["features"] == [[1, 0], [0, 1], [1, 1], [-2.1, 0], [0, 2]]
    assert (data["W"], data["a"], data["slope"]) == ([[1, 1], [1, -1]], [-1, 0.5, 0.5, -1], 0.1)
    assert data["sees"] == [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3], [2, 3, 4], [3, 4]]
    assert (data["names"], data["start"], data["step"]) == (list("12345"), 2, 4)
    assert data["reach"] == 3
    places, r = data["places"], data["radius"]
    assert places[0][1] < places[2][1] < places[1][1]  # in SVG y points down
    assert places[0][0] == places[1][0] < places[2][0] < places[3][0] < places[4][0]
    assert min(math.dist(*ends) for ends in itertools.combinations(places, 2)) > 2 * r + 29
    for k in (0, 1):
        assert min(place[k] for place in places) == r + 20
        assert max(place[k] for place in places) == pytest.approx(data["size"][k] - r - 20)
    assert attending(positions=line) == attending(positions=[(2 * x, 2 * y) for x, y in line])
    assert attending(positions=None) == attending(positions=circle(5))
    assert parts(attending())[1]["step"] == 4  # weights, the figure's point
    one = attending(Graph.from_edges([], 1), STATES[:1], ["one"])
    assert parts(one)[1]["sees"] == [[]]
    assert cells(one)[-1] == ["sum", "0.00", "(0.00, 0.00)"]


def test_each_script_is_the_core_and_the_figures_own_files():
    files = {file.stem: file.read_text(encoding="utf-8") for file in JS.glob("*.js")}
    assert set(files) == {name for names in elements.SCRIPTS.values() for name in names}
    for tag, names in elements.SCRIPTS.items():
        script = elements.script(tag)
        for name, text in files.items():
            assert script.count(text) == (name in names), (tag, name)
        assert script.count(f'customElements.define("{tag}"') == 1
        assert script.startswith(f'(() => {{\nif (customElements.get("{tag}")) return;')


def test_stored_figures_have_the_scripts_of_their_elements():
    """nbval compares the outputs byte by byte; this says at once what would go out of date."""
    count = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                shown = "".join(output.get("data", {}).get("text/html", []))
                for tag in re.findall(r"<(gat-[a-z-]+) role=", shown):
                    assert f"<script>{elements.script(tag)}</script>" in shown, path.name
                    count += 1
    assert count >= 6


# ---- Graphs ----------------------------------------------------------------------------------


def strokes(content, style):
    """The ends of each stroke of that width."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke-width: {style}\b[^.]', content)
    return [[tuple(map(float, xy)) for xy in re.findall(r"([-\d.]+) ([-\d.]+)", d)] for d in paths]


def discs(content):
    """Middle and radius of each node; each is drawn twice, its ground and its rim."""
    found = []
    for d in re.findall(r'<path d="(M[^"]*C[^"]*z\s*)"', content):
        points = torch.tensor([float(v) for v in re.findall(r"-?[\d.]+", d)]).view(-1, 2)
        low, high = points.amin(dim=0), points.amax(dim=0)
        found.append((*((low + high) / 2).tolist(), ((high - low)[0] / 2).item()))
    return found[1::2]


def test_a_pair_is_a_line_one_way_an_arrow_and_a_node_looks_at_itself():
    content = net().content
    nodes = discs(content)
    assert len(nodes) == 4
    drawn = strokes(content, "1.1")
    plain = [ends for ends in drawn if len(ends) == 2]
    ends = [
        [min(range(4), key=lambda k: math.dist(p, nodes[k][:2])) for p in line] for line in plain
    ]
    assert ends == [[0, 1]]
    for line, joined in zip(plain, ends, strict=True):
        for point, k in zip(line, joined, strict=True):
            assert math.dist(point, nodes[k][:2]) == pytest.approx(nodes[k][2], abs=0.05)
    (loop,) = (line for line in drawn if len(line) == 24)
    assert {min(range(4), key=lambda k: math.dist(p, nodes[k][:2])) for p in loop} == {2}
    away = [math.dist(point, nodes[2][:2]) for point in loop]
    assert away[:: len(away) - 1] == pytest.approx([nodes[2][2]] * 2, abs=0.05)  # rim to rim
    assert max(away) == pytest.approx(1.95 * nodes[2][2], abs=0.2)
    one_way = Graph.from_edges([(1, 2)], 4)
    arrows = [line for line in strokes(net(one_way).content, "1.1") if len(line) > 2]
    assert len(arrows) == 2  # a line and its head
    tip = arrows[1][1]
    assert min(range(4), key=lambda k: math.dist(tip, nodes[k][:2])) == 2


def test_a_line_passes_under_a_node_in_between():
    three = Graph.from_edges([(0, 2)], 3, undirected=True)
    content = net(three, positions=[(0, 0), (1, 0), (2, 0)]).content
    (_, y, r), *_ = nodes = discs(content)
    pieces = strokes(content, "1.1")
    assert [[x for x, _ in piece] for piece in pieces] == [
        pytest.approx([nodes[k][0] + r, nodes[k + 1][0] - r], abs=0.05) for k in (0, 1)
    ]
    assert [v for piece in pieces for _, v in piece] == pytest.approx([y] * 4, abs=0.05)


def test_highlighted_edges_are_thick_arrows_in_the_colour_of_weights():
    content = net(highlight=[(1, 0), (2, 2)]).content
    thick = re.findall(r"stroke: var\(--gat-weight, #840b7c\)[^>]*stroke-width: 2.6", content)
    assert len(thick) == 2 + 1  # an arrow's line and head, and a loop
    assert not strokes(
        net(Graph.from_edges([(0, 1), (1, 0)], 2), highlight=[(0, 1)]).content, "1.1"
    )
    assert "--gat-weight" not in net().content


def test_lines_are_as_wide_as_their_weights():
    content = net(weights={(0, 1): 0.1, (2, 2): 0.25}).content
    stroke = r"stroke: var\(--gat-weight, #840b7c\)[^>]*stroke-width: ([\d.]+)"
    assert sorted(re.findall(stroke, content)) == ["2", "5"]  # a line without a head, and a loop
    assert "--gat-weight" not in net(weights={}).content


def test_colors_shades_names_notes_titles_and_legend_reach_the_picture():
    content = net(
        title="a <title>",
        names=["a", "b", "개", "d"],
        notes=["0.25", "0.98765", "", "<x>"],
        colors=["teal", "sky", None, "gold"],
        legend={"teal": "asks", "sky": "is asked"},
    ).content
    for word in ("a &lt;title&gt;", ">개<", "0.25", "0.98765", "&lt;x&gt;", ">asks<", ">is asked<"):
        assert word in content
    for color in ("teal", "sky", "gold"):
        assert f"var(--gat-{color}, " in content
    assert re.findall(r"opacity: ([\d.]+)", net(shades=[0, 0.5, 1, 0.1]).content) == [
        *("0", "0.45", "0.9", "0.09")
    ]
    on_text = net(shades=[0, 0.5, 1, 0.1], names=list("abcd")).content
    assert re.findall(r"opacity: ([\d.]+)", on_text) == ["0", "0.18", "0.36", "0.04"]


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_graphs_stand_in_rows_without_touching(columns):
    g = from_networkx(nx.cycle_graph(5)).with_self_loops()
    notes = ["[1, 0]", "[0.5, 0.5]", "x", "y", "[0.25, 0.75]"]
    panels = [Network(g, title=f"after {k}", notes=notes if columns == 1 else None) for k in "0123"]
    content = networks(panels, "four", columns=columns).content
    nodes = discs(content)
    assert len(nodes) == 20
    assert [r for *_, r in nodes] == pytest.approx([nodes[0][2]] * 20, abs=0.02)
    boxes = []
    for k in range(4):
        xs, ys, rs = zip(*nodes[5 * k : 5 * k + 5], strict=True)
        boxes.append((min(xs) - rs[0], max(xs) + rs[0], min(ys) - rs[0], max(ys) + rs[0]))
    for a, b in itertools.combinations(boxes, 2):
        assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]
    row = [box for box in boxes if abs(box[2] - boxes[0][2]) < 1]
    assert len(row) == (columns or 2)
    found = not_none(re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', content))
    width, height = map(float, found.groups())
    assert width == pytest.approx(5.2 * 72)
    assert all(min(a, c) > 0 and b < width and d < height for a, b, c, d in boxes)


def test_a_layout_that_differs_in_its_last_digits_is_the_same_picture():
    club = nx.karate_club_graph()
    graph, at = from_networkx(club), nx.kamada_kawai_layout(club)
    moved = {node: place + 1e-9 for node, place in at.items()}
    assert net(graph, positions=at) == net(graph, positions=moved)
    flat = [at[node].tolist() for node in range(34)]
    assert net(graph, positions=flat) == net(graph, positions=at)
    assert net(graph, positions=2 * torch.tensor(flat).double().numpy() + 7) == net(
        graph, positions=at
    )
    assert len(discs(net(graph, positions=at).content)) == 34


def test_a_graph_of_one_node_is_a_picture():
    ((_, _, r),) = discs(net(Graph.from_edges([(0, 0)], 1)).content)
    assert r == pytest.approx(0.2 * 72, rel=0.05)  # as large as nodes get


def test_labels_of_rows_have_room():
    assert "<thead><tr><td/>" not in heat().content
    assert "<td></td>" in heat().content
    assert '<td style="width:6.6em">' in heatmap(torch.eye(1), ["x" * 10], ["a"], "w").content


def test_saving_writes_the_whole_file(tmp_path):
    sketch().save(tmp_path / "a.svg")
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sketch(" "), "alt: expected a sentence"),
        (lambda: curves([], "a", "x", "y"), "lines: expected one curve"),
        (lambda: curves([Curve("l", [0, 1], [[1.0]])], "a", "x", "y"), r"runs: .*rows of 2"),
        (lambda: heatmap(torch.eye(2), ["a"], ["b", "c"], "w"), "rows: expected 2 labels, got 1"),
        (lambda: heatmap(torch.eye(2), ["a", "b"], ["c"], "w"), "columns: expected 2 labels"),
        (lambda: heatmap(torch.eye(2) * 2, ["a"] * 2, ["c"] * 2, "w"), "weights: .*0 to 1"),
        (lambda: heatmap(-torch.eye(2), ["a"] * 2, ["c"] * 2, "w"), "weights: .*0 to 1"),
        (lambda: curves([Curve("l", [], [[]])], "a", "x", "y"), r"runs: .*rows of 0"),
        (lambda: heatmap(torch.ones(2), ["a"] * 2, ["c"] * 2, "w"), "weights: .*two axes"),
        (lambda: heatmap(torch.eye(2), ["a"] * 2, ["c"] * 2, ""), "alt: "),
        (lambda: figures.role_color("quary"), "role: expected one of query, key"),
        (lambda: fruit(queries={}), "queries: expected one vector"),
        (lambda: fruit(keys={}, values=[]), "keys: expected one vector"),
        (lambda: fruit(values=[1, 2, 3]), "values: expected 4 numbers, got 3"),
        (lambda: fruit(queries={"q": [1.0]}), r"keys\['lemon'\]: expected 1 numbers, got 2"),
        (lambda: fruit(queries={"q": [1, 0], "r": [1]}), r"queries\['r'\]: expected 2 numbers"),
        (lambda: fruit(queries={"q": [1, float("nan")]}), r"queries\['q'\]: expected finite"),
        (lambda: fruit(values=[1, 2, 3, float("inf")]), "values: expected finite numbers"),
        (lambda: fruit(alt=""), "alt: expected a sentence"),
        (lambda: fruit(start="plum"), "start: expected one of .*pear, got 'plum'"),
        (lambda: asking(weights=GIVEN[0]), "weights: expected 3 axes"),
        (lambda: asking(weights=GIVEN[:0]), "names: expected one or more labels"),
        (lambda: asking(weights=GIVEN * 0.9), "weights: expected rows of numbers"),
        (lambda: asking(weights=GIVEN * float("nan")), "weights: expected rows of numbers"),
        (lambda: asking(weights=torch.tensor([[[2.0, -1]] * 3])), "weights: expected rows"),
        (lambda: asking(rows=["a"]), "rows: expected 3 labels, got 1"),
        (lambda: asking(columns=["a"]), "columns: expected 2 labels, got 1"),
        (lambda: asking(names=["a"]), "names: expected 2 labels, got 1"),
        (lambda: asking(start=(2, 0)), "start: expected less than 2, got 2"),
        (lambda: asking(start=(0, -1)), "start: expected an int of at least 0"),
        (lambda: asking(alt=" "), "alt: expected a sentence"),
        (lambda: masks({}, {}, ["a"], "m"), "masks: expected one mask"),
        (lambda: masked(labels=[]), "labels: expected one label"),
        (lambda: masked(labels=["a", "b"]), r"masks\['<causal>'\]: expected shape \(2, 2\)"),
        (lambda: masked(weights=LOOKS[:, :2]), r"weights\['<causal>'\]: expected shape \(3, 3\)"),
        (lambda: masked(weights=LOOKS * 0.9), r"weights\['<causal>'\]: expected rows of numbers"),
        (lambda: masked(weights=LOOKS.flip(1)), r"weights\['<causal>'\]: expected 0 where"),
        (lambda: masks({"a": SEES}, {"b": LOOKS}, ASKS, "m"), "weights: expected those of a"),
        (lambda: masked(positions={"b": circle(3)}), "positions: expected some of <causal>"),
        (lambda: masked(positions={"<causal>": circle(4)}), r"positions\[.*3 pairs \(x, y\)"),
        (lambda: masked(start=3), "start: expected less than 3, got 3"),
        (lambda: masked(alt=""), "alt: expected a sentence"),
        (lambda: attending(Graph.from_edges([], 0)), "graph: expected one node"),
        (lambda: attending(Graph.from_edges([(0, 1)] * 2, 5)), "graph: expected each edge once"),
        (lambda: attending(features=STATES[:4]), r"features: expected shape \(5, 2\), got \(4, 2"),
        (lambda: attending(features=STATES / 0), "features: expected finite numbers"),
        (lambda: attending(features=STATES.double() * 1e300, W=W * 1e30), "features: .*products"),
        (lambda: attending(W=W[:1]), r"W: expected shape \(2, 2\), got \(1, 2\)"),
        (lambda: attending(W=W[0]), "W: expected 2 axes"),
        (lambda: attending(a=A[:2]), r"a: expected shape \(4,\), got \(2,\)"),
        (lambda: attending(a=A * math.inf), "a: expected finite numbers"),
        (lambda: attending(names=["1"]), "names: expected 5 names, got 1"),
        (lambda: attending(alt=" "), "alt: expected a sentence"),
        (lambda: attending(start=5), "start: expected at most 4, got 5"),
        (lambda: attending(start=-1), "start: expected an int of at least 0"),
        (lambda: attending(step=0), "step: expected an int of at least 1"),
        (lambda: attending(step=6), "step: expected at most 5, got 6"),
        (lambda: attending(slope=1.5), "slope: expected a number from 0 to 1, got 1.5"),
        (lambda: attending(slope=math.nan), "slope: expected finite numbers"),
        (lambda: attending(positions=[(0, 0)] * 5), "positions: expected a place of its own"),
        (
            lambda: attending(positions=[(0, 1), (0, 0), (1, 0.5), (2, 0.5), (3, 0.5)]),
            "positions: expected no node between two others",
        ),
        (lambda: attending(positions=circle(4)), r"positions: expected 5 pairs \(x, y\)"),
        (lambda: networks([], "n"), "panels: expected one network"),
        (lambda: net(Graph.from_edges([], 0)), r"panels\[0\].graph: expected one node"),
        (lambda: net(names=["a"]), r"panels\[0\].names: expected 4 of them"),
        (lambda: net(notes=["a"] * 5), r"panels\[0\].notes: expected 4 of them"),
        (lambda: net(colors=["teal"]), r"panels\[0\].colors: expected 4 of them"),
        (lambda: net(colors=["key"] * 4), "color: expected one of teal"),
        (lambda: net(shades=[0, 0, 0, 2]), r"panels\[0\].shades: expected numbers from 0 to 1"),
        (lambda: net(highlight=[(2, 1)]), r"panels\[0\].highlight: .*graph, got \[\(2, 1\)\]"),
        (lambda: net(weights={(2, 1): 1}), r"panels\[0\].weights: .*graph, got \[\(2, 1\)\]"),
        (lambda: net(weights={(0, 1): -1}), r"panels\[0\].weights: .*0 or more, got -1"),
        (lambda: net(positions=[(0, 0)] * 4), r"panels\[0\].positions: expected a place of its"),
        (lambda: net(positions=[(0, 0)]), r"panels\[0\].positions: expected 4 pairs"),
        (lambda: net(positions={1: (0, 0)}), r"panels\[0\].positions: expected nodes 0 to 3"),
        (lambda: net(positions=[(0, math.nan)] * 4), r"panels\[0\].positions: expected finite"),
        (lambda: net(notes=["a long note " * 9] * 4), r"panels\[0\]: expected less around"),
        (lambda: net(columns=0), "columns: expected an int of at least 1"),
        (lambda: net(height=0.5), "height: expected 1 inch or more"),
        (lambda: heat(mask=torch.ones(1, 2).bool()), r"mask: expected shape \(2, 2\), got \(1, 2"),
        (lambda: net(legend={"kye": "key"}), "color: expected one of teal"),
        (lambda: net(alt=" "), "alt: expected a sentence"),
    ],
)
def test_bad_input_names_the_argument(unchecked, call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fruit(values="abcd"), "values: expected a sequence of Real"),
        (lambda: fruit(queries={"q": [1, "2"]}), r"queries\['q'\]: expected only Real"),
        (lambda: asking(weights=GIVEN.tolist()), "weights: expected a float tensor"),
        (lambda: asking(rows="abc"), "rows: expected a sequence of str"),
        (lambda: asking(start=(0.0, 1)), "start: expected only int"),
        (lambda: masked(mask=SEES.float()), r"masks\['<causal>'\]: expected a bool tensor"),
        (lambda: masked(weights=SEES), r"weights\['<causal>'\]: expected a float tensor"),
        (lambda: masked(labels="abc"), "labels: expected a sequence of str"),
        (lambda: masked(start=1.0), "start: expected an int"),
        (lambda: attending(FIVE.mask()), "graph: expected a Graph, got Tensor"),
        (lambda: attending(features=STATES.long()), "features: expected a float tensor"),
        (lambda: attending(W=W.tolist()), "W: expected a float tensor, got list"),
        (lambda: attending(names="12345"), "names: expected a sequence of str"),
        (lambda: attending(start=0.0), "start: expected an int"),
        (lambda: attending(step=True), "step: expected an int"),
        (lambda: attending(slope="0.2"), "slope: expected only Real"),
        (lambda: networks([FOUR], "n"), "panels: expected only Network"),  # type: ignore[list-item]
        (lambda: net(positions=["a"] * 4), r"panels\[0\].positions: expected pairs of numbers"),
    ],
)
def test_input_of_another_kind_names_the_argument(unchecked, call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_a_picture_is_only_data():
    assert Picture("<svg/>", "a") == Picture("<svg/>", "a")


def test_a_table_without_rows_is_a_table():
    assert "<tbody></tbody>" in heatmap(torch.zeros(0, 2), [], ["a", "b"], "nothing").content


@pytest.mark.parametrize("start", [(0,), (), (0, 0, 0), {0: 1}, 0, (0, 9), (-1, 0)])
def test_heads_refuse_a_start_that_is_none(unchecked, start):
    with pytest.raises((TypeError, ValueError), match="start: expected"):
        figures.heads(torch.eye(2).unsqueeze(0), ["a", "b"], ["a", "b"], "alt", start=start)


def test_heads_refuse_no_names(unchecked):
    with pytest.raises(ValueError, match="names: expected"):
        figures.heads(torch.eye(2).unsqueeze(0), ["a", "b"], ["a", "b"], "alt", names=[])


@pytest.mark.parametrize("numbers", [([1e200], [1e200]), ([1e200, 1e200], [1e200, -1e200])])
def test_lookup_refuses_products_that_overflow(unchecked, numbers):
    query, key = numbers
    with pytest.raises(ValueError, match="queries: expected numbers whose products"):
        figures.lookup({"q": query}, {"k": key}, [1.0], "alt")
