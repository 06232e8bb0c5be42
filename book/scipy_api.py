"""SciPy's own API as a citation graph: writes ``gatutils/book/tasks/scipy_api.npz``.

``python book/scipy_api.py`` reads the Python sources of the installed SciPy 1.17.1 with ``ast``;
no module of SciPy is imported, and nothing is downloaded.

Nodes are SciPy's public functions and classes. Public is, as SciPy itself defines it, what the
docstring of a public module lists under ``.. autosummary::``; a module is public if no part of
its name begins with an underscore and it has a docstring (the old module names, kept for old
code, have none). A distribution such as ``stats.norm`` is the one instance of its class, and
counts as that class. What is listed under several names is one node, with the name that its
definition bears, in the outermost module that lists it.

The summary of a node is the first paragraph of its docstring. Compiled functions have theirs
elsewhere: many of ``scipy.special`` in ``special/_add_newdocs.py``, the others as the words
beside their name in the module's list. What has neither (the routines of BLAS and LAPACK) is no
node.

An edge joins two nodes if one's docstring names the other under See Also or as ``:func:`` or
``:class:``, or if one's source uses the other. Names are followed through imports to where they
are defined. A method stands for its class. What a function uses through a private helper is not
seen, nor what compiled code uses.

The label is the subpackage. Nodes without an edge and subpackages with fewer than 40 connected
nodes are dropped, until there are none.

The words are those of the summaries in small letters, of three letters or more. Left out are the
names of subpackages and of public modules in them, which would give the label away, stop words, and
words of fewer than three summaries.

Taken from SciPy are the names, the edges, the labels and how often which word is in a summary;
no sentence is. The licence is in the file.
"""

import ast
import io
import os
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from inspect import cleandoc
from itertools import chain
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "gatutils" / "book" / "tasks" / "scipy_api.npz"
VERSION = "1.17.1"
LEAST_NODES = 40  # of a class
LEAST_SUMMARIES = 3  # of a word
STOP_WORDS = {
    "about", "all", "also", "and", "any", "are", "between", "both", "but", "can", "each",
    "either", "for", "from", "given", "has", "have", "how", "into", "its", "like", "may", "more",
    "not", "one", "only", "other", "over", "same", "such", "than", "that", "the", "their", "them",
    "then", "there", "these", "this", "those", "through", "two", "under", "use", "used", "uses",
    "using", "via", "was", "when", "where", "which", "while", "will", "with", "within", "without",
}  # fmt: skip

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


def folder() -> Path:
    """Return where SciPy is installed; refuse another version than the one that is shipped."""
    try:
        found = distribution("scipy").version
    except PackageNotFoundError:
        found = "none"
    if found != VERSION:
        raise SystemExit(f"scipy: expected version {VERSION}, got {found}")
    spec = find_spec("scipy")  # found, not imported
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def licence() -> str:
    """Return where the data come from, and SciPy's own licence; its bundled code's is left out."""
    whole = distribution("scipy").read_text("LICENSE.txt")
    assert whole is not None
    own = whole.split("\n----")[0].strip()
    return f"Made from SciPy {VERSION}, https://scipy.org, by book/scipy_api.py.\n\n{own}\n"


# --- what a name means ----------------------------------------------------------------------------


