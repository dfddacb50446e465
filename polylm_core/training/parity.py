"""The exported folder held against the model that trained, on text of each language.

The folder is opened as its users open it, by `transformers` from the disk alone; its weights are
read layer by layer, so that no machine holds them all.

Legend: N texts, T positions, V vocabulary entries.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig
from transformers.utils import logging as transformers_logging

from polylm_core.errors import TrainingError
from polylm_core.training.certificate import (
    Certificate,
    LanguageParity,
    Sample,
    digests,
)
from polylm_core.training.engine import Engine
from polylm_core.training.tokenizer_parity import end_faults, tokenizer_faults

MAX_POSITIONS = 64
"""Of a text: weights are compared bit for bit, so this is about the computation only."""
MAX_LOGITS = 1 << 28
"""Held at once: 1 GiB of float32."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-1}
"""Difference of a logit allowed, over the largest absolute logit, by what training computes in.

The export computes in float32, so in float32 only the order of sums can differ: 40 layers round to
a few 1e-6, and another approximation of GELU makes 3e-4. In bfloat16 each result is rounded to 8
binary digits, which makes 1e-2 in a trained model and 6e-2 in 40 untrained layers; another
activation function makes 2e-1."""
PADDING = 0
"""Any id: no position sees what follows it."""


@dataclass(frozen=True)
class Reference:
    """What the training model says to the sample."""

    ids_NT: torch.Tensor
    counted_NT: torch.Tensor
    """False on padding."""
    logits_NTV: torch.Tensor
    """float32, on the CPU."""


def reference_logits(engine: Engine, sample: Sample) -> Reference:
    """Return the logits of the training model in evaluation; every rank must call it."""
    engine.train(False)
    reference = _reference(
        engine.model.config, sample, lambda ids_NT: engine.logits(ids_NT.to(engine.device))
    )
    engine.train(True)
    return reference


def logits_of(model: Any, sample: Sample) -> Reference:
    """Return the logits of a model that `transformers` has opened."""
    with quiet():
        return _reference(
            model.config, sample, lambda ids_NT: model(input_ids=ids_NT, use_cache=False).logits
        )


