"""One phase of fine-tuning: its examples packed, its ranks launched, its result kept.

Each phase has a folder of its own in the stage's, with its checkpoints; one that has ended is not
repeated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polylm_core.chat import EncodedChat
from polylm_core.errors import StageError
from polylm_core.records import Instruction
from polylm_core.stages.base import StageRun
from polylm_core.stages.finetune.config import FinetuneConfig, FullMethod, LoraMethod, PhaseConfig
from polylm_core.stages.finetune.pack import pack, write_rows
from polylm_core.stages.finetune.speech import Unfit
from polylm_core.storage import write_atomic
from polylm_core.training.certificate import require_certificate
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, ExportPlan, LoraShape, PackedData, TrainJob
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.order import build_order
from polylm_core.training.run import EXPORT_FOLDER, run_job
from polylm_core.training.schedule import Schedule

ENDED_FILE = "ended.json"
"""Counts of a phase that has ended; written last."""

Example = tuple[Instruction, EncodedChat | Unfit]


@dataclass(frozen=True)
class Phase:
    """A phase with what it starts from."""

    config: PhaseConfig
    seed: int
    work: Path
    start: Path
    """Hugging Face folder of the model it goes on from or hangs an adapter on."""
    context_tokens: int
    """Of that model."""

    @property
    def export(self) -> Path:
        """Where its model or adapter is, once it has ended."""
        return self.work / EXPORT_FOLDER

    @property
    def row_tokens(self) -> int:
        """Length of its rows."""
        return self.config.context_tokens or self.context_tokens


@dataclass(frozen=True)
class Ended:
    """A phase that has ended."""

    phase: Phase
    curves: list[Measurement]
    counts: dict[str, object]


def run_phase(
    phase: Phase, config: FinetuneConfig, examples: Sequence[Example], plan: ExportPlan,
    pad_id: int, run: StageRun,
) -> Ended:  # fmt: skip
    """Train a phase to its end, or go on with it, or find that it has ended.

    Raises StageError when its examples or its batch do not fit its context.
    """
    metrics = MetricsFile(phase.work / "metrics.jsonl")
    counts = _ended(phase)
    if counts is not None:
        return Ended(phase, metrics.read(), counts)
    _require_sizes(phase)
    phase.work.mkdir(exist_ok=True)
    rows_file, counts = _pack(phase, examples, pad_id)
    data = PackedData(
        rows_file=rows_file,
        epochs=phase.config.epochs,
        global_batch_windows=phase.config.global_batch_tokens // phase.row_tokens,
    )
    num_steps = build_order(data, phase.seed).num_steps
    job = _job(phase, config, data, plan, num_steps, run)
    what = "finetune steps" if len(config.phases) == 1 else f"{phase.config.name} steps"
    curves = run_job(job, run.backend, run.progress, num_steps=num_steps, what=what)
    require_certificate(phase.export)
    losses = [row.value for row in curves if row.metric == "loss"]
    counts |= {"steps": num_steps, "first_loss": losses[0], "last_loss": losses[-1]}
    write_atomic(phase.work / ENDED_FILE, json.dumps(counts).encode())
    return Ended(phase, curves, counts)


def _ended(phase: Phase) -> dict[str, object] | None:
    """Return the counts of a phase that has ended, if its export is still as it was."""
    file = phase.work / ENDED_FILE
    if not file.is_file():
        return None
    try:
        require_certificate(phase.export)
    except StageError:  # exported anew from its last checkpoint
        return None
    counts: dict[str, object] = json.loads(file.read_bytes())
    return counts


def _require_sizes(phase: Phase) -> None:
    name, rows, batch = phase.config.name, phase.row_tokens, phase.config.global_batch_tokens
    if rows > phase.context_tokens:
        raise StageError(
            f"finetune phase {name}: context_tokens ({rows}) is more than the base model's context "
            f"({phase.context_tokens}); lower it"
        )
    if batch % rows:
        raise StageError(
            f"finetune phase {name}: global_batch_tokens ({batch}) is not a multiple of its "
            f"context ({rows}); choose a multiple"
        )


def chosen(config: PhaseConfig, examples: Sequence[Example]) -> list[Example]:
    """Return a phase's examples; raises StageError when there are none, or none of an origin."""
    found = [
        (chat, encoded)
        for chat, encoded in examples
        if (config.origins is None or chat.origin in config.origins)
        and (config.languages is None or chat.language in config.languages)
    ]
    for field, wanted, seen in (
        ("origins", config.origins, {chat.origin for chat, _ in found}),
        ("languages", config.languages, {chat.language for chat, _ in found}),
    ):
        missing = sorted(set(wanted or ()) - seen)
        if missing:
            raise StageError(
                f"finetune phase {config.name}: no example of {', '.join(missing)} among the "
                f"{len(examples)} of instruct; correct `{field}`, or have instruct make some"
            )
    return found


def _pack(phase: Phase, examples: Sequence[Example], pad_id: int) -> tuple[Path, dict[str, object]]:
    """Write a phase's rows; return their file and what is in them."""
    context = phase.row_tokens
    mine = chosen(phase.config, examples)
    whole = [(chat, ids) for chat, ids in mine if isinstance(ids, EncodedChat)]
    fitting = [ids for _, ids in whole if len(ids.ids) <= context + 1]
    if not fitting:
        raise StageError(
            f"finetune phase {phase.config.name}: none of the {len(mine)} chats fits a context of "
            f"{context} tokens; use shorter instructions or a base model with a longer context"
        )
    rows = pack(fitting, context)
    file = (phase.work / "rows.npz").absolute()
    answer_tokens = write_rows(file, rows, context_tokens=context, pad_id=pad_id)
    return file, {
        "chats": len(fitting),
        "chats_too_long": _by_origin(chat for chat, ids in whole if len(ids.ids) > context + 1),
        **{
            f"chats_{reason}": _by_origin(chat for chat, ids in mine if ids == reason)
            for reason in sorted({ids for _, ids in mine if isinstance(ids, str)})
        },
        "rows": len(rows),
        "answer_tokens_an_epoch": answer_tokens,
    }


def _by_origin(chats: Iterable[Instruction]) -> dict[str, int]:
    """Count chats that are left out, by origin."""
    return dict(sorted(Counter(chat.origin for chat in chats).items()))


def _job(
    phase: Phase, config: FinetuneConfig, data: PackedData, plan: ExportPlan, num_steps: int,
    run: StageRun,
) -> TrainJob:  # fmt: skip
    method = phase.config.method
    return TrainJob(
        work=phase.work.absolute(),
        account=run.work.absolute(),  # one budget for all phases
        seed=phase.seed,
        data=data,
        init_from=phase.start.absolute(),
        lora=LoraShape(**method.model_dump(exclude={"kind"}))
        if isinstance(method, LoraMethod)
        else None,
        tuned_share=method.tuned_share if isinstance(method, FullMethod) else None,
        export=plan,
        schedule=Schedule(
            num_steps=num_steps,
            warmup_steps=int(num_steps * phase.config.warmup_share),
            start=0.0,
            peak=phase.config.learning_rate,
            final=0.0,
        ),
        # Betas and epsilon of PolyLM's pretraining, it names none here.
        adamw=AdamW(
            beta1=0.9,
            beta2=0.95,
            epsilon=1e-8,
            weight_decay=phase.config.weight_decay,
            max_gradient_norm=config.max_gradient_norm,
        ),
        precision=config.precision,
        matmul_precision=config.matmul_precision,
        guard=GuardOptions(),
        execution=run.training,
        validate_every_steps=max(1, num_steps),
    )
