"""Input validation, with messages that name the argument, what was expected and what was given."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "autocast_dtype",
    "autocasts",
    "expect",
    "expect_all",
    "expect_device",
    "expect_ends",
    "expect_finite",
    "expect_int",
    "expect_list",
    "expect_node_data",
    "expect_same_dtype",
    "expect_sentences",
    "expect_sizes",
    "expect_square",
    "expect_targets",
    "expect_tensor",
    "expect_words",
    "exporting",
    "softmax_dtype",
]


def expect(ok: bool, name: str, expected: str, got: object) -> None:
    """Raise ``ValueError`` unless ``ok``.

    Args:
        ok: The condition that must hold.
        name: The argument, as the caller wrote it.
        expected: What would have been valid.
        got: What was given; it is inserted into the message unchanged.

    Raises:
        ValueError: If ``ok`` is false.
    """
    if not ok:
        raise ValueError(f"{name}: expected {expected}, got {got}")


def expect_int(value: object, name: str, least: int | None = None) -> None:
    """Raise unless ``value`` is an int of at least ``least``.

    Args:
        value: What was given; True and False do not count as ints.
        name: The argument, as the caller wrote it.
        least: The smallest valid value, or None for no limit.

    Raises:
        TypeError: If it is not an int.
        ValueError: If it is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    expect(least is None or value >= least, name, f"an int of at least {least}", value)


def expect_list(value: object, name: str, kind: type) -> None:
    """Raise ``TypeError`` unless ``value`` is a sequence of ``kind``, and not a bare string."""
    # A string is itself a sequence of strings and would be accepted as its letters.
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: expected a sequence of {kind.__name__}, got {value!r}")
    for item in value:
        if not isinstance(item, kind):
            raise TypeError(f"{name}: expected only {kind.__name__}, got {item!r}")


def expect_tensor(
    value: object, name: str, kind: str, ndim: int | None = None, exact: bool = False
) -> None:
    """Raise unless ``value`` is a tensor of the given kind with at least ``ndim`` axes.

    Args:
        value: What was given.
        name: The argument, as the caller wrote it.
        kind: ``"float"``, ``"int"`` (32 or 64 bits) or ``"bool"``.
        ndim: The smallest number of axes, or None for any.
        exact: Require exactly that many.

    Raises:
        TypeError: If it is not a tensor of that kind.
        ValueError: If its number of axes is wrong.
    """
    # Sentences are made only where they are needed: layers check their input in every call.
    if not (isinstance(value, Tensor) and _KINDS[kind](value)):
        wanted = f"an {kind} tensor" if kind == "int" else f"a {kind} tensor"
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected {wanted}, got {got}")
    if ndim is not None and not (value.ndim == ndim if exact else value.ndim >= ndim):
        wanted = f"{ndim} axes" if exact else f"at least {ndim} axes"
        expect(False, name, wanted, f"shape {tuple(value.shape)}")


_KINDS: dict[str, Callable[[Tensor], bool]] = {
    "float": Tensor.is_floating_point,
    "int": lambda value: value.dtype in (torch.int32, torch.int64),
    "bool": lambda value: value.dtype == torch.bool,
}


@runtime_checkable
class _Numbers(Protocol):
    """A tensor, or another matrix with a dtype and a device."""

    @property
    def dtype(self) -> Any: ...
    @property
    def device(self) -> Any: ...


def autocast_dtype(value: _Numbers) -> torch.dtype:
    """Return the dtype in which torch multiplies ``value``: that of autocast where it is enabled.

    As in torch, autocast does not affect float64 and integers. Outside autocast the result is the
    dtype of ``value``.
    """
    dtype: torch.dtype = value.dtype
    eligible = dtype.is_floating_point and dtype != torch.float64
    return torch.get_autocast_dtype(value.device.type) if eligible and autocasts(value) else dtype


def softmax_dtype(value: _Numbers) -> torch.dtype:
    """Return the dtype for the softmax of ``value``: under autocast at least float32.

    torch does the same on a GPU, but not on a CPU. Outside autocast the result is the dtype of
    ``value``.
    """
    dtype: torch.dtype = value.dtype
    return torch.promote_types(dtype, torch.float32) if autocasts(value) else dtype