class Module:
    """One source file: what it defines, and what it imports."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.doc = ast.get_docstring(tree) or ""
        self.defined: dict[str, Definition] = {}
        self.imported: dict[str, tuple[str, str]] = {}  # name here -> module, name there
        self.stars: list[str] = []
        self.exports: set[str] | None = None  # None: every name without an underscore
        for node in ast.walk(tree):  # imports inside functions too
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    self.imported[alias.asname or top] = (alias.name if alias.asname else top, "")
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                for alias in node.names:
                    if alias.name == "*":
                        self.stars.insert(0, origin)  # the last import wins
                    else:
                        self.imported[alias.asname or alias.name] = (origin, alias.name)
        assigned: dict[str, Definition] = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.defined[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id, node.value
                if isinstance(value, ast.Call):
                    assigned[name] = node
                elif isinstance(value, ast.Name):  # a second name
                    self.imported[name] = (self.name, value.id)
                elif name == "__all__" and isinstance(value, ast.List):
                    self.exports = {str(e.value) for e in value.elts if isinstance(e, ast.Constant)}
            elif isinstance(node, ast.AugAssign) and ast.unparse(node.target) == "__all__":
                self.exports = None
        self.defined = assigned | self.defined

    def shows(self, name: str) -> bool:
        """Say whether ``import *`` takes the name along."""
        return not name.startswith("_") if self.exports is None else name in self.exports

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.package.split(".")
        return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def private(name: str) -> bool:
    """Say whether a part of a dotted name begins with an underscore, or is of the tests."""
    return any(part.startswith("_") or part == "tests" for part in name.split("."))


class Sources:
    """All of SciPy's modules, parsed when they are first needed."""

    def __init__(self, root: Path) -> None:
        self.paths = {}
        for path in root.rglob("*.py"):
            parts = path.relative_to(root.parent).with_suffix("").parts
            self.paths[".".join(parts).removesuffix(".__init__")] = path
        self.module = cache(lambda name: Module(name, self.paths[name]))
        self.locate = cache(self._locate)

    def _locate(self, module: str, name: str) -> str:
        """Return the dotted name of what ``name`` stands for in ``module``.

        What no source defines counts as defined where it is looked for; if that is compiled, in
        the public package that holds it.
        """
        return self._find(module, name, frozenset()) or f"{module}.{name}"

    def _find(self, module: str, name: str, seen: frozenset[tuple[str, str]]) -> str | None:
        if module not in self.paths:  # compiled
            while private(module):
                module = module.rpartition(".")[0]
            return f"{module}.{name}"
        if (module, name) in seen:  # modules import each other
            return None
        here, seen = self.module(module), seen | {(module, name)}
        if name in here.defined:
            return f"{module}.{name}"
        if name in here.imported:
            origin = here.imported[name]
            if not origin[1]:
                return origin[0]
            found = None if origin in seen else self._find(*origin, seen)
            if found or origin[0] != module:
                return found or ".".join(origin)
        if f"{module}.{name}" in self.paths:
            return f"{module}.{name}"
        for star in here.stars:
            if star in self.paths and self.module(star).shows(name):
                found = self._find(star, name, seen)
                if found:
                    return found
        return None

    def definition(self, located: str) -> Definition | None:
        """Return the statement that defines what :meth:`locate` has found, unless compiled."""
        module, _, name = located.rpartition(".")
        return self.module(module).defined.get(name) if module in self.paths else None

    def made_of(self, located: str) -> list[Definition]:
        """Return that statement; behind it, if it makes an instance of a class, the class."""
        first = self.definition(located)
        if not isinstance(first, ast.Assign):
            return [first] if first else []
        assert isinstance(first.value, ast.Call)  # no other assignment defines a name
        called = f"{located.rpartition('.')[0]}.{ast.unparse(first.value.func)}"
        second = self.definition(called)
        return [first, second] if isinstance(second, ast.ClassDef) else [first]


# --- nodes ----------------------------------------------------------------------------------------


def listed(doc: str) -> Iterator[tuple[str, str]]:
    """Yield each name of a docstring's autosummaries, and what is said beside it."""
    inside = False
    for line in doc.replace("\\\n", " ").splitlines():
        if line.startswith(".. autosummary::"):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        entry = re.fullmatch(r" +([A-Za-z][\w.]*)(?:\s+-+\s*(.*))?\s*", line)
        if inside and entry:
            yield entry[1], entry[2] or ""


