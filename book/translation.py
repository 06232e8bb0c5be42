"""The book in another language: a Sphinx extension beside Sphinx's own catalogues.

Sphinx translates what stands in Markdown. The captions, the alternative texts and the headings of
tables come from the notebooks' stored outputs, and the words of interactive figures from their
scripts, which Sphinx does not read. Here they join the catalogue of their page, and are replaced
when the page is built. ``BOOK_LANGUAGE`` names the language of a build.
"""

import gc
import html
import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po
from docutils import nodes
from sphinx.builders.gettext import Catalog, MsgOrigin
from sphinx.ext import viewcode
from sphinx.search import SearchLanguage
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.i18n import CatalogInfo
from sphinx.util.nodes import extract_messages

LOGGER = logging.getLogger(__name__)

LANGUAGES = {"en": "English", "ko": "한국어"}
"""Each language's code -> its own name for itself. The first is that of the sources."""

TITLE, SEARCH = "Attention, from sequences to graphs", "Search this book..."

PROMPTS = "checked", "code", "setup"
"""The words under which cells are folded."""

THEME = {
    "sphinx": (
        *("Back to top", "Breadcrumb", "Color mode", "Collapse Sidebar", "Dark", "Expand Sidebar"),
        *("Home", "Light", "Link to this heading", "On this page", "Search", "Site navigation"),
        *("Skip to main content", "System Settings", "Version warning"),
        *("next page", "previous page"),
    ),
    "booktheme": ("By", "Contents"),
}
"""Words of the theme that its own catalogues lack, or translate badly."""

LABELS = (
    *("Main", "Page"),
    *("Toggle hidden content", "Toggle primary sidebar", "Toggle secondary sidebar"),
)
"""What the theme and MyST-NB write into attributes in English, whatever the language."""

HOME = "book/index"

CATALOGUES = Path(__file__).parent / "locale"

UNTRANSLATED = ("book/api/", "book/references")
"""Docstrings and the bibliography stay in English."""

SOURCES = "_modules/"
"""Pages of source code, which only the first edition has; the others link to them there."""

WORDED = {
    "gat-attention": ("columns",),
    "gat-gru-cell": ("labels",),
    "gat-heads": ("rows", "columns", "names", "choice", "asks", "answers"),
    "gat-lookup": ("axes",),
    "gat-masks": ("names",),
    "gat-pronounce": ("models",),
}
"""An interactive figure's element -> the keys of its data that are words to read, at any depth."""

# What a reader reads of an output, apart from what is drawn: parts of tables, captions, alternative
# texts. Programs and drawings are passed over, except for words that a script marks by say`...`,
# and for those in the data of an interactive figure.
PART = re.compile(
    r"""(?P<skip><(?P<tag>style|pre)\b.*?</(?P=tag)>|<text\b.*?</text>)
    |(?P<script><script\b.*?</script>)
    |(?P<figure><(?P<element>gat-[\w-]+)\b[^>]*?)\bdata-figure="(?P<data>[^"]*)"
    |(?P<open><(?P<name>figcaption|caption|th|td)\b[^>]*>)(?P<inner>.*?)(?=</(?P=name)>)
    |(?P<label>\baria-label=)"(?P<value>[^"]*)\"""",
    re.DOTALL | re.VERBOSE,
)
# The home page's drawing has words, unlike the plots, whose terms stay in English.
DRAWN = re.compile(r'(<text\b[^>]*>|\baria-label=")([^<"]+)')
# The title of an exercise stands after the name of its directive, where Sphinx does not look.
EXERCISE = re.compile(r"(?<=\{exercise-start\} )(.+)$", re.MULTILINE)
SAID = re.compile(r"(?<![\w.])say`((?:[^`\\]|\\.)*)`", re.DOTALL)
MARKUP = re.compile(r"<[^>]*>|&[#\w]+;")
WORDS = re.compile(r"[A-Za-z]{2,}")
HANGUL = re.compile(r"[가-힣]")


