"""The fused loss of liger-kernel has our result, and without it the memory is bounded too.

Stated tolerance, as the norm of the difference over that of the reference: float32 1e-5; bfloat16
1e-4 for the loss and 1e-2 for the gradients, which are rounded to 2**-9 in both.
"""

from __future__ import annotations

import pytest
import torch

from polylm_core.training import loss as losses
from polylm_core.training.loss import LinearCrossEntropy, summed_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
TOLERANCES = {torch.float32: (1e-5, 1e-5), torch.bfloat16: (1e-4, 1e-2)}
BOTH = pytest.mark.parametrize("dtype", TOLERANCES)
LARGE_VOCAB = 256_000


def inputs(
    vocab_size: int, positions: int, hidden_size: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    hidden = torch.randn(positions, hidden_size, device="cuda").to(dtype)
    matrix = torch.randn(vocab_size, hidden_size, device="cuda").div(hidden_size**0.5).to(dtype)
    targets = torch.randint(0, vocab_size, (positions,), device="cuda")
    return hidden.requires_grad_(), matrix.requires_grad_(), targets


def differentiate(
    function: object, hidden: torch.Tensor, matrix: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    """Return the loss and the gradients of hidden states and matrix for 0.3 times the loss."""
    assert callable(function)
    hidden.grad = matrix.grad = None
    value = function(hidden, matrix, targets)
    (value * 0.3).backward()
    assert hidden.grad is not None
    assert matrix.grad is not None
    return [value.detach(), hidden.grad, matrix.grad]


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float((value.double() - reference.double()).norm() / reference.double().norm())


@BOTH
def test_liger_is_used_where_it_is_installed_and_has_our_result(dtype: torch.dtype) -> None:
    pytest.importorskip("liger_kernel", reason="needs liger-kernel: pip install 'polylm[gpu]'")
    hidden, matrix, targets = inputs(32_000, 4096, 256, dtype)
    assert "Liger" in type(summed_loss(hidden, matrix, targets).grad_fn).__name__
    fused = differentiate(summed_loss, hidden, matrix, targets)
    again = differentiate(summed_loss, hidden, matrix, targets)
    for one, other in zip(fused, again, strict=True):
        assert torch.equal(one, other)
    ours = differentiate(LinearCrossEntropy.apply, hidden, matrix, targets)
    at_loss, at_gradients = TOLERANCES[dtype]
    assert relative_error(fused[0], ours[0]) < at_loss
    for theirs, own in zip(fused[1:], ours[1:], strict=True):
        assert relative_error(theirs, own) < at_gradients


@BOTH
def test_a_batch_without_targets_has_no_gradient(dtype: torch.dtype) -> None:
    for tensor in differentiate(summed_loss, *inputs(32_000, 0, 256, dtype)):
        assert torch.equal(tensor, torch.zeros_like(tensor))


@BOTH
def test_ours_keeps_to_an_eighth_of_the_logits_and_to_its_bits(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_fused_kernels", lambda: None)
    hidden, matrix, targets = inputs(LARGE_VOCAB, 4096, 128, dtype)
    first = differentiate(summed_loss, hidden, matrix, targets)
    before = torch.cuda.memory_allocated() - first[1].nbytes - first[2].nbytes
    del first[1:]
    hidden.grad = matrix.grad = None
    torch.cuda.reset_peak_memory_stats()
    second = differentiate(summed_loss, hidden, matrix, targets)
    extra = torch.cuda.max_memory_allocated() - before - hidden.nbytes - matrix.nbytes
    assert extra <= 4096 * LARGE_VOCAB * dtype.itemsize / 8
    assert torch.equal(first[0], second[0])