def _reference(
    config: PretrainedConfig, sample: Sample, compute: Callable[[torch.Tensor], torch.Tensor]
) -> Reference:
    fits = MAX_LOGITS // (config.vocab_size * len(sample.texts))
    length = max(1, min(MAX_POSITIONS, config.max_position_embeddings, fits))
    rows = [text.ids[:length] for text in sample.texts]
    ids_NT = torch.full((len(rows), max(map(len, rows))), PADDING)
    counted_NT = torch.zeros(ids_NT.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        ids_NT[number, : len(row)] = torch.tensor(row)
        counted_NT[number, : len(row)] = True
    with torch.no_grad(), _exact_products():
        logits_NTV = compute(ids_NT).cpu().float()
    return Reference(ids_NT, counted_NT, logits_NTV)


def _logit_faults(
    compared: Iterable[tuple[LanguageParity, float]], tolerance: float
) -> Iterator[str]:
    for row, difference in compared:
        if difference > tolerance:
            yield (
                f"{row.language}: a logit differs by {difference:.2g} of the largest where "
                f"{tolerance:g} is allowed, {row.same_argmax:.1%} of the likeliest tokens are "
                "the same; install the versions that constraints.txt names"
            )


def _compare_weights(
    folder: Path, weights: Iterable[tuple[str, torch.Tensor]]
) -> tuple[int, list[str]]:
    """Read the weights back; return how many elements they have, and which are not as trained."""
    files: list[Any] = [
        safe_open(file, framework="pt") for file in sorted(folder.glob("*.safetensors"))
    ]
    holder = {name: file for file in files for name in file.keys()}
    elements, problems = 0, []
    for name, tensor in weights:
        elements += tensor.numel()
        if name not in holder or not _same_bits(holder.pop(name).get_tensor(name), tensor):
            problems.append(f"{name} is not as trained; the disk may be failing, use another")
    problems += [f"{name} was never trained; run again" for name in holder]
    return elements, problems


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


@contextmanager
def opened(folder: Path, tokenizer_folder: Path | None = None) -> Iterator[tuple[Any, Any]]:
    """Open a folder as its users do: model and tokenizer, with nothing from elsewhere."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".offload-") as scratch:
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                device_map={"": "disk"},
                offload_folder=scratch,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                tokenizer_folder or folder, local_files_only=True
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise TrainingError(
                f"{folder} does not open in transformers, and is not published: {error}"
            ) from error
        model, info = loaded
        if any(info.values()):
            raise TrainingError(
                f"{folder} does not fit the model that transformers makes of it, and is not "
                f"published: {info}"
            )
        yield model.eval(), tokenizer


def certify(
    folder: Path,
    sample: Sample,
    reference: Reference,
    weights: Iterable[tuple[str, torch.Tensor]],
    *,
    precision: str,
    open_as: Callable[[Path], AbstractContextManager[tuple[Any, Any]]] = opened,
) -> Certificate:
    """Return the certificate of an exported folder.

    `open_as` opens it, where it is no whole model. Raises TrainingError that names all that does
    not hold, with the figures.
    """
    tolerance = TOLERANCE[precision]
    parameters, problems = _compare_weights(folder, weights)
    with quiet(), open_as(folder) as (model, tokenizer), torch.no_grad(), _exact_products():
        logits_NTV = model(input_ids=reference.ids_NT, use_cache=False).logits
        compared = list(_compare(sample, reference, logits_NTV))
        del logits_NTV
        problems += _logit_faults(compared, tolerance)
        problems += [*tokenizer_faults(tokenizer, sample), *end_faults(model, tokenizer, sample)]
        architecture = type(model).__name__
    if problems:
        raise TrainingError(
            f"{folder} is not the model that trained, and is not published:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    return Certificate(
        architecture=architecture,
        parameters=parameters,
        precision=precision,
        logit_tolerance=tolerance,
        eos_id=sample.eos_id,
        languages=tuple(row for row, _ in compared),
        sha256=digests(folder),
    )


def _compare(
    sample: Sample, reference: Reference, logits_NTV: torch.Tensor
) -> Iterator[tuple[LanguageParity, float]]:
    """Yield what came out for each language, and the largest difference before rounding."""
    scale = float(reference.logits_NTV.abs().max())
    languages: dict[str, list[int]] = {}
    for number, text in enumerate(sample.texts):
        languages.setdefault(text.language, []).append(number)
    for code, numbers in languages.items():
        difference, agreed = 0.0, []
        for number in numbers:
            counted_T = reference.counted_NT[number]
            expected = reference.logits_NTV[number][counted_T]
            found = logits_NTV[number][counted_T].to(expected)
            difference = max(_share(float((found - expected).abs().max()), scale), difference)
            agreed += (found.argmax(-1) == expected.argmax(-1)).tolist()
        row = LanguageParity(
            language=code,
            texts=len(numbers),
            tokens=sum(len(sample.texts[number].ids) for number in numbers),
            positions=len(agreed),
            # Rounded so that the same run has the same certificate wherever its tensors lie.
            logit_difference=_power_of_ten(difference),
            same_argmax=math.floor(1000 * sum(agreed) / len(agreed)) / 1000,
        )
        yield row, difference


def _share(difference: float, scale: float) -> float:
    """Return a difference over the largest logit; infinite where either is no number."""
    if difference == 0:
        return 0.0
    return difference / scale if math.isfinite(difference) and 0 < scale < math.inf else math.inf


def _power_of_ten(value: float) -> float:
    """Return the smallest power of ten that is no less."""
    return float(f"1e{math.ceil(math.log10(value))}") if 0 < value < math.inf else value


@contextmanager
def _exact_products() -> Iterator[None]:
    """Multiply float32 matrices in float32, however training does it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from telling that weights are read from disk, as they are meant to be."""
    dispatch = logging.getLogger("accelerate.big_modeling")
    levels = dispatch.level, transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    dispatch.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        dispatch.setLevel(levels[0])
        transformers_logging.set_verbosity(levels[1])
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
