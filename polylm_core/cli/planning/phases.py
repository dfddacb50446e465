"""The runs of training that a recipe asks for: models, steps and tokens of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from polylm_core.cli.planning.request import batches_of
from polylm_core.errors import TrainingError
from polylm_core.params import Params
from polylm_core.settings import Profile
from polylm_core.stages.finetune.config import LoraMethod, PhaseConfig
from polylm_core.stages.pretrain.config import ModelConfig, PretrainConfig
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig
from polylm_core.training.batches import BatchSizes
from polylm_core.training.job import LoraShape, ModelShape
from polylm_core.training.plan import Memory, Precision, Step, memory_of, steps_of
from polylm_core.training.sizes import Sizes, sizes_of


@dataclass(frozen=True)
class Part:
    """A part of a run: a stage of the curriculum, or all of a phase."""

    name: str
    tokens: int | None
    """None where nobody says so beforehand."""
    steps: int | None


@dataclass(frozen=True)
class Phase:
    """One training run."""

    name: str
    how: str
    sizes: Sizes
    shape: ModelShape
    """With the context of a row of training."""
    precision: Precision
    parts: tuple[Part, ...]
    ways: tuple[Step, ...]
    """How the ranks may share a step, the most ranks first; none where they cannot."""
    ramp: tuple[tuple[int, int], ...] = ()
    """Tokens in all, and sequences of each step, of smaller steps at the beginning."""

    def memory(self, profile: Profile, way: Step) -> Memory:
        """Return the bytes of a rank when the ranks share a step in this way."""
        return memory_of(self.sizes, self.shape, way, profile.training, self.precision)


def phases_of(params: Params, profile: Profile) -> list[Phase]:
    """Return the runs of a recipe, in order; raises TrainingError for a target of no adapter."""
    config = params.pretrain
    if isinstance(config, ImportedBaseConfig):
        described = config.imported.model
        assert described is not None
        shape = _shape(described, described.vocab_size)
        return list(_finetuning(params, shape, profile))
    shape = _shape(config.model, params.vocab.vocab_size or 0)
    return [
        _pretraining(params, config, shape, profile),
        *_finetuning(params, shape, profile),
    ]


def _shape(config: ModelConfig, vocab_size: int) -> ModelShape:
    return ModelShape(
        **config.model_dump(exclude={"vocab_size"}),
        vocab_size=vocab_size,
        bos_id=0,  # nothing that is planned depends on these
        eos_id=0,
        pad_id=0,
    )


def _pretraining(
    params: Params, config: PretrainConfig, shape: ModelShape, profile: Profile
) -> Phase:
    batches, context = batches_of(config), config.model.context_tokens
    return Phase(
        name="pretrain",
        how="full",
        sizes=sizes_of(shape),
        shape=shape,
        precision=Precision(config.precision, config.residual_precision),
        parts=tuple(_curriculum(params, config, batches)),
        ways=tuple(steps_of(batches, profile.training)),
        ramp=tuple((windows * context, size) for windows, size in config.ramp_windows),
    )


def _curriculum(params: Params, config: PretrainConfig, batches: BatchSizes) -> Iterator[Part]:
    context, windows, done = config.model.context_tokens, 0, 0
    for stage in params.mix.stages:
        read = params.mix.tokens_of(stage) // config.global_batch_tokens * batches.full
        windows += read
        steps = batches.step_of(windows) - done
        done += steps
        yield Part(stage.name, read * context, steps)


def _finetuning(params: Params, shape: ModelShape, profile: Profile) -> Iterator[Phase]:
    for phase in params.finetune.phases:
        rows = phase.context_tokens or shape.context_tokens
        lora = _lora(phase)
        try:
            ways = steps_of(BatchSizes(phase.global_batch_tokens // rows), profile.training)
        except TrainingError:  # told with the other problems, with its mend
            ways = []
        tokens = None if phase.expected_tokens is None else phase.expected_tokens * phase.epochs
        steps = None if tokens is None else int(tokens) // phase.global_batch_tokens
        yield Phase(
            name=f"finetune {phase.name}",
            how="full" if lora is None else f"LoRA of rank {lora.rank}",
            sizes=sizes_of(shape, lora=lora, row_tokens=rows),
            shape=shape.model_copy(update={"context_tokens": rows}),
            precision=Precision(params.finetune.precision, "float32"),
            parts=(Part("examples", None if tokens is None else int(tokens), steps),),
            ways=tuple(ways),
        )


def _lora(phase: PhaseConfig) -> LoraShape | None:
    method = phase.method
    if not isinstance(method, LoraMethod):
        return None
    return LoraShape(**method.model_dump(exclude={"kind"}))
