"""GELU by a sigmoid."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import GELUTanh

from polylm_core.training.activation import SigmoidGelu, use_sigmoid_gelu


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.0)])
def test_it_and_its_gradient_are_those_of_the_tanh_form(
    dtype: torch.dtype, tolerance: float
) -> None:
    values = torch.cat([torch.linspace(-30, 30, 6001), torch.tensor([-1e4, 1e4])]).to(dtype)
    found, expected = (values.clone().requires_grad_() for _ in range(2))
    ours, theirs = SigmoidGelu()(found), GELUTanh()(expected)
    ours.sum().backward()
    theirs.sum().backward()
    assert ours.dtype == dtype
    step = torch.finfo(dtype).eps if dtype == torch.bfloat16 else tolerance
    for one, other in ((ours, theirs), (found.grad, expected.grad)):
        assert one is not None
        assert other is not None
        assert torch.allclose(one.float(), other.float(), rtol=step, atol=2e-6)


def test_each_tanh_gelu_of_a_block_is_replaced_and_nothing_else() -> None:
    block = nn.Sequential(nn.Linear(2, 2), nn.Sequential(GELUTanh(), nn.SiLU()))
    use_sigmoid_gelu(block)
    kinds = [type(module) for module in block.modules()]
    assert kinds == [nn.Sequential, nn.Linear, nn.Sequential, SigmoidGelu, nn.SiLU]
