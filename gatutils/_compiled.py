"""Graph attention compiled from C++, which is used only if asked for; the loops: _compiled.cpp."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gatutils._checks import exporting

__all__ = ["use_compiled_kernels"]

SOURCE = Path(__file__).with_suffix(".cpp")


class Operations(NamedTuple):
    """The compiled operations; see _compiled.cpp."""

    gat: Callable[..., Any]
    gat_backward: Callable[..., Any]
    gatv2: Callable[..., Any]
    gatv2_backward: Callable[..., Any]
    softmax_and_sums: Callable[..., Any]
    softmax_and_sums_backward: Callable[..., Any]


_operations: Operations | None = None
"""The compiled operations, while they are to be used."""

_loading = threading.Lock()


def use_compiled_kernels(enabled: bool = True) -> None:
    """Run GAT and GATv2 layers with loops compiled from C++, which are usually faster.

    This holds for the whole process, from the next call of a layer until the function is called
    with False. The results are the same up to rounding. For float32 and float64 on a CPU, the
    following are compiled, each with its gradients:

    - the scores, softmax and weighted sums of :class:`~gatutils.graph_attention.GATConv` and,
      without edge features, of :class:`~gatutils.graph_attention.GATv2Conv`, and the bias if the
      heads are concatenated, as one operation; not for a subclass that replaces ``score`` or
      ``join_heads``, or whose values are not its keys;
    - :func:`~gatutils.graph_attention.attend_edges`, which all other layers derived from
      :class:`~gatutils.graph_attention.GraphAttention` use once they have their scores. Its
      gradients are compiled only if both scores and values need one.

    Everything else is computed as before, including gradients of gradients and whatever PyTorch
    traces (``torch.compile``, ``torch.export``).

    The first call on a machine compiles the loops, which takes about a minute and needs Ninja
    (``pip install "gatutils[compiled]"``) and either Linux with GCC or macOS with Clang; on macOS
    they run on one thread. The result is kept in PyTorch's extensions folder (set by
    ``TORCH_EXTENSIONS_DIR``), for this build of PyTorch and the instruction set of this processor;
    later calls load it. Processes that start at the same time each compile their own copy.

    Args:
        enabled: Whether to use them.

    Raises:
        RuntimeError: If they cannot be compiled. Nothing has changed then.
    """
    global _operations
    if not enabled:
        _operations = None
        return
    _operations = _load()


def compiled(numbers: Tensor, indptr: Tensor) -> Operations | None:
    """Return the compiled operations if they are to be used for numbers and a graph, else None."""
    if _operations is None or numbers.dtype not in (torch.float32, torch.float64):
        return None
    if not (numbers.device.type == indptr.device.type == "cpu"):
        return None
    # What records or replaces operations does not know these.
    traced = exporting() or torch.compiler.is_compiling() or torch._C._get_tracing_state()
    return None if traced or torch._C._len_torch_dispatch_stack() else _operations


def _load() -> Operations:
    """Load the compiled operations, after compiling them if that has not been done."""
    with _loading:  # PyTorch ends the process if a library is loaded twice
        if not hasattr(torch.ops.gatutils, Operations._fields[0]):
            try:
                with _same_path():
                    _find_or_compile()
            except (OSError, RuntimeError, ImportError, subprocess.SubprocessError) as error:
                raise RuntimeError(
                    "use_compiled_kernels: expected GCC (on macOS Clang), Ninja, which "
                    'pip install "gatutils[compiled]" installs, and a folder for what they '
                    f"compile; got: {error}"
                ) from error
    found = torch.ops.gatutils
    return Operations(*(getattr(found, name).default for name in Operations._fields))


def _find_or_compile() -> None:
    """Load the library for this machine, or compile it."""
    if sys.platform == "win32":
        raise OSError("Windows, for whose compilers they are not written")
    from torch.utils import cpp_extension

    root = os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()
    # A folder may be shared by machines, so a library is for one kind of them.
    flags = _flags(torch.backends.cpu.get_cpu_capability())
    machine = platform.system(), platform.machine(), platform.libc_ver()
    key = repr((SOURCE.read_bytes(), torch.__config__.show(), machine, flags))
    library = Path(root, f"gatutils-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so")
    if library.exists():
        torch.ops.load_library(library)
    else:
        _compile(library, flags)


def _compile(library: Path, flags: list[str]) -> None:
    """Compile the operations in a folder of their own, load them, and keep the library, whole."""
    from torch.utils import cpp_extension

    library.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="gatutils-", dir=library.parent)
    print("gatutils: compiling the kernels, once on this machine", file=sys.stderr, flush=True)
    try:
        with _ninja_in_path():
            # Not in the folder that it would choose: if a process was killed while it compiled
            # there, all later ones would wait for its lock.
            cpp_extension.load(
                "gatutils_compiled",
                [str(SOURCE)],
                extra_cflags=flags,
                build_directory=folder,
                is_python_module=False,
            )
        for built in Path(folder).glob("*.so"):
            os.replace(built, library)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _same_path() -> Iterator[None]:
    """Take back what setuptools, which PyTorch imports to compile, adds to ``sys.path``.

    These are packages of its own, in versions that may differ from those that are installed.
    """
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _ninja_in_path() -> Iterator[None]:
    """Let PyTorch find a Ninja beside this Python, also if its environment is not activated."""
    before = os.environ.get("PATH")
    beside = str(Path(sys.executable).parent) if sys.executable else None
    os.environ["PATH"] = os.pathsep.join(filter(None, (before, beside)))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


def _flags(capability: str) -> list[str]:
    """Return what the compiler is told: to use the instructions that PyTorch itself uses here."""
    avx2 = ["-mavx2", "-mfma"]
    arch = {"AVX2": avx2, "AVX512": [*avx2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]}
    # Apple's compiler has no OpenMP, but its directives for vectors.
    openmp = "-fopenmp-simd" if sys.platform == "darwin" else "-fopenmp"
    # Comparisons need not trap, so that a choice between two numbers is not a branch.
    return ["-O3", openmp, "-fno-trapping-math", *arch.get(capability, [])]