def autocasts(value: _Numbers) -> bool:
    """Tell whether autocast is enabled on the device of ``value``."""
    device = value.device.type
    # Some devices, such as "meta", have no autocast, and it is an error to ask if it is enabled.
    available = device == "cpu" or torch.amp.is_autocast_available(device)
    return available and torch.is_autocast_enabled(device)


def expect_same_dtype(value: _Numbers, name: str, other: _Numbers, other_name: str) -> None:
    """Raise unless torch multiplies both in the same dtype; see :func:`autocast_dtype`.

    Outside autocast this means that both have the same dtype. Under autocast float32, float16 and
    bfloat16 may be combined.

    Raises:
        TypeError: If the dtypes differ.
    """
    if value.dtype == other.dtype and value.device == other.device:
        return
    if autocast_dtype(value) != autocast_dtype(other):
        raise TypeError(f"{name}: expected {other.dtype} like {other_name}, got {value.dtype}")


def expect_finite(value: Tensor, name: str, expected: str = "finite numbers") -> float:
    """Raise ``ValueError`` if a number is NaN or infinite, in one pass over minimum and maximum.

    Returns:
        The largest magnitude, 0 if there is no number; infinity where ``torch.export`` traces
        without knowing the numbers.
    """
    if not value.numel():  # an empty tensor has no minimum
        return 0.0
    # Where there is a NaN, both minimum and maximum are NaN.
    extremes = value.detach().aminmax()
    if exporting():
        expect_all(torch.stack(extremes).isfinite(), name, expected, "NaN or infinity")
        return math.inf
    low, high = (each.item() for each in extremes)
    expect(math.isfinite(low) and math.isfinite(high), name, expected, "NaN or infinity")
    return max(-low, high)


def expect_all(ok: Tensor, name: str, expected: str, got: object) -> None:
    """Raise ``ValueError`` unless all are true.

    ``torch.export`` traces code without knowing the numbers. There the check becomes part of the
    exported program, which raises ``RuntimeError``.
    """
    if exporting():
        torch._assert_async(ok.all(), f"{name}: expected {expected}, got {got}")
    else:
        expect(bool(ok.all()), name, expected, got)


def exporting() -> bool:
    """Tell whether ``torch.export`` is tracing; older versions of torch do not say."""
    return bool(getattr(torch.compiler, "is_exporting", bool)())


def expect_device(device: torch.device | str | int, name: str) -> torch.device:
    """Return the device, or raise if it cannot hold numbers.

    Raises:
        TypeError: If it is neither a device nor the name of one.
        ValueError: If there is no such device here, or it stores only shapes (``"meta"``).
    """
    if isinstance(device, bool) or not isinstance(device, torch.device | str | int):
        raise TypeError(f"{name}: expected a device or its name, got {device!r}")
    wanted = "a device that this machine and this build of torch have"
    try:  # the type of torch's error depends on the device
        found = torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name}: expected {wanted}, got {str(device)!r} ({why})") from error
    expect(found.type != "meta", name, "a device that holds numbers", "'meta', which keeps shapes")
    return found


def expect_words(words: Tensor, name: str, vocabulary: int) -> None:
    """Raise ``ValueError`` unless every number is a token index: 0 to ``vocabulary`` - 1."""
    if words.numel():
        low, high = int(words.min()), int(words.max())
        expect(low >= 0 and high < vocabulary, name, f"words 0 to {vocabulary - 1}", (low, high))


def expect_sentences(source: Tensor, mask: Tensor, vocabulary: int) -> None:
    """Raise unless ``source`` holds padded sentences and ``mask`` marks their tokens.

    Args:
        source: Token indices, one sentence per row; the padding may hold anything.
        mask: True at the tokens.
        vocabulary: Number of tokens.

    Raises:
        TypeError: If a dtype is wrong.
        ValueError: If shapes differ, the batch is empty, or a sentence is empty, has padding
            before its end, or contains an index out of range.
    """
    expect_tensor(source, "source", "int", ndim=2, exact=True)
    expect_tensor(mask, "mask", "bool")
    shape = tuple(source.shape)
    expect(source.numel() > 0, "source", "one sentence or more", f"shape {shape}")
    expect(mask.shape == source.shape, "mask", f"shape {shape} of source", tuple(mask.shape))
    expect_words(source[mask], "source", vocabulary)
    lengths = mask.sum(dim=1)
    expect(bool((lengths > 0).all()), "mask", "one True or more in each row", "an empty row")
    ends = torch.arange(source.shape[1], device=mask.device) < lengths.unsqueeze(1)
    expect(bool((mask == ends).all()), "mask", "padding only behind the words", "a gap")