class Node:
    """A public function or class.

    Attributes:
        name: Its public name, without ``scipy.`` before it.
        module: The public module that lists it.
        home: The module that defines it.
        made_of: The statements that define it; none if it is compiled.
        doc: Its docstring, or what stands in its place.
    """

    def __init__(self, name: str, beside: str, located: str, sources: Sources) -> None:
        self.name = name
        self.module = f"scipy.{name}".rpartition(".")[0]
        self.home = located.rpartition(".")[0]
        self.made_of = sources.made_of(located)
        docs = [_doc(statement) for statement in self.made_of]
        if not self.made_of and self.module == "scipy.special":
            docs.append(_special_docs(sources).get(name.rpartition(".")[2], ""))
        self.doc = cleandoc(next(filter(None, [*docs, beside]), ""))

    @property
    def summary(self) -> str:
        """The first paragraph that is not the call's pattern, as in ``gamma(z, out=None)``."""
        for paragraph in re.split(r"\n\s*\n", self.doc):
            if not re.match(r"[\w.]+\(.*\)$", paragraph, re.DOTALL):
                return paragraph
        return ""


def _doc(statement: Definition) -> str:
    """Return a docstring; of an assignment the long string that its call is given."""
    if not isinstance(statement, ast.Assign):
        return ast.get_docstring(statement) or ""
    assert isinstance(statement.value, ast.Call)
    values = [a.value for a in statement.value.args if isinstance(a, ast.Constant)]
    return next((v for v in values if isinstance(v, str) and "\n" in v), "")


@cache
def _special_docs(sources: Sources) -> dict[str, str]:
    tree = ast.parse(sources.paths["scipy.special._add_newdocs"].read_text(encoding="utf-8"))
    calls = [
        n.value for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)
    ]
    return {ast.literal_eval(c.args[0]): ast.literal_eval(c.args[1]) for c in calls}


def public_modules(sources: Sources) -> list[str]:
    """Return the names of the public modules."""
    names = sorted(name for name in sources.paths if not private(name))
    return [name for name in names if sources.module(name).doc]


def find_nodes(sources: Sources) -> dict[str, Node]:
    """Return the public functions and classes that have a summary, by where they are defined."""
    names: dict[str, list[tuple[bool, int, str, str]]] = defaultdict(list)
    for module in public_modules(sources):
        for entry, beside in listed(sources.module(module).doc):
            within, _, name = f"{module}.{entry}".rpartition(".")
            located = sources.locate(within, name)
            if located not in sources.paths:  # no module
                public = f"{within}.{name}".removeprefix("scipy.")
                own = located.endswith(f".{name}")
                names[located].append((not own, public.count("."), public, beside))
    nodes = {at: Node(*min(found)[2:], at, sources) for at, found in names.items()}
    return {at: node for at, node in nodes.items() if node.summary}


# --- edges ----------------------------------------------------------------------------------------


def find(base: str, dotted: str, nodes: dict[str, Node], sources: Sources) -> str | None:
    """Return the node that a dotted name, seen from a module, stands for or lies in."""
    at = base
    for part in dotted.split("."):
        if at not in sources.paths:
            return None
        at = sources.locate(at, part)
        if at in nodes:
            return at
    return None


def named(doc: str) -> Iterator[str]:
    """Yield the names under See Also, and those that are ``:func:`` or ``:class:``."""
    yield from re.findall(r":(?:func|class):`~?([\w.]+)`", doc)
    section = re.search(r"^See Also\n-+\n(.*?)(?=^[^\n]+\n---|\Z)", doc, re.DOTALL | re.MULTILINE)
    for line in section[1].splitlines() if section else ():
        if not line.startswith(" "):
            plain = re.sub(r"(?::[\w:]+:)?`~?([\w.]+)`", r"\1", line)
            names = re.split(r"\s*:(?:\s|$)", plain)[0].rstrip(",").split(",")
            if all(re.fullmatch(r"[\w.]+", name.strip()) for name in names):  # else it is prose
                yield from map(str.strip, names)


