"""One way to refuse bad input: name the argument, what was expected, what came."""

from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "autocast_dtype",
    "autocasts",
    "expect",
    "expect_device",
    "expect_finite",
    "expect_int",
    "expect_list",
    "expect_same_dtype",
    "expect_sentences",
    "expect_targets",
    "expect_tensor",
    "expect_words",
    "softmax_dtype",
]


def expect(ok: bool, name: str, expected: str, got: object) -> None:
    """Raise ``ValueError`` unless ``ok``.

    Args:
        ok: The condition that must hold.
        name: The argument as the caller wrote it.
        expected: What would have been right.
        got: What came; put into the message as it is.

    Raises:
        ValueError: If ``ok`` is false.
    """
    if not ok:
        raise ValueError(f"{name}: expected {expected}, got {got}")


def expect_int(value: object, name: str, least: int | None = None) -> None:
    """Raise unless ``value`` is a whole number, ``least`` or more.

    Args:
        value: What came; True and False are no numbers here.
        name: The argument as the caller wrote it.
        least: The least that will do, or None for any.

    Raises:
        TypeError: If it is not an int.
        ValueError: If it is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    expect(least is None or value >= least, name, f"an int of at least {least}", value)


def expect_list(value: object, name: str, kind: type) -> None:
    """Raise ``TypeError`` unless ``value`` is a sequence of ``kind``, and not a bare string."""
    # A string is a sequence of strings too, and would pass as letters.
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: expected a sequence of {kind.__name__}, got {value!r}")
    for item in value:
        if not isinstance(item, kind):
            raise TypeError(f"{name}: expected only {kind.__name__}, got {item!r}")


def expect_tensor(
    value: object, name: str, kind: str, ndim: int | None = None, exact: bool = False
) -> None:
    """Raise unless ``value`` is a tensor of the right kind with at least ``ndim`` axes.

    Args:
        value: What came.
        name: The argument as the caller wrote it.
        kind: ``"float"``, ``"int"`` (32 or 64 bits) or ``"bool"``.
        ndim: The least number of axes, or None for any.
        exact: Allow no more than that.

    Raises:
        TypeError: If it is no tensor, or one of another kind.
        ValueError: If its number of axes is another.
    """
    wanted = f"an {kind} tensor" if kind == "int" else f"a {kind} tensor"
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}")
    of_kind = {
        "float": value.is_floating_point(),
        "int": value.dtype in (torch.int32, torch.int64),
        "bool": value.dtype == torch.bool,
    }[kind]
    if not of_kind:
        raise TypeError(f"{name}: expected {wanted}, got {value.dtype}")
    if ndim is not None:
        right = value.ndim == ndim if exact else value.ndim >= ndim
        wanted = f"{ndim} axes" if exact else f"at least {ndim} axes"
        expect(right, name, wanted, f"shape {tuple(value.shape)}")


@runtime_checkable
class _Numbers(Protocol):
    """A tensor, or another matrix that knows its type and its device."""

    @property
    def dtype(self) -> Any: ...
    @property
    def device(self) -> Any: ...


def autocast_dtype(value: _Numbers) -> torch.dtype:
    """Return the type in which torch multiplies ``value``: autocast's where it is on.

    As in torch, autocast leaves double precision and whole numbers alone. Outside autocast it is
    the type that ``value`` has.
    """
    dtype = cast(torch.dtype, value.dtype)
    eligible = dtype.is_floating_point and dtype != torch.float64
    return torch.get_autocast_dtype(value.device.type) if eligible and autocasts(value) else dtype


def softmax_dtype(value: _Numbers) -> torch.dtype:
    """Return the type for the softmax of ``value``: under autocast at least float32.

    So does torch on a GPU, but not on a CPU. Outside autocast it is the type that ``value`` has.
    """
    dtype = cast(torch.dtype, value.dtype)
    return torch.promote_types(dtype, torch.float32) if autocasts(value) else dtype


def autocasts(value: _Numbers) -> bool:
    """Tell whether autocast is on where ``value`` is."""
    device = value.device.type
    # Some devices know no autocast ("meta"), and asking them whether it is on is an error.
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def expect_same_dtype(value: _Numbers, name: str, other: _Numbers, other_name: str) -> None:
    """Raise unless both are multiplied in one type; see :func:`autocast_dtype`.

    Outside autocast this means that both are of one type. Under autocast float32, float16 and
    bfloat16 go together.

    Raises:
        TypeError: If they are not.
    """
    if autocast_dtype(value) != autocast_dtype(other):
        raise TypeError(f"{name}: expected {other.dtype} like {other_name}, got {value.dtype}")


def expect_finite(value: Tensor, name: str, expected: str = "finite numbers") -> None:
    """Raise ``ValueError`` if a number is NaN or infinite; the extremes tell, in one pass."""
    # The extremes of no numbers are an error; NaN is both extremes of whatever holds one.
    finite = not value.numel() or bool(torch.stack(value.detach().aminmax()).isfinite().all())
    expect(finite, name, expected, "NaN or infinity")


def expect_device(device: torch.device | str | int, name: str) -> torch.device:
    """Return the device, and raise where no numbers can be put on it.

    Raises:
        TypeError: If it is neither a device nor the name of one.
        ValueError: If there is no such device here, or it keeps shapes alone (``"meta"``).
    """
    if isinstance(device, bool) or not isinstance(device, torch.device | str | int):
        raise TypeError(f"{name}: expected a device or its name, got {device!r}")
    wanted = "a device that this machine and this build of torch have"
    try:  # torch refuses with an error of another kind for almost every device
        found = torch.empty(0, device=device).device
    except (AssertionError, ImportError, RuntimeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name}: expected {wanted}, got {str(device)!r} ({why})") from error
    expect(found.type != "meta", name, "a device that holds numbers", "'meta', which keeps shapes")
    return found


def expect_words(words: Tensor, name: str, vocabulary: int) -> None:
    """Raise ``ValueError`` unless every number is one of a word: 0 to ``vocabulary`` - 1."""
    if words.numel():
        low, high = int(words.min()), int(words.max())
        expect(low >= 0 and high < vocabulary, name, f"words 0 to {vocabulary - 1}", (low, high))


def expect_sentences(source: Tensor, mask: Tensor, vocabulary: int) -> None:
    """Raise unless ``source`` holds padded sentences and ``mask`` says where their words are.

    Args:
        source: Word numbers, one sentence a row; what stands in the padding does not matter.
        mask: True at the words.
        vocabulary: Number of words.

    Raises:
        TypeError: If a dtype is wrong.
        ValueError: If shapes differ, there is no sentence, or one is empty, has padding before
            its end, or holds a number that is no word.
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
    """Raise unless ``target_in`` holds the words that a decoder reads, one sentence a row.

    Args:
        target_in: Word numbers.
        sentences: How many rows it must have.
        vocabulary: Number of words.

    Raises:
        TypeError: If it holds no whole numbers.
        ValueError: If its shape is another, or a number is no word.
    """
    expect_tensor(target_in, "target_in", "int", ndim=2, exact=True)
    fits = target_in.shape[0] == sentences and target_in.shape[1] > 0
    expect(fits, "target_in", f"shape ({sentences}, at least 1)", tuple(target_in.shape))
    expect_words(target_in, "target_in", vocabulary)
