"""The chunked loss equals the plain one, in value and gradient, and holds no whole logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from benchmarks.allocations import Allocations
from polylm_core.training import loss as losses
from polylm_core.training import shares
from polylm_core.training.batch import isolate
from polylm_core.training.dataset import IGNORED_TARGET
from polylm_core.training.job import ModelShape
from polylm_core.training.loss import LanguageModelLoss, OutputHead
from polylm_core.training.model import build_model
from polylm_core.training.shares import chunk_positions

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
LARGE_VOCAB = 256_000
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@pytest.fixture
def head() -> OutputHead:
    return make_head(50, torch.float32)


def make_head(vocab_size: int, dtype: torch.dtype) -> OutputHead:
    torch.manual_seed(0)
    return OutputHead(torch.nn.Parameter(torch.randn(vocab_size, 16).to(dtype)))


def plain(head: OutputHead, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = hidden @ head.weight.t()
    return functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET, reduction="sum"
    )


def in_chunks_of(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "chunk_positions", lambda *_: positions)


def differentiate(
    function: object, head: OutputHead, hidden: torch.Tensor, targets: torch.Tensor
) -> list[torch.Tensor]:
    """Return the loss and the gradients of hidden states and matrix for 0.3 times the loss."""
    assert callable(function)
    own = hidden.clone().requires_grad_()
    head.weight.grad = None
    value = function(head, own, targets)
    (value * 0.3).backward()
    assert own.grad is not None
    assert head.weight.grad is not None
    return [value.detach(), own.grad, head.weight.grad]


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_value_and_gradients_equal_plain_cross_entropy_in_float64(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_chunks_of(chunk, monkeypatch)
    monkeypatch.setattr(losses, "BLOCK_BYTES_CPU", 1200)  # three positions
    head = make_head(50, torch.float64)
    targets = torch.randint(0, 50, (3, 9))
    targets[0, :4] = IGNORED_TARGET
    hidden = torch.randn(3, 9, 16, dtype=torch.float64)
    ours = differentiate(OutputHead.__call__, head, hidden, targets)
    assert not ours[1][0, :4].any()
    expected = differentiate(plain, head, hidden, targets)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@BOTH
def test_two_runs_give_the_same_bits(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    in_chunks_of(64, monkeypatch)
    head = make_head(999, dtype)
    hidden, targets = torch.randn(3, 100, 16).to(dtype), torch.randint(0, 999, (3, 100))
    first, second = (differentiate(OutputHead.__call__, head, hidden, targets) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_float32_differs_by_its_rounding_only_whatever_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = make_head(999, torch.float32)
    hidden, targets = torch.randn(3, 100, 16), torch.randint(0, 999, (3, 100))
    whole = differentiate(OutputHead.__call__, head, hidden, targets)
    in_chunks_of(13, monkeypatch)
    chunked = differentiate(OutputHead.__call__, head, hidden, targets)
    for one, other in zip(whole, chunked, strict=True):
        assert relative_error(one, other.double()) < 1e-6


def test_bfloat16_has_at_most_three_times_the_error_of_one_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares, "CHUNK_BYTES", 1)  # as at a vocabulary that exceeds it
    head, exact = make_head(500, torch.bfloat16), make_head(500, torch.float64)
    exact.weight.data = head.weight.detach().double()
    frequency = 1 / torch.arange(1.0, 501)  # Zipf's: most gradient goes to few rows
    targets = torch.multinomial(frequency, 4096, replacement=True)[None]
    hidden = (torch.randn(1, 4096, 16) + torch.randn(16)).bfloat16()
    expected = differentiate(plain, exact, hidden.double(), targets)
    chunked = differentiate(OutputHead.__call__, head, hidden, targets)
    usual = differentiate(plain, head, hidden, targets)
    assert relative_error(chunked[0], expected[0]) < 1e-4  # summed in float32
    for ours, theirs, reference in zip(chunked[1:], usual[1:], expected[1:], strict=True):
        assert relative_error(ours, reference) < 3 * relative_error(theirs, reference)


def relative_error(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float((value.double() - reference).norm() / reference.norm())


@BOTH
def test_a_batch_without_targets_has_no_loss_and_no_gradient(dtype: torch.dtype) -> None:
    head = make_head(50, dtype)
    targets = torch.full((2, 5), IGNORED_TARGET)
    hidden = torch.randn(2, 5, 16).to(dtype)
    for tensor in differentiate(OutputHead.__call__, head, hidden, targets):
        assert torch.equal(tensor, torch.zeros_like(tensor))
    assert torch.equal(head.eval()(hidden, targets), torch.zeros(2, 5))


@BOTH
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_finite_is_seen_in_the_loss(
    dtype: torch.dtype, value: float, training: bool
) -> None:
    head = make_head(50, dtype).train(training)
    hidden, targets = torch.randn(2, 5, 16).to(dtype), torch.randint(0, 50, (2, 5))
    hidden[1, 2, 3] = value
    assert head(hidden, targets).isnan().any()
    if training:
        _, grad_hidden, grad_weight = differentiate(OutputHead.__call__, head, hidden, targets)
        assert grad_hidden[1, 2].isnan().all()
        assert grad_hidden[0].isfinite().all()
        assert grad_weight.isnan().any()


def test_the_gradients_can_be_asked_for_once(head: OutputHead) -> None:
    loss = head(torch.randn(1, 5, 16), torch.randint(0, 50, (1, 5)))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


@pytest.mark.parametrize("frozen", ["hidden", "matrix"])
def test_what_is_frozen_gets_no_gradient_and_the_other_the_same(
    head: OutputHead, frozen: str
) -> None:
    hidden, targets = torch.randn(2, 5, 16), torch.randint(0, 50, (2, 5))
    _, grad_hidden, grad_weight = differentiate(OutputHead.__call__, head, hidden, targets)
    head.weight.grad = None
    head.weight.requires_grad_(frozen != "matrix")
    hidden.requires_grad_(frozen != "hidden")
    (head(hidden, targets) * 0.3).backward()
    kept, expected = (
        (head.weight.grad, grad_weight) if frozen == "hidden" else (hidden.grad, grad_hidden)
    )
    assert kept is not None
    assert torch.equal(kept, expected)
    assert (hidden if frozen == "hidden" else head.weight).grad is None


def test_hidden_states_wider_than_the_matrix_are_rounded_to_it() -> None:
    head = make_head(50, torch.bfloat16)
    hidden, targets = torch.randn(2, 5, 16), torch.randint(0, 50, (2, 5))
    wide = differentiate(OutputHead.__call__, head, hidden, targets)
    narrow = differentiate(OutputHead.__call__, head, hidden.bfloat16(), targets)
    assert wide[1].dtype == torch.float32
    torch.testing.assert_close(wide, narrow, rtol=0, atol=0, check_dtype=False)


@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_logits_never_take_more_than_an_eighth_of_all(dtype: torch.dtype, training: bool) -> None:
    head = make_head(LARGE_VOCAB, dtype).train(training)
    hidden = torch.randn(1, 512, 16).to(dtype).requires_grad_()
    targets = torch.randint(0, LARGE_VOCAB, (1, 512))
    whole = targets.numel() * LARGE_VOCAB * dtype.itemsize
    gradients = head.weight.nbytes + hidden.nbytes if training else 0
    with Allocations([hidden, head.weight, targets]) as seen:
        loss = head(hidden, targets)
        if training:
            (loss * 0.3).backward()
    assert seen.largest_bytes < whole / 8
    assert seen.peak_bytes - gradients <= whole / 8


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("positions", [1, 100, 512, 2048, 65_536])
def test_a_chunk_is_a_tenth_or_small(positions: int, itemsize: int) -> None:
    for vocab_size in (50, 8_000, LARGE_VOCAB):
        chunk = chunk_positions(positions, vocab_size, itemsize)
        assert chunk >= 1
        assert chunk <= positions / 10 or chunk * vocab_size * itemsize <= shares.CHUNK_BYTES
    assert chunk_positions(2048, 8_000, 4) == 256


def test_evaluation_gives_the_same_losses_by_position(head: OutputHead) -> None:
    targets = torch.randint(0, 50, (2, 5))
    targets[1, 3] = IGNORED_TARGET
    hidden = torch.randn(2, 5, 16)
    by_position = head.eval()(hidden, targets)
    assert by_position.shape == (2, 5)
    assert by_position[1, 3] == 0
    torch.testing.assert_close(by_position.sum(), plain(head, hidden, targets))


def test_a_sequence_is_evaluated_to_the_same_bits_among_others(head: OutputHead) -> None:
    hidden, targets = torch.randn(7, 33, 16), torch.randint(0, 50, (7, 33))
    together = head.eval()(hidden, targets)
    for row in range(7):
        alone = head(hidden[row : row + 1], targets[row : row + 1])
        assert torch.equal(alone[0], together[row])


def test_packed_chats_have_the_losses_they_have_alone() -> None:
    model = LanguageModelLoss(build_model(SHAPE, seed=0)).eval()
    first, second = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[9, 10, 11]])
    targets = torch.tensor([[6, 7, 8, 9]]), torch.tensor([[10, 11, 12]])
    alone = [model(first, targets[0]), model(second, targets[1])]
    segments = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])
    mask, positions = isolate(segments)
    packed = model(torch.cat([first, second], 1), torch.cat(targets, 1), mask, positions)
    torch.testing.assert_close(packed, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)