def used(statement: Definition) -> Iterator[str]:
    """Yield the dotted names that a definition reads, but for those that are its own variables."""
    parts = statement.body if isinstance(statement, ast.ClassDef) else []
    inner = [p for p in parts if isinstance(p, ast.FunctionDef)]
    for method in inner:
        yield from used(method)
    skipped = set(chain.from_iterable(map(ast.walk, inner)))
    own = [node for node in ast.walk(statement) if node not in skipped]
    hidden = {n.arg for n in own if isinstance(n, ast.arg)}
    hidden |= {n.id for n in own if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    for node in own:
        if isinstance(node, ast.Name | ast.Attribute):
            dotted = ast.unparse(node)
            if re.fullmatch(r"[\w.]+", dotted) and dotted.partition(".")[0] not in hidden:
                yield dotted


def find_edges(nodes: dict[str, Node], sources: Sources) -> set[tuple[str, str]]:
    """Return the pairs of nodes of which one names or uses the other, each once, in order."""
    pairs = set()
    for at, node in nodes.items():
        found = {find(node.home, name, nodes, sources) for s in node.made_of for name in used(s)}
        parents = [node.module]
        while "." in parents[-1]:
            parents.append(parents[-1].rpartition(".")[0])
        for name in named(node.doc):
            bases = ["scipy"] if name.startswith("scipy.") else [*parents, node.home]
            hits = (find(base, name.removeprefix("scipy."), nodes, sources) for base in bases)
            found.add(next(filter(None, hits), None))
        pairs |= {(min(at, other), max(at, other)) for other in found - {None, at} if other}
    return pairs


def keep(nodes: dict[str, Node], edges: set[tuple[str, str]]) -> dict[str, Node]:
    """Drop nodes without an edge and classes with too few, until there are none."""
    while True:
        connected = {end for pair in edges if set(pair) <= nodes.keys() for end in pair}
        sizes = Counter(label(nodes[at]) for at in connected)
        kept = {at: n for at, n in nodes.items() if at in connected}
        kept = {at: n for at, n in kept.items() if sizes[label(n)] >= LEAST_NODES}
        if len(kept) == len(nodes):
            return dict(sorted(kept.items(), key=lambda item: item[1].name))
        nodes = kept


def label(node: Node) -> str:
    """Return the subpackage of a node."""
    return node.name.partition(".")[0]


# --- words ----------------------------------------------------------------------------------------


def bags(nodes: dict[str, Node], sources: Sources) -> list[Counter[str]]:
    """Count the words of each summary."""
    told = {part for module in public_modules(sources) for part in module.split(".")}
    found = [re.findall(r"[a-z]{3,}", node.summary.lower()) for node in nodes.values()]
    count = [Counter(w for w in words if w not in STOP_WORDS | told) for words in found]
    summaries = Counter(chain.from_iterable(count))
    common = {w for w, n in summaries.items() if n >= LEAST_SUMMARIES}
    return [Counter({w: n for w, n in bag.items() if w in common}) for bag in count]


# --- the file -------------------------------------------------------------------------------------


def build() -> dict[str, np.ndarray]:
    """Return the arrays of the file.

    ``names``, ``classes`` and ``words`` are texts; ``labels`` are numbers of classes, one a node;
    ``edges`` are pairs of numbers of nodes; ``counts`` are triples: node, word, how often.
    """
    sources = Sources(folder())
    nodes = find_nodes(sources)
    edges = find_edges(nodes, sources)
    nodes = keep(nodes, edges)
    number = {at: i for i, at in enumerate(nodes)}
    pairs = [sorted((number[a], number[b])) for a, b in edges if a in nodes and b in nodes]
    classes = sorted({label(node) for node in nodes.values()})
    bag = bags(nodes, sources)
    words = sorted(set(chain.from_iterable(bag)))
    place = {word: i for i, word in enumerate(words)}
    counts = [(i, place[w], n) for i, b in enumerate(bag) for w, n in sorted(b.items())]
    return {
        "licence": np.array(licence()),
        "names": np.array([node.name for node in nodes.values()]),
        "classes": np.array(classes),
        "words": np.array(words),
        "labels": np.array([classes.index(label(n)) for n in nodes.values()], dtype=np.uint8),
        "edges": np.array(sorted(pairs), dtype=np.uint16),
        "counts": np.array(counts, dtype=np.uint16),
    }


def write(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write what ``numpy.load`` reads: the same bytes for the same arrays, all of it or nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whenever it is written
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=9)
    draft = path.with_suffix(".tmp")
    draft.write_bytes(packed.getvalue())
    os.replace(draft, path)


if __name__ == "__main__":
    write(build(), TARGET)
