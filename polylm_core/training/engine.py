"""What the loop needs of a model that trains, however its state lies on the ranks.

`sharded.py` implements it with DeepSpeed ZeRO-3, `whole.py` for one rank that holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from transformers import PreTrainedModel

Kind = Literal["weight", "exp_avg", "exp_avg_sq"]
KINDS: tuple[Kind, ...] = ("weight", "exp_avg", "exp_avg_sq")
"""What a parameter's state is made of: its float32 value and Adam's two moments."""


@dataclass(frozen=True)
class Part:
    """The part of a flattened parameter that a rank holds."""

    name: str
    shape: tuple[int, ...]
    """Of the whole parameter."""
    start: int
    stop: int


Read = Callable[[Kind, Part], torch.Tensor]
"""Returns the elements of a part, float32 [stop - start]."""


class Engine(Protocol):
    """A model under training, seen from one rank."""

    @property
    def device(self) -> torch.device:
        """Where the rank computes."""

    @property
    def model(self) -> PreTrainedModel:
        """The decoder; under ZeRO-3 its parameters are not all there."""

    def losses(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the summed loss in training, the losses [B, T] in evaluation."""

    def logits(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, T, V] in evaluation; every rank must call it."""

    def backward(self, loss: torch.Tensor, *, last: bool) -> None:
        """Add the gradient of a micro-batch's share of the step's loss; `last` of the step."""

    def gradient_square(self) -> torch.Tensor:
        """Return the squared norm, over this rank's parts, of the step's whole gradient.

        The sum over ranks is the squared norm of the gradient before clipping.
        """

    def update(self, learning_rate: float, gradient_norm: float) -> None:
        """Clip the gradient of this norm, do the optimizer's step and forget the gradient."""

    def drop(self) -> None:
        """Forget the gradient without a step."""

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation."""

    def parts(
        self, kinds: Sequence[Kind] = KINDS
    ) -> Iterator[tuple[Part, Mapping[Kind, torch.Tensor]]]:
        """Yield this rank's part of every parameter with these of its state, float32.

        They are copies where the state lies on a disk, and nowhere else.
        """

    @property
    def updates(self) -> int:
        """Optimizer steps done, which Adam corrects its moments by."""

    def restore(self, read: Read, updates: int) -> None:
        """Take the state from elsewhere; every rank must call it."""
