"""Caches for what a build of the book would compute thousands of times: a Sphinx extension.

For each translated message MyST makes a new parser, and docutils a new set of default settings; for
each citation pybtex searches all installed packages for plugins.
"""

import copy
from functools import cache
from importlib import import_module
from typing import Any

from docutils import frontend


def setup(app: Any) -> dict[str, Any]:
    """Cache what these functions return."""
    settings = cache(frontend.get_default_settings)
    frontend.get_default_settings = lambda *components: copy.copy(settings(*components))

    markdown: Any = import_module("myst_parser.parsers.sphinx_")
    make, parsers = markdown.create_md_parser, dict[tuple[int, Any], tuple[Any, Any]]()

    def create_md_parser(config: Any, renderer: Any) -> Any:
        # The configuration is kept alive, as its id could be reused otherwise.
        key = id(config), renderer
        if key not in parsers:
            parsers[key] = make(config, renderer), config
        return parsers[key][0]

    markdown.create_md_parser = create_md_parser
    plugins: Any = import_module("pybtex.plugin")
    plugins.entry_points = cache(plugins.entry_points)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
