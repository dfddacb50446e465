"""From the last checkpoint to a Hugging Face folder, and the proof that it is the same model.

The weights are written shard by shard as they are read, so that one process holds one shard and one
parameter at a time, however large the model is.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import torch
from huggingface_hub import StateDictSplit, split_torch_state_dict_into_shards
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from polylm_core.errors import PolyLMError, TrainingError
from polylm_core.storage import no_space_named, write_atomic
from polylm_core.training.adapter import peft_name
from polylm_core.training.certificate import (
    Sample,
    read_sample,
    write_certificate,
    write_sample,
)
from polylm_core.training.engine import Engine
from polylm_core.training.job import TrainJob
from polylm_core.training.parity import Reference, certify, reference_logits
from polylm_core.training.run import EXPORT_FOLDER

LONGEST_WAIT = timedelta(hours=6)
"""The other ranks wait for the first to write and compare, which goes over all weights about ten
times, some of them on a CPU; NCCL would give up after ten minutes. It is the watchdog's deadline of
the export too."""
MAX_SHARD_BYTES = 5 * 10**9
"""Of one weights file, as the Hugging Face hub advises."""

Shapes = Mapping[str, tuple[int, ...]]
Weights = Iterable[tuple[str, torch.Tensor]]
"""Every parameter's name and float32 value, one at a time."""


def export(engine: Engine, job: TrainJob, weights: Callable[[], Weights]) -> None:
    """Write the trained model to `job.work / EXPORT_FOLDER`; every rank must call it.

    Where the job says what with, the folder is held against the engine's model and gets its
    certificate. Raises TrainingError, on all ranks, when it is not the same model.
    """
    folder = job.work / EXPORT_FOLDER
    plan = job.export
    sample = None if plan is None else read_sample(plan.sample_file)
    reference = None if sample is None else reference_logits(engine, sample)

    if job.lora is not None:
        _on_first_rank(lambda: _write_adapter(engine, job, weights, sample, reference))
        return

    def write() -> None:
        shapes = {part.name: part.shape for part, _ in engine.parts([])}
        with no_space_named(folder):
            write_model(engine.model.config, shapes, weights(), folder)
            if plan is None or sample is None or reference is None:
                return
            for file in sorted(plan.tokenizer_folder.iterdir()):
                shutil.copyfile(file, folder / file.name)
            certificate = certify(folder, sample, reference, weights(), precision=job.precision)
            write_certificate(folder, certificate)

    _on_first_rank(write)


def _write_adapter(
    engine: Engine,
    job: TrainJob,
    weights: Callable[[], Weights],
    sample: Sample | None,
    reference: Reference | None,
) -> None:
    """Write the adapter, and the sample that base and adapter together are held against."""
    from polylm_core.training.adapter_export import SAMPLE, opens, write_adapter

    folder = job.work / EXPORT_FOLDER
    assert job.lora is not None
    assert job.init_from is not None
    with no_space_named(folder):
        write_adapter(job.lora, engine.model.config.model_type, weights(), folder)
        if job.export is None or sample is None or reference is None:
            return
        write_sample(folder / SAMPLE, sample)
        trained = ((peft_name(name), tensor) for name, tensor in weights())
        open_as = opens(job.init_from, job.export.tokenizer_folder)
        certificate = certify(
            folder, sample, reference, trained, precision=job.precision, open_as=open_as
        )
        write_certificate(folder, certificate)


def _on_first_rank(work: Callable[[], None]) -> None:
    """Work on the first rank while the others wait; what fails there fails on all."""
    waiting = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    told: list[Exception | None] = [None]
    try:
        if torch.distributed.get_rank() == 0:
            work()
    except PolyLMError as error:
        told = [error]
        raise
    except Exception as error:
        told = [RuntimeError(f"the first rank failed: {error!r}")]  # not every error can be sent
        raise
    finally:
        torch.distributed.broadcast_object_list(told, src=0, group=waiting)
        torch.distributed.destroy_process_group(waiting)
    if told[0] is not None:
        raise told[0]


def write_model(
    config: PretrainedConfig,
    shapes: Shapes,
    weights: Weights,
    folder: Path,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write configuration and weights of a causal language model; equal weights, equal bytes.

    The configuration that is written allows the key-value cache again and stops at the end token.

    Raises TrainingError when the weights are not those of the configuration's model.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what a killed export left
    folder.mkdir(parents=True)
    plain = _plain(config)
    _require_shapes(plain, shapes)
    _write_configuration(config, type(plain).__name__, folder)
    on_paper = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    plan = split_torch_state_dict_into_shards(
        on_paper, filename_pattern="model{suffix}.safetensors", max_shard_size=max_shard_bytes
    )
    for name, tensors in _shards(plan, weights):
        save_file(tensors, folder / name, metadata={"format": "pt"})
        (folder / name).chmod(0o644)  # safetensors writes for its owner only
        tensors.clear()
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        write_atomic(folder / SAFE_WEIGHTS_INDEX_NAME, text.encode())


def _write_configuration(config: PretrainedConfig, architecture: str, folder: Path) -> None:
    config = copy.deepcopy(config)
    config.architectures = [architecture]
    config.dtype = torch.float32
    config.use_cache = True
    config.name_or_path = ""
    config.save_pretrained(folder)
    GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        use_cache=True,
    ).save_pretrained(folder)


def _plain(config: PretrainedConfig) -> PreTrainedModel:
    """Return what `transformers` will make of the configuration, without memory for weights."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config
        )
    return model


def _require_shapes(plain: PreTrainedModel, shapes: Shapes) -> None:
    expected = {name: tuple(value.shape) for name, value in plain.named_parameters()}
    found = {name: tuple(shape) for name, shape in shapes.items()}
    other = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if other:
        name = other[0]
        raise TrainingError(
            f"{len(other)} parameters are not those of a {type(plain).__name__}: {name} is "
            f"{found.get(name)} in training and {expected.get(name)} in transformers; the model "
            "cannot be exported as what its configuration says"
        )


def _shards(
    plan: StateDictSplit, weights: Weights
) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield each file's tensors as soon as they are all there; the receiver empties them."""
    waiting: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in weights:
        file = plan.tensor_to_filename[name]
        tensors = waiting.setdefault(file, {})
        tensors[name] = tensor
        del tensor
        if len(tensors) == len(plan.filename_to_tensors[file]):
            yield file, waiting.pop(file)
    if waiting:
        raise TrainingError(f"the weights for {', '.join(waiting)} are not all there; run again")
