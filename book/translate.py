"""Refresh the catalogues of the book's translations, or check them.

    make translate                            takes the messages from the pages, then runs this
    python book/translate.py --check [PAGE]   what is missing or wrong, of all pages or of one

For each page, messages that are new in English are added untranslated, those that changed keep
their translation as a draft (fuzzy), and those that are gone are dropped. What has no words, such
as a formula, is its own translation, and so is a term of the glossary.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

sys.path.insert(0, str(Path(__file__).parent))
from translation import CATALOGUES, HANGUL, HOME, LANGUAGES, UNTRANSLATED

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "_build" / "messages" / "_build" / "gettext"

PLACEHOLDER = re.compile(r"\$\{\w+\}")  # in what a script says
# What stands in a message and is no word: an address, a placeholder, a formula, code, a role's
# name, a tag.
NOT_WORDS = re.compile(r"\]\([^)]*\)|\$\{\w+\}|\$[^$]*\$|`[^`]*`|\{[a-z:]+\}|<[^>]*>|&\w+;")
TEXT = re.compile(r"(\\(?:text|textrm|textsf)\{)[^{}]*(?=\})")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
COMMAND = re.compile(r"\\[A-Za-z]{2,}")
NUMBERED = re.compile(r"^(\d+)\. ")


def is_formula(message: str) -> bool:
    """Tell whether a message is a displayed formula: TeX without dollars."""
    return message.startswith("\n") or ("$" not in message and bool(COMMAND.search(message)))


def has_words(message: str) -> bool:
    """Tell whether there is something to translate."""
    if is_formula(message):
        return "\\text" in message
    return bool(re.search(r"[A-Za-z]{2,}", NOT_WORDS.sub(" ", message)))


@cache
def parser() -> MarkdownIt:
    """Return a parser of the book's Markdown."""
    extensions = {"amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"}
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def parts(message: str) -> Counter[tuple[str, str]]:
    """Return what a translation must keep: links, roles, numbers, formulas, code and emphasis."""
    if is_formula(message):
        return Counter([("formula", TEXT.sub(r"\1", message).strip())])
    found: Counter[tuple[str, str]] = Counter()
    words = []
    for place in PLACEHOLDER.findall(message):
        found["placeholder", place] += 1
    # Two of their dollars would enclose a formula. Sphinx parses a heading by itself, where "1. "
    # would begin a list.
    text = NUMBERED.sub(r"\1\\. ", PLACEHOLDER.sub(" ", message))
    for block in parser().parse(text):
        for token in block.children or []:
            if token.type == "myst_role":
                target = re.search(r"<([^>]*)>$", token.content)
                name = target[1] if target else token.content
                found["role", f"{token.meta['name']} {name.lower()}"] += 1
            elif token.type == "math_inline":
                found["formula", TEXT.sub(r"\1", token.content)] += 1
            elif token.type == "code_inline":
                found["code", token.content] += 1
            elif token.type == "html_inline":
                found["tag", token.content] += 1
            elif token.type == "text":
                words.append(token.content)
            elif token.type.endswith("_open"):
                address = str(token.attrs.get("href", token.attrs.get("class", "")))
                found[token.type.removesuffix("_open"), address] += 1
    for number in NUMBER.findall(" ".join(words)):
        found["number", number] += 1
    return found


def problems(message: str, translation: str, fuzzy: bool = False) -> Iterator[str]:
    """Yield what is wrong with a translation."""
    if not translation:
        yield "not translated"
        return
    if fuzzy:
        yield "fuzzy: the English has changed"
    wanted, found = parts(message), parts(translation)
    for (kind, what), count in (wanted - found).items():
        yield f"lacks {count} x {kind} {what}".rstrip()
    for (kind, what), count in (found - wanted).items():
        yield f"has {count} x {kind} {what} too many".replace("  ", " ")
    if NUMBERED.match(message) and NUMBERED.match(translation):
        yield "begins a list: write 1\\. for 1."
    words = re.findall(r"\b[a-z]{3,}\b", NOT_WORDS.sub(" ", message))
    if len(words) > 3 and not is_formula(message) and not HANGUL.search(translation):
        yield "is in English"


def check(path: Path) -> list[str]:
    """Return what is wrong in a catalogue."""
    with path.open("rb") as file:
        catalogue = read_po(file)
    return [
        f"{path.stem}: {problem}: {str(message.id)[:70]!r}"
        for message in catalogue
        if message.id
        for problem in problems(str(message.id), str(message.string), message.fuzzy)
    ]


def refreshed(path: Path, template: Catalog, language: str, terms: set[str]) -> Catalog:
    """Return the catalogue at a path, or an empty one, with the messages of a template."""
    found = Catalog(locale=language)
    if path.exists():
        with path.open("rb") as file:
            found = read_po(file, locale=language)
    found.update(template)
    for message in found:
        text = str(message.id)
        if message.id and not message.string and (text in terms or not has_words(text)):
            message.string = message.id
    return found


def write(path: Path, catalogue: Catalog) -> None:
    """Write a catalogue without what changes from day to day."""
    for message in catalogue:
        message.flags -= {"python-format", "python-brace-format"}  # guessed from % and {}
    with path.open("wb") as file:
        write_po(file, catalogue, width=0, omit_header=True, ignore_obsolete=True)


def refresh() -> None:
    """Refresh all catalogues, and remove those of pages that are gone."""
    pages = {
        path.relative_to(TEMPLATES).with_suffix("").as_posix(): path
        for path in TEMPLATES.rglob("*.pot")
    }
    pages = {page: path for page, path in pages.items() if not page.startswith(UNTRANSLATED)}
    if HOME not in pages:  # else all catalogues would be those of pages that are gone
        raise FileNotFoundError(f"{TEMPLATES}: no messages of the pages; run `make translate`")
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    terms = set(re.findall(r"^(\S.*)\n  \S", glossary, re.MULTILINE))
    for language in list(LANGUAGES)[1:]:
        folder = CATALOGUES / language / "LC_MESSAGES"
        for page, path in pages.items():
            with path.open("rb") as file:
                template = read_po(file)
            target = folder / f"{page}.po"
            target.parent.mkdir(parents=True, exist_ok=True)
            of_page = terms if page == "book/glossary" else set()
            catalogue = refreshed(target, template, language, of_page)
            write(target, catalogue)
        for path in folder.rglob("*.po"):
            if path.relative_to(folder).with_suffix("").as_posix() not in pages:
                path.unlink()


def main() -> int:
    """Refresh or check; the exit status is 1 if a check finds something."""
    command = argparse.ArgumentParser(description="Refresh or check the book's translations.")
    command.add_argument("--check", action="store_true", help="check, and change nothing")
    command.add_argument("pages", nargs="*", help="such as notebooks/01-seq2seq (default: all)")
    given = command.parse_args()
    if not given.check:
        refresh()
    found = [
        problem
        for path in sorted(CATALOGUES.rglob("*.po"))
        if not given.pages or any(path.as_posix().endswith(f"/{page}.po") for page in given.pages)
        for problem in check(path)
    ]
    print("\n".join(found))
    return int(bool(found) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
