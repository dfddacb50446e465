"""`finetune`: supervised tuning of the base model on chats, loss on the answers only."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import BaseModelFolder, ChatModelFolder, InstructionSet, partial_folder
from polylm_core.chat import CHAT_TEMPLATE, EncodedChat, encode_chat
from polylm_core.errors import StageError
from polylm_core.records import Instruction, read_instructions
from polylm_core.stages.base import StageRun
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.finetune.pack import pack, write_rows
from polylm_core.stages.finetune.sample import write_chat_sample
from polylm_core.storage import no_space_named
from polylm_core.training.certificate import as_table, require_certificate
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, ExportPlan, PackedData, TrainJob
from polylm_core.training.metrics import Measurement
from polylm_core.training.order import build_order
from polylm_core.training.run import EXPORT_FOLDER, run_job, write_curves
from polylm_core.training.schedule import Schedule

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def finetune(
    config: FinetuneConfig, base: BaseModelFolder, instructions: InstructionSet, run: StageRun
) -> ChatModelFolder:
    """Tune, resume from the work folder's last checkpoint if there is one, export and publish.

    Raises StageError when the batch does not fit the context or no chat does.
    """
    context = _context_tokens(base)
    twin = tokenizers.HuggingFaceTwin(base.path)
    chats = list(read_instructions(instructions.path / "train.parquet"))
    encoded = _encoded(chats, twin, run)
    fitting = [chat for chat in encoded if len(chat.ids) <= context + 1]
    if not fitting:
        raise StageError(
            f"none of the {len(chats)} chats fits a context of {context} tokens; "
            "use shorter instructions or a base model with a longer context"
        )
    rows = pack(fitting, context)
    file = (run.work / "rows.npz").absolute()
    answer_tokens = write_rows(file, rows, context_tokens=context, pad_id=tokenizers.PAD_ID)
    plan = _export_plan(base, instructions, chats, twin, run)
    job, num_steps = _job(config, base, run, _data(config, context, file), plan)
    curves = run_job(job, run.backend, run.progress, num_steps=num_steps, what="finetune steps")
    counts = {
        "chats": len(fitting),
        "chats_too_long": _too_long(chats, encoded, context),
        "rows": len(rows),
        "answer_tokens_an_epoch": answer_tokens,
        "steps": num_steps,
    }
    return _publish(config, base, instructions, run, curves, counts)


def _encoded(
    chats: Sequence[Instruction], twin: tokenizers.HuggingFaceTwin, run: StageRun
) -> list[EncodedChat]:
    encoded = []
    with run.progress.track("encode chats", len(chats), "chats") as tracker:
        for chat in chats:
            encoded.append(encode_chat(chat.messages, twin))
            tracker.advance()
    return encoded


def _context_tokens(base: BaseModelFolder) -> int:
    """Return the context of a model: GPT-2 has its own word for it."""
    config = json.loads((base.path / "config.json").read_text(encoding="utf-8"))
    return int(config.get("n_positions") or config["max_position_embeddings"])


def _too_long(chats: list[Instruction], encoded: list[EncodedChat], context: int) -> dict[str, int]:
    """Count the chats left out because they do not fit the context, by origin."""
    return dict(
        sorted(
            Counter(
                chat.origin
                for chat, ids in zip(chats, encoded, strict=True)
                if len(ids.ids) > context + 1
            ).items()
        )
    )


def _export_plan(
    base: BaseModelFolder,
    instructions: InstructionSet,
    chats: Iterable[Instruction],
    twin: tokenizers.HuggingFaceTwin,
    run: StageRun,
) -> ExportPlan:
    work = run.work.absolute()
    plan = ExportPlan(tokenizer_folder=work / "tokenizer", sample_file=work / "sample.json")
    with no_space_named(plan.tokenizer_folder):
        plan.tokenizer_folder.mkdir(exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copyfile(base.path / name, plan.tokenizer_folder / name)
        template = plan.tokenizer_folder / "chat_template.jinja"
        template.write_text(CHAT_TEMPLATE, encoding="utf-8")
    held_out = read_instructions(instructions.path / "held_out.parquet")
    write_chat_sample(plan.sample_file, chain(held_out, chats), twin, run.languages)
    return plan


def _data(config: FinetuneConfig, context: int, rows_file: Path) -> PackedData:
    if config.global_batch_tokens % context:
        raise StageError(
            f"finetune.global_batch_tokens ({config.global_batch_tokens}) is not a multiple of "
            f"the base model's context ({context}); choose a multiple"
        )
    return PackedData(
        rows_file=rows_file,
        epochs=config.epochs,
        global_batch_windows=config.global_batch_tokens // context,
    )


def _job(
    config: FinetuneConfig,
    base: BaseModelFolder,
    run: StageRun,
    data: PackedData,
    plan: ExportPlan,
) -> tuple[TrainJob, int]:
    num_steps = build_order(data, run.seed).num_steps
    job = TrainJob(
        work=run.work.absolute(),
        seed=run.seed,
        data=data,
        init_from=base.path.absolute(),
        export=plan,
        schedule=Schedule(
            num_steps=num_steps,
            warmup_steps=int(num_steps * config.warmup_share),
            start=0.0,
            peak=config.learning_rate,
            final=0.0,
        ),
        adamw=_adamw(config),
        precision=config.precision,
        matmul_precision=config.matmul_precision,
        guard=GuardOptions(),
        execution=run.training,
        validate_every_steps=max(1, num_steps),
    )
    return job, num_steps


def _adamw(config: FinetuneConfig) -> AdamW:
    """Return the optimizer; betas and epsilon of PolyLM's pretraining, it names none here."""
    return AdamW(
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-8,
        weight_decay=config.weight_decay,
        max_gradient_norm=config.max_gradient_norm,
    )


def _publish(
    config: FinetuneConfig,
    base: BaseModelFolder,
    instructions: InstructionSet,
    run: StageRun,
    curves: list[Measurement],
    counts: dict[str, object],
) -> ChatModelFolder:
    partial = partial_folder(run.out)
    with no_space_named(partial):
        shutil.copytree(run.work / EXPORT_FOLDER, partial, dirs_exist_ok=True)
    run.progress.table(
        "parity", as_table(require_certificate(partial)), "The exported model and the trained one"
    )
    write_curves(partial, curves)
    losses = [row.value for row in curves if row.metric == "loss"]
    counts = {**counts, "first_loss": losses[0], "last_loss": losses[-1]}
    table = [{"count": key, "value": str(value)} for key, value in counts.items()]
    run.progress.table("summary", table, "What the tuning saw")
    inputs = {"pretrain": base, "instruct": instructions}
    return run.publish(ChatModelFolder, partial, config, inputs=inputs, counts=counts)
