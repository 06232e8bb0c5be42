"""Does a cell show again what the notebook stores? Figures are compared by their data.

The drawing of a plot differs between machines in its last digits, and with them in its bytes. So
of a figure of ``gatutils.book.figures`` the words are compared exactly (caption, alternative text,
heads of tables, labels), and the data that it carries number by number, within the tolerance that
it declares. The stored drawing belongs to the stored data if it has the digest beside them.

The module must not import ``gatutils``: the tests check its types, from its first import on.
"""

import hashlib
import json
import math
import re
from functools import lru_cache
from html.parser import HTMLParser

TIGHT = 0.001
"""A figure that declares no more than this shows nothing that was trained."""

NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?")


def is_figure(output):
    """Tell whether a cell's output is one of our figures."""
    return "gatutils" in output.get("metadata", {})


def differences(stored, shown):
    """Return what differs between a cell's figures, as stored and as shown now, in words."""
    pairs = [[o for o in outputs if is_figure(o)] for outputs in (stored, shown)]
    if len(pairs[0]) != len(pairs[1]):
        return [f"{len(pairs[0])} figures with data are stored, {len(pairs[1])} are shown now"]
    found = []
    for number, (old, new) in enumerate(zip(*pairs, strict=True), 1):
        found += [f"figure {number}: {line}" for line in _figure(old, new)]
    return found


def digest(output):
    """Return what a figure's data say about its HTML."""
    return hashlib.sha256("".join(output["data"]["text/html"]).encode()).hexdigest()


def _figure(old, new):
    """Yield what differs between two figures."""
    held, now = old["metadata"]["gatutils"], new["metadata"]["gatutils"]
    if digest(old) != held["sha256"]:
        yield "what is stored was not drawn with the data beside it"
    if held["tolerance"] != now["tolerance"]:
        yield f"the tolerance stored is {held['tolerance']}, and {now['tolerance']} now"
    tolerance = held["tolerance"]
    if set(old["data"]) != set(new["data"]):
        yield f"stored as {sorted(old['data'])}, shown now as {sorted(new['data'])}"
    before, after = ("".join(output["data"].get("text/plain", "")) for output in (old, new))
    yield from _words("its text", before, after, 0)
    before, after = (_pieces("".join(output["data"]["text/html"])) for output in (old, new))
    yield from _pages(before, after, tolerance)
    yield from _data(held["data"], now["data"], tolerance)


@lru_cache(maxsize=8)
def _pieces(text):
    """Return HTML as (tag, attribute or nothing, its text), without the inside of an SVG."""
    return _Page(text).pieces


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.pieces, self.path = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if "svg" not in self.path:
            for name, value in attributes:
                if tag != "svg" or name in ("role", "aria-label"):
                    self.pieces.append((tag, name, value))
            self.pieces.append((tag, "", ""))
        if tag not in ("br", "wbr"):  # which have no end
            self.path.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("br", "wbr"):
            self.path.pop()

    def handle_endtag(self, tag):
        self.path.pop()

    def handle_data(self, data):
        if "svg" not in self.path:
            tag, name, text = self.pieces.pop()
            self.pieces.append((tag, name, text + data))


def _pages(old, new, tolerance):
    """Yield what differs between the pieces of two pages."""
    if [piece[:2] for piece in old] != [piece[:2] for piece in new]:
        yield "its HTML has other tags"
        return
    for number, ((tag, name, stored), (_, _, shown)) in enumerate(zip(old, new, strict=True)):
        where = f"<{tag}>{name and f', its {name}'} (piece {number})"
        if name == "data-figure":
            yield from _json("its data", json.loads(stored), json.loads(shown), tolerance)
        else:
            exact = tag in ("th", "caption", "figcaption", "style", "script") or "label" in name
            yield from _words(where, stored, shown, 0 if exact else tolerance)


def _words(where, old, new, tolerance):
    """Yield a line if two texts differ; numbers may, where the tolerance is not tight."""
    if old == new:
        return
    if tolerance > TIGHT and NUMBER.sub("#", old) == NUMBER.sub("#", new):
        pairs = zip(*(map(_value, NUMBER.findall(text)) for text in (old, new)), strict=True)
        if all(abs(a - b) <= tolerance * max(1, abs(a)) for a, b in pairs):
            return
    at = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), -1)
    start = max(0, at - 30)
    yield f"{where}: stored …{old[start : at + 50]!r}…, now …{new[start : at + 50]!r}…"


def _value(text):
    number = float(text.rstrip("%").replace("−", "-"))
    return number / 100 if text.endswith("%") else number


def _json(where, old, new, tolerance):
    """Yield what differs between two values of JSON; a number may by a share of it, or of 1."""
    if type(old) is type(new) is dict and list(old) == list(new):
        for key in old:
            yield from _json(f"{where}, {key}", old[key], new[key], tolerance)
    elif type(old) is type(new) is list and len(old) == len(new):
        for k, pair in enumerate(zip(old, new, strict=True)):
            yield from _json(f"{where}[{k}]", *pair, tolerance)
    elif type(old) is type(new) is str:
        yield from _words(where, old, new, tolerance)
    elif {type(old), type(new)} <= {int, float}:
        if abs(old - new) > tolerance * max(1, abs(old)):
            yield f"{where}: stored {old}, now {new}"
    elif old != new or type(old) is not type(new):
        yield f"{where}: stored {str(old)[:80]}, now {str(new)[:80]}"


def _data(old, new, tolerance):
    """Yield what differs between what two plots show."""
    old, new = ([json.loads(line) for line in lines] for lines in (old, new))
    marks = [[record["mark"] for record in records] for records in (old, new)]
    if marks[0] != marks[1]:
        gone, come = ([m for m in marks[k] if m not in marks[1 - k]] for k in (0, 1))
        yield f"it has other marks; only stored: {gone}; only now: {come}"
        return
    axes = None
    for was, now in zip(old, new, strict=True):
        mark = was["mark"]
        if mark.startswith("axes "):
            axes = was
        if was.keys() != now.keys() or any(len(was[k]) != len(now[k]) for k in was):
            yield f"{mark}: other numbers of values"
            continue
        for text, other in zip(was.get("words", []), now.get("words", []), strict=True):
            yield from _words(mark, text, other, tolerance)
        for key, (low, high, log) in _ranges(axes, was).items():
            yield from _numbers(f"{mark}: {key}", was[key], now[key], low, high, log, tolerance)


def _ranges(axes, record):
    """Return for each list of numbers of a record: from, to, and whether it is logarithmic."""
    scales = axes["mark"].split()[2:]
    ranges = {key: (*axes[key], scale == "log") for key, scale in zip("xy", scales, strict=True)}
    ranges["alpha"] = (0, 1, False)
    values = [value for value in record.get("values", []) if value is not None]
    ranges["values"] = (min(values, default=0), max(values, default=1), False)
    return {key: ranges[key] for key in ("x", "y", "alpha", "values") if key in record}


def _numbers(where, old, new, low, high, log, tolerance):
    """Yield where two lists of numbers are further apart than a share of the range."""

    def at(x):
        return math.log10(x) if log and x is not None and x > 0 else x

    slack = tolerance * abs(at(high) - at(low))
    for k, (a, b) in enumerate(zip(old, new, strict=True)):
        if a != b and (a is None or b is None or abs(at(a) - at(b)) > slack):
            unit = "decades" if log else "units"
            yield f"{where}[{k}]: stored {a}, now {b} ({slack:.3g} {unit} are tolerated)"
