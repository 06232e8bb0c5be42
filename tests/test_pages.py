"""The prose pages: what they point at exists, and what they show is what the code draws."""

import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import torch
from helpers import ROOT, load_script, not_none

BOOK = ROOT / "book"

# Every technical term of the original notes, as the notes spell it or in its usual English form.
NOTES = """
    Graph neural network; Graph attention network; Gated graph neural network; 그래프 데이터
    Node; Edge; 가중치; 어텐션 메커니즘; Seq2seq; Encoder; Decoder; RNN; CNN; Context vector
    문맥 벡터; 벡터화; Long-term dependency; 딕셔너리 자료 구조; Query; Key; Value; 유사도; 가중합
    Attention; Attention score; Feature; feature representation; Similarity function
    Alignment model; Self-attention; Scaled dot-product attention; Multi-head attention
    Transformer; Aggregate; Message passing; aggregate information; Combine; update; Readout
    타겟 노드; 타켓 노드; Target node; 이웃 노드; 인접 노드; 자기 자신; 결합; Hidden state; k 시점
    Hidden embedding; Variant; 층; Overfitting; Vanishing gradient; GRU cell; Masked attention
    마스킹; Mask; $e_{11}$; $e_{12}$
"""
# What chapters 1 to 5 need besides.
CHAPTERS = """
    Teacher forcing; Padding; Greedy decoding; Beam search; Exact match; Token; 조사; 관형사형
    관계절; 정렬; Score; Weight; Softmax; Alignment; One-hot; Temperature; Kernel regression
    Entropy; Cosine similarity; Head; Projection; Permutation equivariance; Positional encoding
    Causal mask; Cross-attention; Block; Residual connection; Layer norm; Warm-up; Ablation
    Key-value cache
"""


def listed(terms: str) -> list[str]:
    return [term.strip() for line in terms.splitlines() for term in line.split(";") if term.strip()]


draw = load_script("book/draw.py")


# Pictures


@pytest.mark.parametrize("name", draw.PICTURES)
def test_stored_picture_is_what_the_code_draws(name):
    stored = (draw.STATIC / name).read_text(encoding="utf-8")
    assert stored == draw.PICTURES[name](), "run `python book/draw.py`"


@pytest.mark.parametrize("name", draw.PICTURES)
def test_picture_is_well_formed_and_named(name):
    root = ET.fromstring(draw.PICTURES[name]())
    if name == "way.html":  # six links, each with its name
        links = root.findall("a")
        assert len(links) == 6
        assert all(":" in link.get("aria-label", "") for link in links)
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert root.get("aria-label") or (title is not None and title.text)


def test_way_stays_inside_its_panels_and_takes_the_pages_colours():
    way = draw.way()
    ET.fromstring(way)
    assert "<style" not in way  # it is part of a page, whose other pictures it must not touch
    assert set(re.findall(r"#[0-9a-f]{6}", way)) <= {light for light, _ in draw.ROLES.values()}
    assert all(float(size) >= 22 for size in re.findall(r'font-size="([\d.]+)"', way))
    width, height = draw.PANEL
    assert all(0 < x < width and 0 < y < height for x, y in [*draw.ROW, *draw.RING])


def test_masked_weights_are_those_of_what_is_left():
    # The glossary: scoring only the edges gives the same result as hiding the other pairs.
    mask = draw.neighbours()
    for i, row in enumerate(draw.weights(draw.SCORES, mask)):
        (alone,) = draw.weights(
            ([s for s, may in zip(draw.SCORES[i], mask[i], strict=True) if may],)
        )
        assert [weight for weight in row if weight] == pytest.approx(alone)


def test_way_shows_weights_under_the_mask():
    free = draw.weights(draw.SCORES)[draw.ASKING]
    seen = draw.weights(draw.SCORES, draw.neighbours())[draw.ASKING]
    hidden = [j for j, may in enumerate(draw.neighbours()[draw.ASKING]) if not may]
    assert hidden == [3]
    assert [weight == 0 for weight in seen] == [j in hidden for j in range(5)]
    assert sum(free) == pytest.approx(1)
    assert sum(seen) == pytest.approx(1)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(f * p for f, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", ["#ffffff", "#121212"])
@pytest.mark.parametrize("role", draw.MID)
def test_logo_stands_out_on_light_and_dark(role, ground):
    dark, light = sorted((luminance(draw.MID[role]), luminance(ground)))
    assert (light + 0.05) / (dark + 0.05) >= 3


# References


def bibliography() -> dict[str, str]:
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}", text, flags=re.M | re.S)
    assert len(entries) == len(re.findall(r"^@", text, flags=re.M))
    keys = [key for key, _ in entries]
    assert len(set(keys)) == len(keys)
    return dict(entries)