def is_prose(text: str) -> bool:
    """Tell whether a part of an output has words."""
    return bool(WORDS.search(MARKUP.sub(" ", text)))


def reworded(found: Any, with_: Callable[[str], str], lines: bool = False) -> Any:
    """Return a part of a figure's data with its words replaced.

    A list in a list holds the lines of one label, which are one message: ``sum of<br/>messages``.
    """
    match found:
        case str():
            return with_(found) if is_prose(found) else found
        case dict():
            return {key: reworded(value, with_) for key, value in found.items()}
        case list() if lines:
            return reworded("<br/>".join(found), with_).split("<br/>")
        case list():
            return [reworded(one, with_, lines=isinstance(one, list)) for one in found]
    return found


def redescribed(element: str, data: Any, with_: Callable[[str], str]) -> Any:
    """Return the data of an interactive figure with all that is read of it replaced."""
    if not isinstance(data, dict):
        return data
    return {
        key: reworded(value, with_)
        if key in WORDED.get(element, ())
        else redescribed(element, value, with_)
        for key, value in data.items()
    }


def replaced(output: str, with_: Callable[[str], str]) -> str:
    """Return an output's HTML with each of its messages replaced."""

    def part(found: re.Match[str]) -> str:
        if found["script"]:
            return SAID.sub(lambda said: f"say`{with_(said[1])}`", found["script"])
        if found["figure"]:
            data = redescribed(found["element"], json.loads(html.unescape(found["data"])), with_)
            # As gatutils.book.figures.elements writes it.
            written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return f'{PART.sub(part, found["figure"])}data-figure="{html.escape(written)}"'
        if found["name"]:
            # A cell may carry a label of its own.
            opening = PART.sub(part, found["open"])
            inner = found["inner"]
            return opening + (with_(inner) if is_prose(inner) else inner)
        if found["label"] and is_prose(found["value"]):
            value = with_(found["value"]).replace('"', "&quot;")
            return f'{found["label"]}"{value}"'
        return found[0]

    return PART.sub(part, output)


def redrawn(drawing: str, with_: Callable[[str], str]) -> str:
    """Return a drawing's HTML with its words and labels replaced."""
    return DRAWN.sub(
        lambda found: found[1] + with_(found[2]) if is_prose(found[2]) else found[0], drawing
    )


def rewrite(notebook: dict[str, Any], with_: Callable[[str], str]) -> None:
    """Replace in place each message of a notebook that Sphinx does not read."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            cell["source"] = EXERCISE.sub(lambda title: with_(title[0]), text)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = replaced("".join(data["text/html"]), with_)


def messages(notebook: dict[str, Any]) -> list[str]:
    """Return the messages of a notebook that Sphinx does not read, each once, in their order."""
    found: dict[str, None] = {}

    def note(text: str) -> str:
        found[text] = None
        return text

    rewrite(notebook, note)
    return list(found)


@cache
def catalogue(language: str, page: str) -> dict[str, str]:
    """Return what is translated of a page: its messages -> their translations."""
    path = CATALOGUES / language / "LC_MESSAGES" / f"{page}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        read = read_po(file)
    return {str(m.id): str(m.string) for m in read if m.id and m.string and not m.fuzzy}


def _set_language(app: Any) -> None:
    """Let ``BOOK_LANGUAGE`` decide the language, with Sphinx's own words in it too."""
    language = os.environ.get("BOOK_LANGUAGE", "en")
    if language not in LANGUAGES:
        raise ValueError(f"BOOK_LANGUAGE: expected one of {', '.join(LANGUAGES)}, got {language!r}")
    words = catalogue(language, "sphinx")
    title = words.get(TITLE, TITLE)
    app.config.overrides.update(
        {
            "language": language,
            "html_search_language": language,
            **dict.fromkeys(("html_title", "project", "ogp_site_name"), title),
        }
    )
    for key in ("nb_code_prompt_show", "nb_code_prompt_hide"):
        app.config.overrides[key] = words.get("code", "code")
    theme = app.config.overrides["html_theme_options"]
    theme["search_bar_text"] = words.get(SEARCH, SEARCH)
    theme["logo"] = {"alt_text": f"{title} - {words.get('Home', 'Home')}"} | theme.get("logo", {})
    app.config.language = language
    for domain in THEME:
        compiled = CatalogInfo(str(CATALOGUES / language / "LC_MESSAGES"), domain, "utf-8")
        if Path(compiled.po_path).exists():
            compiled.write_mo(language)
    app._init_i18n()  # extensions are loaded after the words of Sphinx
    app.add_message_catalog("booktheme", str(CATALOGUES))