def expect_targets(target_in: Tensor, sentences: int, vocabulary: int) -> None:
    """Raise unless ``target_in`` holds the tokens that a decoder reads, one sentence per row.

    Args:
        target_in: Token indices.
        sentences: How many rows it must have.
        vocabulary: Number of tokens.

    Raises:
        TypeError: If it is not an integer tensor.
        ValueError: If its shape is wrong, or an index is out of range.
    """
    expect_tensor(target_in, "target_in", "int", ndim=2, exact=True)
    fits = target_in.shape[0] == sentences and target_in.shape[1] > 0
    expect(fits, "target_in", f"shape ({sentences}, at least 1)", tuple(target_in.shape))
    expect_words(target_in, "target_in", vocabulary)


def expect_ends(source: Tensor, target: Tensor, num_sources: int, num_nodes: int) -> None:
    """Raise unless ``source`` and ``target`` are the ends of edges from so many nodes to so many.

    Raises:
        TypeError: If one is not an integer tensor.
        ValueError: If one is not a vector or is on ``"meta"``, a node index is out of range, or
            their lengths differ.
    """
    for ends, name, count in ((source, "source", num_sources), (target, "target", num_nodes)):
        expect_tensor(ends, name, "int", ndim=1, exact=True)
        expect(not ends.is_meta, name, "a tensor that holds numbers", "one on 'meta'")
        if ends.numel():
            low, high = int(ends.min()), int(ends.max())
            none = "no edges, since there are no nodes"
            wanted = f"nodes 0 to {count - 1}" if count else none
            expect(low >= 0 and high < count, name, wanted, f"{low} to {high}")
    expect(len(source) == len(target), "target", f"{len(source)} like source", len(target))


def expect_square(num_sources: int | None, what: str) -> None:
    """Raise ``ValueError`` if the sources of a graph are not its targets.

    Args:
        num_sources: Their number where they are other nodes, otherwise None.
        what: What needs them to be the same.
    """
    wanted = f"None, since {what} needs sources that are the targets"
    expect(num_sources is None, "num_sources", wanted, num_sources)


def expect_node_data(features: Tensor | None, labels: Tensor | None, num_nodes: int) -> None:
    """Raise unless each that is given has one row per node.

    Raises:
        TypeError: If ``features`` is not a float tensor, or ``labels`` not a tensor.
        ValueError: If the number of rows is wrong, or ``features`` is not a matrix.
    """
    if features is not None:
        expect_tensor(features, "features", "float", ndim=2, exact=True)
        expect(len(features) == num_nodes, "features", f"{num_nodes} rows", len(features))
    if labels is not None:
        if not isinstance(labels, Tensor):
            raise TypeError(f"labels: expected a tensor, got {type(labels).__name__}")
        fits = labels.ndim > 0 and len(labels) == num_nodes
        expect(fits, "labels", f"{num_nodes} of them", f"shape {tuple(labels.shape)}")


def expect_sizes(sizes: Tensor | Sequence[int], num_nodes: int) -> Tensor:
    """Return the number of nodes of each graph as a tensor, or raise if they are not that.

    Raises:
        TypeError: If they are not integers.
        ValueError: If there are none, one is negative, or they do not sum to ``num_nodes``.
    """
    if not isinstance(sizes, Tensor):
        expect_list(sizes, "sizes", int)
        sizes = torch.tensor(sizes, dtype=torch.long)
    expect_tensor(sizes, "sizes", "int", ndim=1, exact=True)
    sizes = sizes.to("cpu", torch.long, copy=True)
    fits = len(sizes) > 0 and bool((sizes >= 0).all()) and int(sizes.sum()) == num_nodes
    expect(fits, "sizes", f"numbers of nodes that sum to {num_nodes}", sizes.tolist())
    return sizes