def field(entry: str, name: str) -> str | None:
    found = re.search(rf"^\s*{name}\s*=\s*\{{(.*?)\}},$", entry, flags=re.M | re.S)
    return found and found[1]


# Where a paper that has neither a DOI nor a number of arXiv is kept.
KEPT = (
    "https://github.com/PetarV-/GAT",
    "https://github.com/tech-srl/how_attentive_are_gats",
    "https://github.com/dmlc/dgl",
    "https://github.com/tkipf/gcn",
    "https://github.com/cmusphinx/cmudict",
    "https://github.com/yandex-research/heterophilous-graphs",
    "https://www.jstor.org/stable/",
    "https://mlg.eng.cam.ac.uk/zoubin/papers/",
    "https://www.iti.zcu.cz/wl2018/pdf/",
)


@pytest.mark.parametrize("key", bibliography())
def test_reference_can_be_found(key):
    entry = bibliography()[key]
    for name in ("author", "title", "year"):
        assert field(entry, name), name
    doi, eprint, url = (field(entry, name) for name in ("doi", "eprint", "url"))
    assert doi or eprint or (url or "").startswith(KEPT)
    assert doi is None or re.fullmatch(r"10\.\d{4,}/\S+", doi)
    assert eprint is None or re.fullmatch(r"\d{4}\.\d{4,5}", eprint)
    first = not_none(field(entry, "author")).split(",")[0]
    assert key.startswith(re.sub(r"\W", "", plain(first)).lower())
    assert not_none(field(entry, "year")) in key


def plain(name: str) -> str:
    """Without accents: Veličković -> Velickovic."""
    return unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()


# Targets of {cite} and {term}


def prose() -> Iterator[tuple[str, str]]:
    """Name and text of every page, and of every cell of prose in a notebook."""
    for page in sorted(BOOK.glob("*.md")):
        yield page.name, page.read_text(encoding="utf-8")
    for page in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        yield page.name, text


def glossary() -> dict[str, str]:
    """Term -> its definition."""
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = not_none(re.search(r"^```\{glossary\}\n(.*?)^```", text, flags=re.M | re.S))[1]
    entries = re.findall(r"^(\S.*)\n((?:[ ].*\n)+)", body, flags=re.M)
    return {term: definition.strip() for term, definition in entries}


def roles(kind: str, text: str) -> list[str]:
    """What stands between the backticks of a role, wherever it is used."""
    return re.findall(rf"\{{{kind}\}}`([^`]+)`", text)


def missing(text: str) -> list[str]:
    cited = [key.strip() for use in roles(r"cite(?::\w+)?", text) for key in use.split(",")]
    lost = [key for key in cited if key not in bibliography()]
    known = {term.casefold() for term in glossary()}
    for use in roles("term", text):
        explicit = re.fullmatch(r".*<(.+)>", use)
        term = explicit[1] if explicit else use
        if term.casefold() not in known:
            lost.append(term)
    return lost


@pytest.mark.parametrize(("name", "text"), list(prose()), ids=[name for name, _ in prose()])
def test_every_citation_and_term_has_its_target(name, text):
    assert missing(text) == []


def test_a_lost_target_is_noticed():
    text = "{cite:p}`cho2014, nobody1999` {term}`query` {term}`queries <Qvery>` {term}`Nonword`"
    assert missing(text) == ["nobody1999", "Qvery", "Nonword"]


@pytest.mark.parametrize(("name", "text"), list(prose()), ids=[name for name, _ in prose()])
def test_a_chapter_that_is_named_is_a_link_to_it(name, text):
    """Except in headings, in code, and where a chapter names itself."""
    formulas = re.findall(r"\$\$.*?\$\$", text, flags=re.S)
    assert not [formula for formula in formulas if "](" in formula]
    text = re.sub(r"```(?:python|sh)?\n.*?```|`[^`]*`|\$\$.*?\$\$", "", text, flags=re.S)
    own = int(name[:2]) if name[0].isdigit() else 0
    for line in text.splitlines():
        if line.startswith(("#", "```", ":")):
            continue
        for number, target in re.findall(r"\[(?:[Cc]hapters? )?(\d+)\]\(([^)#]+)", line):
            assert target.split("/")[-1].startswith(f"{int(number):02d}-"), line
        bare = re.sub(r"\[[^\]]*\]\([^)]*\)", "", line)
        others = [n for n in re.findall(r"\b[Cc]hapters? (\d+)", bare) if int(n) != own]
        assert not others, line


