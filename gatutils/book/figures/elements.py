"""Interactive figures: custom elements, each with its script."""

import html
import json
from importlib import resources

from gatutils.book.figures.core import Picture

__all__ = ["SCRIPTS", "element", "script"]

SCRIPTS = {
    "gat-lookup": ("core", "arrows", "lookup"),
    "gat-heads": ("core", "heads"),
    "gat-masks": ("core", "arrows", "masks"),
    "gat-attention": ("core", "arrows", "graph_attention"),
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
