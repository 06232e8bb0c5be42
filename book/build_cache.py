"""Speed up the build of the book: a Sphinx extension.

For each translated message MyST makes a new parser, and docutils a new set of default settings; for
each citation pybtex searches all installed packages for plugins. Autodoc reads the source of the
classes from which ours inherit, PyTorch's among them, for comments on attributes that no page
shows. Sphinx reads each page back from the disk to number its figures, though it is in memory. And
docutils walks through its trees with nested generators, so that each node found passes through all
those above it.
"""

import copy
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from docutils import frontend, nodes
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

PACKAGE = "gatutils"


class OwnSources(ModuleAnalyzer):
    """Reads the sources of what the book documents, and no other's."""

    @classmethod
    def for_module(cls, modname: str) -> ModuleAnalyzer:
        """Return a module's analysis, or say in autodoc's way that there is none."""
        if modname.partition(".")[0] != PACKAGE:
            raise PycodeError(f"{modname} is not documented here")
        return super().for_module(modname)


def find_all(self: nodes.Node) -> Iterator[nodes.Node]:
    """Walk through a node and all below it, in the order of the text."""
    yield self
    levels = [iter(self.children)]
    while levels:
        for node in levels[-1]:
            yield node
            if node.children:
                levels.append(iter(node.children))
                break
        else:
            levels.pop()


def find_instances(self: nodes.Node, cls: type) -> Iterator[nodes.Node]:
    """Walk through those that are instances of a class."""
    return (node for node in find_all(self) if isinstance(node, cls))


def setup(app: Any) -> dict[str, Any]:
    """Put what is quicker in the place of these functions."""
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

    for module in ("sphinx.ext.autodoc", "sphinx.ext.autodoc.importer"):
        analysed: Any = import_module(module)
        analysed.ModuleAnalyzer = OwnSources

    collector: Any = TocTreeCollector
    number = collector.assign_figure_numbers

    def assign_figure_numbers(self: Any, env: Any) -> Any:
        # Only here, where pages are only read: whoever asks for one later may change it.
        read, kept = env.get_doctree, env._write_doc_doctree_cache
        env.get_doctree = lambda page: kept.get(page) or read(page)
        try:
            return number(self, env)
        finally:
            env.__dict__.pop("get_doctree", None)

    collector.assign_figure_numbers = assign_figure_numbers

    node: Any = nodes.Node
    node._superfast_findall, node._fast_findall = find_all, find_instances
    return {"parallel_read_safe": True, "parallel_write_safe": True}
