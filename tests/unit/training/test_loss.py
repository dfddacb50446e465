"""The chunked loss equals the plain one, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from polylm_core.training import loss as losses
from polylm_core.training.batch import isolate
from polylm_core.training.dataset import IGNORED_TARGET
from polylm_core.training.job import ModelShape
from polylm_core.training.loss import LanguageModelLoss, OutputHead
from polylm_core.training.model import build_model

SHAPE = ModelShape(
    num_layers=1,
    hidden_size=16,
    num_heads=2,
    context_tokens=12,
    vocab_size=50,
    initializer_std=0.5,
    bos_id=1,
    eos_id=2,
    pad_id=3,
)


@pytest.fixture
def head() -> OutputHead:
    torch.manual_seed(0)
    return OutputHead(torch.nn.Parameter(torch.randn(50, 16)))


def plain(head: OutputHead, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = hidden @ head.weight.t()
    return functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET, reduction="sum"
    )


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_value_and_gradients_equal_plain_cross_entropy(
    head: OutputHead, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_POSITIONS", chunk)
    targets = torch.randint(0, 50, (3, 9))
    targets[0, :4] = IGNORED_TARGET
    hidden = torch.randn(3, 9, 16, requires_grad=True)
    reference = hidden.detach().clone().requires_grad_()
    expected = plain(head, reference, targets)
    (expected * 0.5).backward()
    expected_weight = head.weight.grad.clone()
    head.weight.grad = None

    value = head(hidden, targets)
    (value * 0.5).backward()

    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(hidden.grad, reference.grad)
    torch.testing.assert_close(head.weight.grad, expected_weight)


def test_evaluation_gives_the_same_losses_by_position(head: OutputHead) -> None:
    targets = torch.randint(0, 50, (2, 5))
    targets[1, 3] = IGNORED_TARGET
    hidden = torch.randn(2, 5, 16)
    by_position = head.eval()(hidden, targets)
    assert by_position.shape == (2, 5)
    assert by_position[1, 3] == 0
    torch.testing.assert_close(by_position.sum(), plain(head, hidden, targets))


def test_packed_chats_have_the_losses_they_have_alone() -> None:
    model = LanguageModelLoss(build_model(SHAPE, seed=0)).eval()
    first, second = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[9, 10, 11]])
    targets = torch.tensor([[6, 7, 8, 9]]), torch.tensor([[10, 11, 12]])
    alone = [model(first, targets[0]), model(second, targets[1])]
    segments = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    mask, positions = isolate(segments)
    packed = model(torch.cat([first, second], 1), torch.cat(targets, 1), mask, positions)
    torch.testing.assert_close(packed, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)
