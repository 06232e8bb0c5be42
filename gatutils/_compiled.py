"""Graph attention compiled from C++, which is used only if asked for; the loops: _compiled.cpp."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatutils._checks import exporting

__all__ = ["use_compiled_kernels"]

SOURCE = Path(__file__).with_suffix(".cpp")

_operations: Any = None
"""The compiled operations, while they are to be used."""


def use_compiled_kernels(enabled: bool = True) -> None:
    """Let GAT and GATv2 layers run by compiled loops over the edges, which takes less time.

    This holds for the whole process, from the next call of a layer on, until it is called with
    False. The numbers are the same up to rounding. Compiled are attention along edges
    (:func:`~gatutils.graph_attention.attend_edges`), and the scores of
    :class:`~gatutils.graph_attention.GATConv` and
    :class:`~gatutils.graph_attention.GATv2Conv`, with their gradients, for float32 and float64 on
    a CPU. All else is computed as before: other devices and dtypes, the scores of GATv2 with edge
    features, gradients of gradients, and what ``torch.compile`` and ``torch.export`` trace.

    The first call on a machine compiles them, which takes about a minute and needs a C++ compiler
    and Ninja (``pip install "gatutils[compiled]"`` installs Ninja). The result is kept in PyTorch's
    folder of extensions (``TORCH_EXTENSIONS_DIR`` says where), for this version of PyTorch and the
    instructions of this processor; later calls load it.

    Args:
        enabled: Whether to use them.

    Raises:
        RuntimeError: If they cannot be compiled. Nothing has changed then.
    """
    global _operations
    if enabled and _operations is None:
        _load()
    _operations = torch.ops.gatutils if enabled else None


def compiled(numbers: Tensor) -> Any:
    """Return the compiled operations if they are to be used for a tensor, else None."""
    if _operations is None or numbers.dtype not in (torch.float32, torch.float64):
        return None
    traced = exporting() or torch.compiler.is_compiling() or type(numbers) not in PLAIN
    return None if traced or numbers.device.type != "cpu" else _operations


PLAIN = (Tensor, torch.nn.Parameter)
"""The types of tensors that hold numbers, rather than standing for some."""


def _load() -> None:
    """Load the compiled operations, after compiling them if that has not been done."""
    if hasattr(torch.ops.gatutils, "gatv2_scores"):  # loaded before, then switched off
        return
    # A folder may be shared by machines, so a library is for one kind of processor.
    flags = _flags(torch.backends.cpu.get_cpu_capability())
    key = repr((SOURCE.read_bytes(), torch.__version__, sys.platform, flags)).encode()
    from torch.utils import cpp_extension

    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root())
    library = folder / f"gatutils-{hashlib.sha256(key).hexdigest()[:16]}.so"
    try:
        if library.exists():
            torch.ops.load_library(library)
        else:
            _compile(library, flags)
    except (OSError, RuntimeError, ImportError) as error:
        raise RuntimeError(
            "use_compiled_kernels: expected a C++ compiler and Ninja, with which "
            f'{SOURCE.name} compiles (pip install "gatutils[compiled]" installs Ninja), got: {error}'
        ) from error


def _compile(library: Path, flags: list[str]) -> None:
    """Compile the operations in a folder of their own, load them, and keep the library, whole."""
    from torch.utils import cpp_extension

    library.parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="gatutils-", dir=library.parent)
    print("gatutils: compiling the kernels, once on this machine", file=sys.stderr, flush=True)
    try:
        # Not in the folder that it would choose: there a lock of a process that was killed is
        # waited for without end.
        cpp_extension.load(
            "gatutils_compiled",
            [str(SOURCE)],
            extra_cflags=flags,
            build_directory=folder,
            is_python_module=False,
        )
        (built,) = (each for each in Path(folder).iterdir() if each.suffix in (".so", ".pyd"))
        os.replace(built, library)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flags(capability: str) -> list[str]:
    """Return what the compiler is told: to use the instructions that PyTorch itself uses here."""
    if sys.platform == "win32":
        arch = {"AVX2": ["/arch:AVX2"], "AVX512": ["/arch:AVX512"]}
        return ["/O2", "/openmp", *arch.get(capability, [])]
    avx2 = ["-mavx2", "-mfma"]
    arch = {"AVX2": avx2, "AVX512": [*avx2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]}
    # Apple's compiler has no OpenMP, but its directives for vectors.
    openmp = "-fopenmp-simd" if sys.platform == "darwin" else "-fopenmp"
    # Comparisons need not trap, so that a choice between two numbers is not a branch.
    return ["-O3", openmp, "-fno-trapping-math", *arch.get(capability, [])]
