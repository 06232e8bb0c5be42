"""Graphs on disk, read as memory maps, and checkpoints that are written whole or not at all.

A graph that is read from disk takes no memory of its own: the operating system reads those pages
that are used, and processes on one machine share them. ``graph.sample`` and
``graph.features[nodes]`` use few of them.
"""

import contextlib
import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gatutils._checks import expect, expect_tensor
from gatutils._layers import expect_graph
from gatutils.graph import Graph

__all__ = [
    "different_settings",
    "graph_fingerprint",
    "load_checkpoint",
    "load_graph",
    "load_nodes",
    "save_checkpoint",
    "save_graph",
    "save_nodes",
    "write_whole",
]

REQUIRED = ("source", "target", "edge_order", "sizes", "indptr")
OPTIONAL = ("features", "labels")


def write_whole(path: Path | str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that whoever opens it finds either all of it or what was there before.

    The content goes into a draft in the same folder, which replaces the file when all of it has
    reached the disk. Of several processes that write the same file, the last one has its content
    there. One that is killed while it writes leaves its draft, ``.*.tmp``.

    Args:
        path: The file.
        write: Writes the content into the open draft that it is given.

    Raises:
        OSError: If the folder or the disk does not allow it; the file is as it was.
    """
    path = Path(path)
    draft = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.tmp")
    try:
        with draft.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        _replace(draft, path)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{path}: cannot be written ({why}), and is unchanged") from error
    finally:  # also after Ctrl-C
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _replace(draft: Path, path: Path) -> None:
    """Rename a file to replace another; on Windows, wait if the other is being read."""
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6):
        try:
            os.replace(draft, path)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(draft, path)


def save_checkpoint(
    path: Path | str, state: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Write what is needed to go on with a training, and the settings that it depends on.

    Args:
        path: The file, which is replaced as a whole: see :func:`write_whole`.
        state: Such as the step and each ``state_dict()``. Tensors, numbers, strings, and lists and
            dicts of them.
        settings: Whatever else decides the weights, by name.

    Raises:
        OSError: If the folder or the disk does not allow it; the file is as it was.
    """
    whole = {"settings": dict(settings), "state": dict(state)}
    write_whole(path, lambda file: torch.save(whole, file))


def load_checkpoint(path: Path | str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state in a checkpoint; None if there is no such file.

    A file cannot run code: only tensors, numbers and the like are read.

    Args:
        path: The file.
        settings: What the training depends on now.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a whole checkpoint, or its settings differ.
    """
    wanted, advice = f"{path}: expected a whole checkpoint", "delete it, or name another file"
    try:
        content = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        whole = torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # whatever torch meets in a file that is not one of its own
        raise ValueError(f"{wanted}, got part of one, or another file: {advice}") from error
    if not isinstance(whole, dict) or set(whole) != {"settings", "state"}:
        raise ValueError(f"{wanted} of save_checkpoint, got something else: {advice}")
    differ = different_settings(settings, whole["settings"])
    if differ:
        raise ValueError(f"{path}: expected a checkpoint of these settings, got {differ}: {advice}")
    return dict(whole["state"])


def different_settings(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return which of their settings differ from mine, as words; an empty string if none does."""
    names = sorted(set(mine) | set(theirs))
    return ", ".join(
        f"{name} {theirs.get(name)!r}, not {mine.get(name)!r}"
        for name in names
        if mine.get(name) != theirs.get(name)
    )


def save_graph(graph: Graph, folder: Path | str) -> str:
    """Write a graph into a folder, one ``.npy`` file per array.

    ``graph.json`` is written last and says what the arrays are. A folder without it holds no whole
    graph.

    Args:
        graph: Any graph; its tensors may be on any device.
        folder: Where to; it is made if it is missing.

    Returns:
        The graph's fingerprint, a hash of all that it holds (:func:`graph_fingerprint` reads it).

    Raises:
        TypeError: If ``graph`` is not a graph, or its features or labels have a dtype that NumPy
            lacks.
        FileExistsError: If the folder holds a graph already.
        OSError: If the folder cannot be written.
    """
    expect_graph(graph)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "graph.json").exists():
        raise FileExistsError(f"folder: expected one without a graph, got {folder}")
    given = {name: getattr(graph, name) for name in (*REQUIRED, *OPTIONAL)}
    arrays = {name: value.numpy(force=True) for name, value in given.items() if value is not None}
    # The caller's generator, dict order or machine have no part in the fingerprint.
    more = {"num_nodes": graph.num_nodes, "given": graph._given, "num_sources": graph._num_sources}
    forms = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    digest = hashlib.sha256(json.dumps([more, forms]).encode())
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        digest.update(array.reshape(-1).view(np.uint8).data)
        write_whole(folder / f"{name}.npy", lambda file, array=array: np.save(file, array))  # type: ignore[misc]
    about = {**more, "arrays": forms, "fingerprint": digest.hexdigest()}
    write_whole(folder / "graph.json", lambda file: file.write(json.dumps(about).encode()))
    return digest.hexdigest()


def load_graph(folder: Path | str) -> Graph:
    """Return a graph that :func:`save_graph` wrote, with its tensors mapped from the files.

    The files must not be changed while the graph is in use. What is written into its tensors (as
    with any graph, nothing should be) does not reach the files. Their content is not validated,
    since that would read all of it.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If it holds no whole graph.
        ValueError: If a file is not what was written.
    """
    about, parts = _about(folder), dict[str, Any]()
    for name, (dtype, shape) in about["arrays"].items():
        parts[name] = _mapped(Path(folder, f"{name}.npy"), dtype, shape)
    indptr = parts.pop("indptr")
    state = dict.fromkeys(OPTIONAL) | parts
    state |= {
        "num_nodes": about["num_nodes"],
        "_given": about["given"],
        "_num_sources": about["num_sources"],
    }
    graph = object.__new__(Graph)
    graph.__setstate__(state)
    graph.__dict__["indptr"] = indptr  # else all of target would be read to compute it
    return graph


def graph_fingerprint(folder: Path | str) -> str:
    """Return the fingerprint of the graph in a folder: equal for equal graphs, on any machine.

    It was computed when the graph was written, and is not compared with the files.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If it holds no whole graph.
        ValueError: If ``graph.json`` is not what was written.
    """
    return str(_about(folder)["fingerprint"])


def save_nodes(nodes: Int[Tensor, " some"], folder: Path | str, name: str) -> None:
    """Write some nodes of the graph in a folder beside it, such as the nodes of the training set.

    Args:
        nodes: Their indices, shape (num_nodes,).
        folder: Where :func:`save_graph` wrote the graph.
        name: The file is this name with ``.npz``; it is replaced as a whole.

    Raises:
        TypeError: If ``nodes`` is not an integer tensor.
        ValueError: If an index is out of range.
        FileNotFoundError: If the folder holds no whole graph.
        OSError: If the folder cannot be written.
    """
    expect_tensor(nodes, "nodes", "int", ndim=1, exact=True)
    about = _about(folder)
    low, high = (int(nodes.min()), int(nodes.max())) if len(nodes) else (0, -1)
    inside = low >= 0 and high < about["num_nodes"]
    expect(inside, "nodes", f"nodes 0 to {about['num_nodes'] - 1}", f"{low} to {high}")
    array, graph = nodes.numpy(force=True), np.array(about["fingerprint"])
    path = Path(folder, f"{name}.npz")
    write_whole(path, lambda file: np.savez(file, nodes=array, graph=graph))


def load_nodes(folder: Path | str, name: str) -> Int[Tensor, " some"]:
    """Return nodes that :func:`save_nodes` wrote beside a graph.

    Args:
        folder: The folder of the graph.
        name: The name of the nodes.

    Raises:
        FileNotFoundError: If there is no such file, or no whole graph.
        ValueError: If the file is damaged, or was written beside another graph.
    """
    path = Path(folder, f"{name}.npz")
    advice = "copy it from where it was written with this graph"
    try:
        with np.load(path, allow_pickle=False) as file:
            nodes, graph = torch.from_numpy(file["nodes"]), str(file["graph"])
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: expected nodes, got no file: {advice}") from None
    except (KeyError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: expected nodes, got a damaged file: {advice}") from error
    same = graph == graph_fingerprint(folder)
    expect(same, str(path), "nodes of the graph beside it", f"those of another one: {advice}")
    return nodes


def _about(folder: Path | str) -> dict[str, Any]:
    """Return what ``graph.json`` says."""
    path = Path(folder, "graph.json")
    wanted = "a file written by save_graph"
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"folder: expected one with a graph, got {folder}") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected {wanted}, got {error}") from error
    keys = {"num_nodes", "given", "num_sources", "arrays", "fingerprint"}
    whole = isinstance(about, dict) and keys <= set(about) and set(REQUIRED) <= set(about["arrays"])
    expect(whole, str(path), wanted, "something else")
    return dict(about)


def _mapped(path: Path, dtype: str, shape: list[int]) -> Tensor:
    """Return an array of a file as a tensor whose memory is the file's."""
    wanted = f"{dtype} of shape {tuple(shape)}"
    try:  # copy-on-write, because torch has no tensors that are read-only
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: expected {wanted}, got no file") from None
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path}: expected {wanted}, got a damaged file ({error})") from error
    fits = str(array.dtype) == dtype and list(array.shape) == shape
    expect(fits, str(path), wanted, f"{array.dtype} of shape {array.shape}")
    return torch.from_numpy(np.asarray(array))
