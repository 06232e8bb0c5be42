"""Interactive figures: custom elements, each with its script."""

import html
import json
import re
from importlib import resources

import torch
from torch import Tensor

from gatutils.book.figures.core import Picture

__all__ = ["SCRIPTS", "as_written", "element", "script", "trimmed", "two"]

SCRIPTS = {
    "gat-lookup": ("core", "arrows", "lookup"),
    "gat-heads": ("core", "heads"),
    "gat-masks": ("core", "arrows", "masks"),
    "gat-attention": (
        *("core", "numbers", "arrows"),
        *("graph_attention_page", "graph_attention_views", "graph_attention"),
    ),
    "gat-decoder": ("core", "decoder"),
    "gat-gru-cell": ("core", "numbers", "gru_cell"),
    "gat-message-passing": ("core", "arrows", "message_passing"),
    "gat-minefield": ("core", "minefield"),
    "gat-pronounce": ("core", "pronounce"),
    "gat-receptive-field": ("core", "arrows", "receptive_field"),
    "gat-self": ("core", "numbers", "self_attention"),
}
"""Custom element -> the files in ``js/`` that make up its script, in order."""


def element(
    tag: str, data: object, still: str, alt: str, caption: str, tolerance: float
) -> Picture:
    """Wrap a figure's static form in the custom element that its script makes interactive.

    Args:
        tag: The element, one of :data:`SCRIPTS`.
        data: What the script reads, as JSON.
        still: The static form, tables that are shown where no script runs.
        alt: What the figure shows, in words.
        caption: A line below it.
        tolerance: As in :func:`~gatutils.book.figures.core.picture`.
    """
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Picture(
        f'<{tag} role="group" aria-label="{html.escape(alt)}" '
        f'data-figure="{html.escape(written)}">{still}</{tag}><script>{script(tag)}</script>',
        alt,
        caption,
        tolerance=tolerance,
    )


def script(tag: str) -> str:
    """Return the script of a custom element; a page with several figures defines it once."""
    folder = resources.files("gatutils.book.figures").joinpath("js")
    parts = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS[tag]]
    body = "\n".join(parts)
    return f'(() => {{\nif (customElements.get("{tag}")) return;\n\n{body}}})();\n'


def as_written(tensor: Tensor) -> Tensor:
    """Return the numbers in double precision as they are written: 0.2, not 0.200000003."""
    numbers = [float(f"{x:.7g}") or 0.0 for x in tensor.flatten().tolist()]
    return torch.tensor(numbers, dtype=torch.float64).view(tensor.shape)


def two(number: float) -> str:
    """Write a number with two decimals and a real minus sign."""
    return f"{number:z.2f}".replace("-", "−")


def trimmed(number: float) -> str:
    """Write a number with two decimals at most: 1, 0.5."""
    return re.sub(r"\.?0+$", "", two(number))
