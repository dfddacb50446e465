"""Time and memory of the loss beside torch's whole logits: `python -m benchmarks.loss`.

Forward and backward from hidden states to their gradient and the output matrix's: ours,
`linear` + `cross_entropy` of the same precision, and, without a floor, torch's own chunked
`linear_cross_entropy` with chunks as large as ours. Times are processor seconds of one thread, the
sides in turns, the ratio the median of the rounds'. Memory is what the peak adds to inputs and
gradients, in a process of its own for each side: the storages of torch's operations, and the
resident memory, with what the libraries take. The error of the gradients is that of bfloat16
against float64. Ends with status 1 when ours takes more than 1.1 times as long as whole logits, or
more than an eighth of their memory at 256,000 entries. `--quick` takes fewer positions and one
round, and keeps no result.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.modules.linear_cross_entropy_options import LinearCrossEntropyOptions

from benchmarks.allocations import Allocations
from benchmarks.results import tell
from polylm_core.training.loss import summed_loss
from polylm_core.training.shares import chunk_positions

CEILING_TIME = 1.1
CEILING_MEMORY = 1 / 8
LARGE_VOCAB = 256_000
"""Entries from which the ceiling of memory holds."""
POSITIONS, ROUNDS = 2048, 3
PACKAGES = ("polylm", "torch")
ERROR_SHAPE = 32_000, 128


@dataclass(frozen=True)
class Case:
    """One shape in one precision."""

    vocab_size: int
    hidden_size: int
    positions: int
    dtype: str
    matmul_precision: str

    def inputs(self) -> list[torch.Tensor]:
        """Return hidden states, output matrix and targets, and set up torch."""
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision(self.matmul_precision)
        torch.manual_seed(1)
        dtype = getattr(torch, self.dtype)
        hidden = torch.randn(self.positions, self.hidden_size, dtype=dtype)
        matrix = torch.randn(self.vocab_size, self.hidden_size, dtype=dtype)
        matrix /= self.hidden_size**0.5
        targets = torch.randint(0, self.vocab_size, (self.positions,))
        return [hidden.requires_grad_(), matrix.requires_grad_(), targets]

    @property
    def whole_bytes(self) -> int:
        """Size of whole logits, once."""
        itemsize: int = getattr(torch, self.dtype).itemsize
        return self.positions * self.vocab_size * itemsize


def whole_logits(hidden: torch.Tensor, matrix: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss from the logits of all positions."""
    return functional.cross_entropy(functional.linear(hidden, matrix), targets, reduction="sum")


