"""What a build of the book would compute thousands of times, computed once: a Sphinx extension.

For each message that it translates, MyST makes a parser, and docutils the default settings of a
document that MyST does not use. For each citation, pybtex asks every installed package for plugins.
"""

import copy
from functools import cache
from importlib import import_module
from typing import Any

from docutils import frontend


def setup(app: Any) -> dict[str, Any]:
    """Let these functions keep what they return."""
    settings = cache(frontend.get_default_settings)
    frontend.get_default_settings = lambda *components: copy.copy(settings(*components))

    markdown: Any = import_module("myst_parser.parsers.sphinx_")
    make, parsers = markdown.create_md_parser, dict[tuple[int, Any], tuple[Any, Any]]()

    def create_md_parser(config: Any, renderer: Any) -> Any:
        # With the configuration, which cannot be hashed, so that its id remains its own.
        key = id(config), renderer
        if key not in parsers:
            parsers[key] = make(config, renderer), config
        return parsers[key][0]

    markdown.create_md_parser = create_md_parser
    plugins: Any = import_module("pybtex.plugin")
    plugins.entry_points = cache(plugins.entry_points)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
