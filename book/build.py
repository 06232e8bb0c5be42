"""Build the book: ``jupyter-book`` itself, with a quicker start.

Jupyter Book checks its settings by jsonschema, which reads 38 grammars of internet addresses where
it can import them (JupyterLab's events bring them). No setting of the book is checked by them.
"""

import sys
from importlib import import_module
from typing import Any

if __name__ == "__main__":
    del sys.path[0]  # this folder, whose scripts have names of packages
    modules: dict[str, Any] = sys.modules
    modules["rfc3987_syntax"] = None  # an import of it now fails, which jsonschema expects
    import_module("jupyter_book.cli.main").main()