def _translated(app: Any, page: str) -> bool:
    """Tell whether a page is in another language than its source."""
    return app.config.language != "en" and not page.startswith(UNTRANSLATED)


def _lacks(page: str, text: str) -> None:
    """Warn, so that no build with -W shows English on a translated page."""
    LOGGER.warning("%s is not translated: %r; see `make translate`", page, text[:70])


def _translation(app: Any, page: str) -> Callable[[str], str]:
    """Return what translates a page's messages, and warns of those that it does not know."""
    known = catalogue(app.config.language, page)

    def translation(text: str) -> str:
        if text not in known:
            _lacks(page, text)
        return known.get(text, text)

    return translation


def _translate_parts(app: Any) -> None:
    """Translate the names of the book's parts, which are in _toc.yml."""
    if _translated(app, HOME):
        translation = _translation(app, HOME)
        for document in app.config.external_site_map.values():
            for part in document.subtrees:
                part.caption = part.caption and translation(part.caption)


def _translate_outputs(app: Any, docname: str, source: list[str]) -> None:
    """Replace the messages of a notebook before it is parsed."""
    if not _translated(app, docname) or not source[0].lstrip().startswith("{"):
        return
    notebook = json.loads(source[0])
    rewrite(notebook, _translation(app, docname))
    words = catalogue(app.config.language, "sphinx")
    for cell in notebook["cells"]:  # the word under which a cell is folded
        prompts = cell["metadata"].get("mystnb", {})
        cell["metadata"]["mystnb"] = {key: words.get(word, word) for key, word in prompts.items()}
    source[0] = json.dumps(notebook, ensure_ascii=False)


def _expect_translated(app: Any, doctree: nodes.document) -> None:
    """Warn of each message for which Sphinx found no translation."""
    page = app.env.docname
    if app.builder.name == "gettext" or not _translated(app, page):
        return
    known = catalogue(app.config.language, page)
    for drawing in doctree.findall(nodes.raw) if page == HOME else ():
        drawn = redrawn(drawing.astext(), _translation(app, page))
        drawing.children, drawing.rawsource = [nodes.Text(drawn)], drawn
    for node, text in extract_messages(doctree):
        # Sphinx treats a message that is its own translation as one without; the titles of
        # exercises are put together by their directive, in the language of the page.
        if not node.get("translated") and text not in known and not HANGUL.search(text):
            _lacks(page, text)


def _collect_outputs(app: Any, _: Any) -> None:
    """Add the messages of the outputs to the catalogues that Sphinx is about to write."""
    if app.builder.name != "gettext":
        return
    for page in sorted(app.env.found_docs):
        path = Path(app.env.doc2path(page))
        if path.suffix == ".ipynb":
            entries: Catalog = app.builder.catalogs[page]
            for text in messages(json.loads(path.read_text(encoding="utf-8"))):
                entries.add(text, MsgOrigin(str(path), 0))
    drawing = Path(app.srcdir, "book", "_static", "way.html").read_text(encoding="utf-8")
    for found in DRAWN.finditer(drawing):
        if is_prose(found[2]):
            app.builder.catalogs[HOME].add(found[2], MsgOrigin(__file__, 0))
    for domain, words in THEME.items():
        for text in words:
            app.builder.catalogs[domain].add(text, MsgOrigin(__file__, 0))
    for text in (TITLE, SEARCH, *PROMPTS, *LABELS):
        app.builder.catalogs["sphinx"].add(text, MsgOrigin(__file__, 0))