@pytest.mark.parametrize("name", ["notation.md", "glossary.md", "references.md"])
def test_page_links_to_files_that_belong_to_the_book(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        page = (BOOK / target).resolve().relative_to(ROOT).with_suffix("")
        assert page.as_posix() in toc


# Notation


CHAPTER = r"\[([^]]+)\]\(\.\./notebooks/\d\d-[a-z0-9-]+\.ipynb\)"
"""A link to a chapter."""


def symbols() -> list[list[str]]:
    """The rows of the tables of symbols: symbol, meaning, shape, name in code, chapter."""
    text = (BOOK / "notation.md").read_text(encoding="utf-8")
    text = re.sub(CHAPTER, r"\1", text)
    rows = re.findall(r"^\|(.*)\|$", text, flags=re.M)
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return [row for row in cells if row[0].startswith("$")]


def test_no_symbol_stands_twice():
    names = [row[0] for row in symbols()]
    assert len(names) >= 30
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)


def test_every_symbol_has_a_meaning_and_a_chapter():
    for row in symbols():
        assert len(row) == 5, row
        assert row[1], row
        assert 1 <= int(row[4]) <= 12, row


def test_what_a_symbol_is_in_the_code_exists():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "gatutils").rglob("*.py")]
    named = re.findall(r"`([A-Z]\w+)\.(\w+)`", "|".join(row[3] for row in symbols()))
    assert len(named) >= 8
    for owner, name in named:
        body = re.compile(rf"^class {owner}\b.*?(?=^\S|\Z)", re.M | re.S)
        bodies = [found for text in sources for found in body.findall(text)]
        wanted = re.compile(rf"self\.{name}\b|def {name}\b|^    {name}:", re.M)
        assert any(map(wanted.search, bodies)), f"{owner}.{name}"


def test_torchs_gates_are_as_the_notation_says():
    # z keeps the old state; r acts after the matrix product. Were either the other way round,
    # the result would differ: the last two lines see that.
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 4, dtype=torch.float64)
    x, old = torch.randn(1, 3).double(), torch.randn(1, 4).double()
    with torch.no_grad():
        (wr, wz, wn), (ur, uz, un) = cell.weight_ih.chunk(3), cell.weight_hh.chunk(3)
        (br, bz, bn), (dr, dz, dn) = cell.bias_ih.chunk(3), cell.bias_hh.chunk(3)
        r = torch.sigmoid(x @ wr.T + br + old @ ur.T + dr)
        z = torch.sigmoid(x @ wz.T + bz + old @ uz.T + dz)
        after = torch.tanh(x @ wn.T + bn + r * (old @ un.T + dn))
        before = torch.tanh(x @ wn.T + bn + (r * old) @ un.T + dn)
        torch.testing.assert_close(cell(x, old), z * old + (1 - z) * after)
        assert not torch.allclose(cell(x, old), (1 - z) * old + z * after)
        assert not torch.allclose(cell(x, old), z * old + (1 - z) * before)


# Glossary


@pytest.mark.parametrize("term", listed(NOTES + CHAPTERS))
def test_term_is_in_the_glossary(term):
    entries = glossary()
    whole = "\n".join(f"{name}\n{text}" for name, text in entries.items())
    if term[0].isupper() and term[0].isascii():  # a term of its own
        assert term in entries
    else:  # a word inside a definition
        assert term in whole


def test_glossary_is_in_order_and_each_entry_says_korean_meaning_and_chapter():
    entries = glossary()
    assert list(entries) == sorted(entries, key=str.casefold)
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    text = re.sub(CHAPTER, r"\1", text)
    assert len(entries) == len(re.findall(r"\bChapters? [\d and]+\.$", text, flags=re.M))
    for term, linked in entries.items():
        definition = re.sub(CHAPTER, r"\1", linked)
        assert definition != linked, f"{term}: its chapter is a link"
        first = definition.split(".")[0]
        assert re.search(r"[가-힣]", first), term
        assert re.search(r"Chapters? \d+( and \d+)?\.$", definition), term
