"""Change what a cell shows, one thing at a time: each change is one that must be noticed.

``mutants(outputs)`` yields a name and the changed outputs for some printed numbers, words,
captions, alternative texts, numbers in tables, and data of figures, spread over each output.
"""

import copy
import json
import math
import re

from comparison import NUMBER, TIGHT, digest, is_figure

EACH = 8
"""So many changes of a kind for each output."""


def _beyond(tolerance):
    """Return a step that exceeds a tolerance, also one relative to where the step ends."""
    return 2.5 * tolerance / (1 - tolerance)


def mutants(outputs):
    """Yield (what was changed, the outputs of a cell with that change)."""
    for index, output in enumerate(outputs):
        changes = _figures(output) if is_figure(output) else _texts(output)
        for name, changed in changes:
            mutant = copy.deepcopy(outputs)
            mutant[index] = changed
            yield f"output {index}: {name}", mutant


def _spread(found):
    found = list(found)
    return found[:: max(1, math.ceil(len(found) / EACH))]


def _other(word, tolerance=0.0):
    """Return another word, or a number that is further away than a tolerance."""
    if not NUMBER.fullmatch(word):
        return ("x" if word[0] != "x" else "y") + word[1:]
    if tolerance <= TIGHT:
        digits = re.sub(r"\D+$", "", word)  # an end such as %
        return f"{digits[:-1]}{(int(digits[-1]) + 1) % 10}{word[len(digits) :]}"
    number = float(word.rstrip("%").replace("−", "-"))
    unit = 100 if word.endswith("%") else 1
    return f"{number + _beyond(tolerance) * max(unit, abs(number)):g}" + "%" * (unit == 100)


def _texts(output):
    """Change words and numbers of what is printed, or of each form of a result."""
    forms = (
        [(output, "text")] if "text" in output else [(output["data"], k) for k in output["data"]]
    )
    for place, key in forms:
        text = "".join(place[key])
        for match in _spread([*re.finditer(r"\d+(?:\.\d+)?|[^\W\d]+", text)]):
            changed = copy.deepcopy(output)
            target = changed if place is output else changed["data"]
            target[key] = text[: match.start()] + _other(match[0]) + text[match.end() :]
            yield f"{match[0]!r} in {key}", changed


def _figures(output):
    """Change a figure's words, numbers, data and drawing."""
    page = "".join(output["data"]["text/html"])
    tolerance = output["metadata"]["gatutils"]["tolerance"]

    def replaced(span, word, fresh=True):
        start, end = span
        changed = copy.deepcopy(output)
        changed["data"]["text/html"] = page[:start] + word + page[end:]
        if fresh:  # as if another run had drawn it so
            changed["metadata"]["gatutils"]["sha256"] = digest(changed)
        return changed

    for match in re.finditer(r"\d", page):
        if page.rfind("<svg", 0, match.start()) >= 0:
            yield "the drawing", replaced(match.span(), _other(match[0]), fresh=False)
            break
    bare = re.sub(  # of the same length, without what draws
        r"<(script|style)\b.*?</\1>|(?P<tag><svg[^>]*>).*?</svg>",
        lambda m: (m["tag"] or "").ljust(len(m[0])),
        page,
        flags=re.S,
    )
    for name, pattern, slack in (
        ("the caption", r"<figcaption>.*?(\w+)", 0),
        ("the alternative text", r'aria-label="[^"]*?(\w+)', 0),
        ("the head of a table", r"<th[^>]*>[^<]*?(?:<span>)?([^\W_]+)", 0),
        ("a number in a table", r"<td[^>]*>(?:<[^>]+>)*[^<]*?(\d+(?:\.\d+)?)", tolerance),
    ):
        for match in _spread(re.finditer(pattern, bare, flags=re.S)):
            yield f"{name}, {match[1]!r}", replaced(match.span(1), _other(match[1], slack))
    for match in _spread(re.finditer(r"(?<=[\[,:])\d+(?:\.\d+)?(?=[\],}])", bare)):
        if "data-figure=" in bare[: match.start()]:
            word = _other(match[0], max(tolerance, 2 * TIGHT))
            yield f"a datum, {match[0]}", replaced(match.span(), word)

    lines = output["metadata"]["gatutils"]["data"]
    axes = None
    for index, line in enumerate(lines):
        record = json.loads(line)
        if record["mark"].startswith("axes "):
            axes = record
        for key in set(record) - {"mark"}:
            for k in _spread(k for k, value in enumerate(record[key]) if value not in (None, "")):
                changed, new = copy.deepcopy(output), json.loads(line)
                new[key][k] = _moved(record[key][k], key, axes, record, tolerance)
                changed["metadata"]["gatutils"]["data"][index] = json.dumps(new)
                yield f"{record['mark']}, {key}[{k}]", changed


def _moved(value, key, axes, record, tolerance):
    """Return a datum further away than a figure tolerates."""
    if key == "words":
        return ("x" if value[0] != "x" else "y") + value[1:]
    if key in "xy":
        low, high = axes[key]
        if axes["mark"].split()["xy".index(key) + 2] == "log":
            return value * (high / low) ** _beyond(tolerance)
        return value + _beyond(tolerance) * (high - low)
    return value + _beyond(tolerance)