def _translate_labels(app: Any, error: Exception | None) -> None:
    """Translate in the finished pages what no catalogue reaches."""
    if error or app.builder.format != "html" or app.config.language == "en":
        return
    words = catalogue(app.config.language, "sphinx")
    label = re.compile(rf'( (?:aria-label|title)=")({"|".join(LABELS)})(?=")')
    for page in Path(app.outdir).rglob("*.html"):
        text = label.sub(lambda found: found[1] + words[found[2]], page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")


def _leave_out_sources(app: Any) -> None:
    """Do not write the pages of source code in another language."""
    if app.config.language != "en":
        for listener in list(app.events.listeners.get("html-collect-pages", ())):
            if listener.handler is viewcode.collect_pages:
                app.disconnect(listener.id)


def _link_to_sources(app: Any, page: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Let links to source code lead to the pages of the first edition, one folder up."""
    if app.config.language != "en" and SOURCES in context.get("body", ""):
        context["body"] = re.sub(f'(?<=href=")(?=(?:\\.\\./)*{SOURCES})', "../", context["body"])


def _alternates(app: Any, page: str, _: str, context: dict[str, Any], __: Any) -> None:
    """Tell the templates where the page is in each language that has it."""
    here = app.config.language
    up = "../" * page.count("/") + ("" if here == "en" else "../")
    context["editions"] = [
        (code, name, f"{up}{'' if code == 'en' else code + '/'}{page}.html", code == here)
        for code, name in LANGUAGES.items()
        if not page.startswith(SOURCES)
    ]


class Formulas(SphinxTransform):
    """Translate the words in displayed formulas, before Sphinx does.

    It would pass the translation to the parser as a literal block of reStructuredText, of which
    Markdown makes a paragraph: nothing of the formula would remain.
    """

    default_priority = 10

    def apply(self, **_: Any) -> None:
        """Put the translation in place of each formula that has one."""
        if not _translated(self.app, self.env.docname):
            return
        known = catalogue(self.app.config.language, self.env.docname)
        for node in self.document.findall(nodes.math_block):
            if translated := known.get(node.rawsource or node.astext()):
                node.rawsource, node.children = translated, [nodes.Text(translated)]


class Korean(SearchLanguage):
    """Words of Korean text for the search, with and without the particle at their end."""

    lang = "ko"
    language_name = "Korean"
    js_stemmer_code = "var Stemmer = function () { this.stemWord = (word) => word; };"
    particles = re.compile(
        r"(?<=[가-힣A-Za-z0-9])(?:으로부터|에서는|에서도|이라는|라는|으로는|까지|부터|에서|에게|으로|처럼|보다"
        r"|마다|만큼|이나|이란|은|는|이|가|을|를|의|에|와|과|로|도|만|란|나)$"
    )

    def split(self, input: str) -> list[str]:
        """Return the words, and those that lose a particle without it too."""
        words = re.findall(r"[가-힣]+|[A-Za-z0-9_]+", input)
        bare = [self.particles.sub("", word) for word in words]
        return words + [word for word in bare if word and word not in words]

    def word_filter(self, word: str) -> bool:
        """Tell whether a word is worth indexing."""
        return len(word) > 1


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx when to call it."""
    # A build makes millions of objects that live to its end: looking for garbage among them again
    # and again takes a sixth of its time.
    gc.set_threshold(1_000_000, 50, 1000)
    _set_language(app)
    app.add_search_language(Korean)
    app.add_transform(Formulas)
    app.connect("builder-inited", _translate_parts)
    app.connect("builder-inited", _leave_out_sources)
    app.connect("source-read", _translate_outputs)
    app.connect("doctree-read", _expect_translated)
    app.connect("env-updated", _collect_outputs)
    app.connect("html-page-context", _alternates)
    app.connect("html-page-context", _link_to_sources)
    app.connect("build-finished", _translate_labels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
