"""A mask and its graph: two interactive views of the same thing."""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from gatutils._checks import (
    expect,
    expect_int,
    expect_list,
    expect_tensor,
)
from gatutils.book.figures.core import TOLERANCE, Picture
from gatutils.book.figures.elements import element
from gatutils.book.figures.heads import distributions
from gatutils.book.figures.heatmaps import css_variable, heat_table, rounded_weight, side_by_side
from gatutils.book.figures.networks import Layout, node_places, open_sides


def masks(
    masks: Mapping[str, Bool[Tensor, "nodes nodes"]],
    weights: Mapping[str, Float[Tensor, "nodes nodes"]],
    labels: Sequence[str],
    alt: str,
    caption: str = "",
    start: int = 0,
    positions: Mapping[str, Layout] | None = None,
    tolerance: float = TOLERANCE,
) -> Picture:
    """Let the reader choose a node and see which nodes it attends to under each mask.

    Each mask is shown as a table and, below it, as a graph: an arrow leads from j to i where i
    attends to j. With up to seven nodes, three masks fit side by side. Without JavaScript the
    figure is one heat table per mask, in which the masked cells are hatched.

    Args:
        masks: Name -> True in row i and column j where node i may attend to node j.
        weights: Name -> what :func:`gatutils.attention.attend` returns under that mask; the row of
            a node that attends to nothing is zeros.
        labels: The nodes' names.
        alt: What the figure shows, in words.
        caption: A line below it.
        start: The node selected initially.
        positions: Name -> a pair (x, y) per node, with y pointing up; the nodes of a mask without
            positions are on a circle.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.

    Raises:
        TypeError: If a mask is not a bool tensor, weights are not a float tensor, or ``start`` is
            not an int.
        ValueError: If names or sizes do not match, a row of weights is not a distribution, or a
            masked weight is not 0.
    """
    expect_list(labels, "labels", str)
    n = len(labels)
    expect(n > 0, "labels", "one label or more", "none")
    expect(len(masks) > 0, "masks", "one mask or more", "none")
    expect(set(weights) == set(masks), "weights", f"those of {', '.join(masks)}", list(weights))
    positions = positions or {}
    expect(
        set(positions) <= set(masks), "positions", f"some of {', '.join(masks)}", list(positions)
    )
    expect(bool(alt.strip()), "alt", "a sentence that says what the figure shows", repr(alt))
    expect_int(start, "start", least=0)
    expect(start < n, "start", f"less than {n}", start)

    shown, places, loops, tables = [], [], [], []
    for name, mask in masks.items():
        for square, of, kind in ((mask, "masks", "bool"), (weights[name], "weights", "float")):
            expect_tensor(square, f"{of}[{name!r}]", kind, ndim=2, exact=True)
            fits = tuple(square.shape) == (n, n)
            expect(fits, f"{of}[{name!r}]", f"shape {(n, n)}", tuple(square.shape))
        given = distributions(weights[name], f"weights[{name!r}]")
        hidden = [(i, j) for i, j in (~mask).nonzero().tolist()]
        zero = all(given[i, j] == 0 for i, j in hidden)
        expect(zero, f"weights[{name!r}]", "0 where the mask hides", "others")
        shown.append([[rounded_weight(w) for w in row] for row in given.tolist()])
        for i, j in hidden:
            shown[-1][i][j] = None
        at = node_places(positions.get(name), f"positions[{name!r}]", n)
        at[:, 1] = 1 - at[:, 1]  # in SVG, y points down
        places.append(at.round(3).tolist())
        edges = [(j, i) for i, j in mask.nonzero().tolist()]
        loops.append([rounded_weight(angle) for angle in open_sides(at, edges)])
        marks = dict.fromkeys(hidden, "masked")
        tables.append(heat_table(given, labels, labels, title=name, marks=marks))
    data = {
        "names": list(masks),
        "labels": list(labels),
        "weights": shown,
        "places": places,
        "loops": loops,
        "start": start,
    }
    style = (
        "<style>.gat-masked .gat-heat td.mark{outline:0;background:repeating-linear-gradient("
        f"135deg,{css_variable('masked')} 0 1px,transparent 1px 5px)}}</style>"
    )
    still = f'{style}<div class="gat-masked">{side_by_side(tables)}</div>'
    return element("gat-masks", data, still, alt, caption, tolerance)
