"""``pytest --nbval`` compares our figures by their data, and all else as nbval does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from comparison import differences, is_figure

try:
    from nbval.plugin import IPyNbCell
except ImportError:  # without it no notebook is compared
    pass
else:
    compare_text = IPyNbCell.compare_outputs

    def compare_outputs(cell, shown, stored, skip_compare=None):
        """Return whether a cell shows what is stored; if not, say what differs."""
        cell.comparison_traceback = differences(stored, shown)
        if cell.comparison_traceback:
            return False
        rest = ([out for out in outputs if not is_figure(out)] for outputs in (shown, stored))
        return compare_text(cell, *rest, skip_compare)

    IPyNbCell.compare_outputs = compare_outputs
