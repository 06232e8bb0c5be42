import math

import pytest
import torch

from gatutils._checks import (
    autocast_dtype,
    expect_device,
    expect_finite,
    expect_same_dtype,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("other", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_types_go_together_exactly_where_torch_multiplies_them(dtype, other, cast):
    """With autocast, without it, and where it is switched off again."""
    one, two = torch.ones(2, 2, dtype=dtype), torch.ones(2, 2, dtype=other)

    def compare():
        for tensor in (one, two):
            assert autocast_dtype(tensor) == (tensor @ tensor).dtype
        try:
            _ = one @ two
        except RuntimeError:
            with pytest.raises(TypeError, match=f"keys: expected {other} like queries, got"):
                expect_same_dtype(one, "keys", two, "queries")
        else:
            expect_same_dtype(one, "keys", two, "queries")
            assert autocast_dtype(one) == autocast_dtype(two) == (one @ two).dtype

    compare()
    with torch.autocast("cpu", cast):
        compare()
        with torch.autocast("cpu", enabled=False):
            compare()


def test_autocast_leaves_whole_numbers_and_shapes_alone():
    with torch.autocast("cpu", torch.bfloat16):
        assert autocast_dtype(torch.ones(2, dtype=torch.long)) == torch.long
        assert autocast_dtype(torch.ones(2, device="meta")) == torch.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_one_bad_number_is_found_wherever_it_stands(unchecked, dtype, bad):
    largest = torch.finfo(dtype).max
    for place in range(3):
        values = torch.tensor([largest, -largest, 0.0], dtype=dtype)
        expect_finite(values, "values")
        values[place] = bad
        with pytest.raises(ValueError, match="values: expected finite numbers, got NaN or inf"):
            expect_finite(values.requires_grad_(), "values")
    expect_finite(torch.zeros(0, 3, dtype=dtype), "values")


def test_a_device_that_is_there_is_returned():
    for device in ("cpu", torch.device("cpu")):
        assert expect_device(device, "device") == torch.device("cpu")


@pytest.mark.parametrize("device", ["nonsense", "cpu:x", "mps:99", "xla", "hpu"])
def test_a_device_that_is_not_there_is_named(unchecked, device):
    with pytest.raises(ValueError, match=f"device: expected a device .*, got '{device}' \\("):
        expect_device(device, "device")


def test_a_device_without_numbers_and_what_is_no_device(unchecked):
    with pytest.raises(ValueError, match="device: expected a device that holds numbers, got 'me"):
        expect_device(torch.device("meta"), "device")
    for wrong in (None, 1.5, True, torch.float32):
        with pytest.raises(TypeError, match="device: expected a device or its name, got"):
            expect_device(wrong, "device")  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda", 0)], ids=str)
def test_cuda_where_there_is_none(unchecked, device):
    with pytest.raises(ValueError, match=f"device: expected .*, got '{device}' \\("):
        expect_device(device, "device")