def torch_chunked(
    hidden: torch.Tensor, matrix: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return the loss by torch's own operation in chunks."""
    positions = chunk_positions(len(hidden), len(matrix), hidden.element_size())
    options = LinearCrossEntropyOptions(batch_chunk_size=positions, chunking_method=None)
    return functional.linear_cross_entropy(
        hidden, matrix, targets, reduction="sum", options=options
    )


SIDES: dict[str, Callable[..., torch.Tensor]] = {
    "whole_logits": whole_logits,
    "ours": summed_loss,
    "torch_chunked": torch_chunked,
}


def differentiate(side: str, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Compute loss and gradients as a training step scales them."""
    for tensor in inputs:
        tensor.grad = None
    loss = SIDES[side](*inputs)
    (loss * 0.3).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def warm_up(side: str, inputs: Sequence[torch.Tensor]) -> None:
    """Let torch load and compile what it needs, with a few positions."""
    hidden, matrix, targets = inputs
    differentiate(side, [hidden.detach()[:64].requires_grad_(), matrix, targets[:64]])
    matrix.grad = None


def measure_time(case: Case, rounds: int) -> dict[str, dict[str, float]]:
    """Return processor seconds of each side, and how they compare with whole logits."""
    inputs = case.inputs()
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for side in SIDES:
        warm_up(side, inputs)
    for _ in range(rounds):
        for side, seconds in taken.items():
            started = time.process_time()
            differentiate(side, inputs)
            seconds.append(time.process_time() - started)
    found = {}
    for side, seconds in taken.items():
        ratios = [a / b for a, b in zip(seconds, taken["whole_logits"], strict=True)]
        found[side] = {
            "seconds": round(statistics.median(seconds), 3),
            "times_whole_logits": round(statistics.median(ratios), 3),
        }
    return found


def measure_memory(case: Case, side: str) -> dict[str, float]:
    """Return what a side's peak adds to inputs and gradients, as shares of whole logits."""
    inputs = case.inputs()
    warm_up(side, inputs)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
    before = resident_bytes("VmRSS")
    with Allocations(inputs) as seen:
        differentiate(side, inputs)
    gradients = sum(tensor.nbytes for tensor in inputs[:2])
    resident = resident_bytes("VmHWM") - before - gradients
    return {
        "extra_of_whole_logits": round((seen.peak_bytes - gradients) / case.whole_bytes, 4),
        "resident_extra_of_whole_logits": round(resident / case.whole_bytes, 4),
        "resident_extra_megabytes": round(resident / 1e6, 1),
    }


def resident_bytes(field: str) -> int:
    """Return the process's resident memory, now (VmRSS) or at its peak (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024


def measure_errors(positions: int) -> dict[str, dict[str, float]]:
    """Return the relative errors of loss and gradients in bfloat16, against float64."""
    case = Case(*ERROR_SHAPE, positions, "bfloat16", "highest")
    inputs = case.inputs()
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs[:2]] + [inputs[2]]
    loss = differentiate("whole_logits", exact)
    expected = [loss, exact[0].grad, exact[1].grad]
    found = {}
    for side in SIDES:
        values = [differentiate(side, inputs), inputs[0].grad, inputs[1].grad]
        found[side] = {
            name: float(f"{relative_error(value, reference):.2g}")
            for name, value, reference in zip(
                ("loss", "hidden_gradient", "matrix_gradient"), values, expected, strict=True
            )
        }
    return found


def relative_error(value: torch.Tensor | None, reference: torch.Tensor | None) -> float:
    """Return the norm of the difference over that of the reference."""
    assert value is not None
    assert reference is not None
    return float((value.double() - reference).norm() / reference.norm())


def shortfalls(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where ours is too slow or too large."""
    found = []
    for row in rows:
        what = f"{row['vocab_size']} entries, {row['hidden_size']} wide, {row['dtype']}"
        ours = row["sides"]["ours"]
        if ours["times_whole_logits"] > CEILING_TIME:
            found.append(f"{what}: {ours['times_whole_logits']} times the time")
        for measure in ("extra_of_whole_logits", "resident_extra_of_whole_logits"):
            if row["vocab_size"] >= LARGE_VOCAB and ours[measure] > CEILING_MEMORY:
                found.append(f"{what}: {measure} {ours[measure]}")
    return found


def cases(*, quick: bool) -> list[Case]:
    """Return what is measured."""
    shapes = [(LARGE_VOCAB, 64), (LARGE_VOCAB, 512), (8_000, 256)]
    precisions = [("float32", "highest"), ("bfloat16", "highest"), ("float32", "medium")]
    if quick:
        return [Case(*shapes[0], POSITIONS // 4, *precision) for precision in precisions[:2]]
    return [Case(*shape, POSITIONS, *precision) for shape in shapes for precision in precisions]


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return one row of the result."""
    sides: dict[str, dict[str, float]] = measure_time(case, rounds)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        for side, found in sides.items():
            found.update(processes.submit(measure_memory, case, side).result())
    megabytes = round(case.whole_bytes / 1e6, 1)
    return {**asdict(case), "whole_logits_megabytes": megabytes, "sides": sides}


def main() -> int:
    """Measure all cases; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick: bool = parser.parse_args().quick
    rows = []
    for case in cases(quick=quick):
        rows.append(measure(case, 1 if quick else ROUNDS))
        print(rows[-1], file=sys.stderr, flush=True)
    result = {
        "ceilings": {"times_whole_logits": CEILING_TIME, "of_whole_logits": CEILING_MEMORY},
        "threads": 1,
        "errors_bfloat16": measure_errors(POSITIONS // 4 if quick else POSITIONS),
        "cases": rows,
        "below_floor": shortfalls(rows),
    }
    tell("loss", result, PACKAGES, keep=not quick)
    return int(bool(result["below_floor"]))


if __name__ == "__main__":
    sys.exit(main())
