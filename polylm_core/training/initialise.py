"""The values a model starts with, by any part of any parameter, so that no rank needs a whole one.

Drawn values are a function of (seed, parameter, position), whatever the number of ranks. Values of
a Hugging Face folder are read where they lie in its files.

Legend: V vocabulary entries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from polylm_core.errors import TrainingError
from polylm_core.training.engine import Kind, Part, Read
from polylm_core.training.permutation import key_of

Values = Callable[[Part], torch.Tensor]
"""Returns the elements of a part, float32 [stop - start]."""

DRAWN_TOGETHER = 1 << 20
"""Elements of a parameter that one generator draws: a rank draws at most so many in vain."""
ADDS_TO_RESIDUALS = ("c_proj.weight", "o_proj.weight", "down_proj.weight")
"""Endings of the matrices whose products are added to the residual stream."""
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What an index raises that is none."""
MEAN_ROWS = 1 << 16
"""Rows of an embedding that are summed at once."""


def initial_state(values: Values) -> Read:
    """Return the state of a run that has done no step: these weights, and moments of zero."""

    def read(kind: Kind, part: Part) -> torch.Tensor:
        return values(part) if kind == "weight" else torch.zeros(part.stop - part.start)

    return read


def random_values(*, seed: int, std: float, num_layers: int) -> Values:
    """Return initial values as GPT-2 draws them (Radford et al. 2019, §2.3; Megatron-LM alike).

    Matrices are normal with `std`, those that add to the residual stream with that over
    sqrt(2 num_layers); biases are 0, the gains of norms 1.
    """

    def values(part: Part) -> torch.Tensor:
        if len(part.shape) < 2:
            constant = 0.0 if part.name.endswith("bias") else 1.0
            return torch.full((part.stop - part.start,), constant)
        adds = part.name.endswith(ADDS_TO_RESIDUALS)
        drawn = torch.from_numpy(_normal(seed, part))
        return drawn.mul_(std / math.sqrt(2 * num_layers) if adds else std)

    return values


def _normal(seed: int, part: Part) -> NDArray[np.float32]:
    """Draw elements [start, stop) of a parameter from N(0, 1)."""
    return _drawn(seed, part, lambda random, size: random.standard_normal(size, dtype=np.float32))


def uniform_values(seed: int, part: Part, *, bound: float) -> torch.Tensor:
    """Draw elements [start, stop) of a parameter from [-bound, bound)."""
    drawn = _drawn(seed, part, lambda random, size: random.random(size, dtype=np.float32))
    return torch.from_numpy(drawn).mul_(2 * bound).sub_(bound)


def _drawn(
    seed: int, part: Part, draw: Callable[[np.random.Generator, int], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Draw elements [start, stop) of a parameter, block by block."""
    numel = math.prod(part.shape)
    found = np.empty(part.stop - part.start, dtype=np.float32)

    def fill(number: int) -> None:
        begin = number * DRAWN_TOGETHER
        size = min(DRAWN_TOGETHER, numel - begin)
        generator = np.random.Generator(np.random.SFC64(int(key_of(seed, part.name, number))))
        drawn = draw(generator, size)
        first, last = max(begin, part.start), min(begin + size, part.stop)
        found[first - part.start : last - part.start] = drawn[first - begin : last - begin]

    numbers = range(part.start // DRAWN_TOGETHER, -(-part.stop // DRAWN_TOGETHER))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # drawing lets go of the GIL
        list(threads.map(fill, numbers))
    return found


class FolderValues:
    """The weights of a Hugging Face folder; rows of the vocabulary that it lacks are a mean.

    A new row is the mean of the old ones (Hewitt 2021, "Initializing New Word Embeddings for
    Pretrained Language Models"): the old pieces keep their probabilities to within a factor, where
    a drawn row can take nearly all of it.
    """

    def __init__(self, folder: Path, *, vocabulary: Set[str], prefix: str) -> None:
        """`vocabulary` names the parameters with a row for each piece.

        `prefix` of the names is left out where a folder has the decoder without its output layer.
        """
        self._folder = folder
        self._vocabulary = vocabulary
        self._prefix = prefix
        self._opened: dict[str, Any] = {}
        self._means: dict[str, torch.Tensor] = {}

    def __call__(self, part: Part) -> torch.Tensor:
        """Return the elements of a part, float32 [stop - start].

        Raises TrainingError when the folder has no such parameter, or has it in another shape.
        """
        stored = self._stored(part.name)
        if not self._fits(part, tuple(stored.shape)):
            raise TrainingError(
                f"{self._folder}: {part.name} is {tuple(stored.shape)} there and {part.shape} in "
                "the params; correct pretrain.model, or start from another folder"
            )
        old = stored.reshape(-1)[part.start : part.stop].float()
        missing = part.stop - part.start - len(old)
        if not missing:
            return old
        columns = math.prod(part.shape[1:])
        mean = self._mean(part.name, stored)
        positions = torch.arange(part.stop - missing, part.stop) % columns
        return torch.cat([old, mean[positions]])

    def _fits(self, part: Part, shape: tuple[int, ...]) -> bool:
        if part.name in self._vocabulary:
            return shape[1:] == part.shape[1:] and shape[0] <= part.shape[0]
        return shape == part.shape

    def _mean(self, name: str, stored_VH: torch.Tensor) -> torch.Tensor:
        if name not in self._means:
            sums = (rows.double().sum(0) for rows in torch.split(stored_VH, MEAN_ROWS))
            self._means[name] = (torch.stack(list(sums)).sum(0) / len(stored_VH)).float()
        return self._means[name]

    def _stored(self, name: str) -> torch.Tensor:
        """Return a parameter as a view of its file, of which only what is used is read."""
        known = self._files
        found = next((key for key in (name, name.removeprefix(self._prefix)) if key in known), None)
        if found is None:
            raise TrainingError(
                f"{self._folder} has no {name}; start from a folder of the same architecture with "
                "its weights as safetensors"
            )
        file = known[found]
        try:
            if file not in self._opened:
                self._opened[file] = safe_open(self._folder / file, framework="pt")
            tensor: torch.Tensor = self._opened[file].get_tensor(found)
        except (OSError, SafetensorError) as error:
            raise self._unreadable(file, error) from error
        return tensor

    @cached_property
    def _files(self) -> dict[str, str]:
        """The file of every tensor in the folder."""
        index = self._folder / WEIGHTS_INDEX
        try:
            if index.is_file():
                files: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
                outside = [name for name in files.values() if Path(name).name != name]
                if outside:
                    raise ValueError(f"{outside[0]!r} is no name of a file beside it")
                return files
            with safe_open(self._folder / WEIGHTS_FILE, framework="pt") as opened:
                return dict.fromkeys(opened.keys(), WEIGHTS_FILE)
        except (*UNREADABLE, SafetensorError) as error:
            raise self._unreadable(f"{WEIGHTS_FILE} or {WEIGHTS_INDEX}", error) from error

    def _unreadable(self, file: str, error: Exception) -> TrainingError:
        return TrainingError(
            f"{self._folder} has no readable {file} ({error}); start from a Hugging Face folder "
            "with its weights as safetensors"
        )
