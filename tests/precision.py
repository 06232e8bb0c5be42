"""How near numbers of a narrower type are to the exact ones: in roundings, not in digits."""

import torch

HALVES = [torch.bfloat16, torch.float16]


def assert_near_in(dtype, ours, exact, roundings=16):
    """Equal but for some roundings of this type, in parts of the largest number."""
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    exact = exact.float()
    bound = roundings * eps * exact.abs().max().item()
    torch.testing.assert_close(ours.float(), exact, rtol=0, atol=bound)


def learned_from(call, model, loss_of):
    """What a model returns, its loss, and the gradient of all its parameters in one row."""
    model.zero_grad()
    outputs = [part for part in call() if part is not None]
    loss = loss_of(outputs[0])
    loss.backward()
    # A copy, for a change of the model's type changes its gradients too.
    gradient = torch.cat([p.grad.flatten().clone() for p in model.parameters()])
    return [*outputs, loss], gradient


def assert_model_near(dtype, ours, exact):
    """Outputs number by number; the gradient as a whole, for a ReLU turns with its input's sign."""
    for one, other in zip(ours[0], exact[0], strict=True):
        assert_near_in(dtype, one, other)
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    apart = (ours[1].float() - exact[1].float()).norm()
    assert apart <= 16 * eps * exact[1].float().norm()
