"""`finetune`: supervised tuning of the base model on chats, loss on the answers only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from polylm_core.artifacts import (
    ADAPTERS,
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    partial_folder,
)
from polylm_core.records import Instruction, read_instructions
from polylm_core.stages.base import StageRun
from polylm_core.stages.finetune.config import FinetuneConfig
from polylm_core.stages.finetune.phase import Ended, Example, Phase, run_phase
from polylm_core.stages.finetune.sample import write_chat_sample
from polylm_core.stages.finetune.speech import Speech, speech_of
from polylm_core.storage import no_space_named
from polylm_core.training.certificate import (
    as_table,
    digests,
    read_certificate,
    require_certificate,
    write_certificate,
)
from polylm_core.training.job import ExportPlan
from polylm_core.training.metrics import Measurement
from polylm_core.training.run import write_record
from polylm_core.training.skips import SKIPS_FILE


def finetune(
    config: FinetuneConfig, base: BaseModelFolder, instructions: InstructionSet, run: StageRun
) -> ChatModelFolder:
    """Tune phase by phase, resume where a run ended, export and publish.

    Raises StageError when a phase's batch does not fit the context or none of its chats does.
    """
    speech = speech_of(base, config.chat_template)
    chats = list(read_instructions(instructions.path / "train.parquet"))
    examples = _encoded(chats, speech, run)
    plan = _export_plan(instructions, chats, speech, run)
    ended: list[Ended] = []
    start = base.path
    for number, settings in enumerate(config.phases):
        phase = Phase(
            config=settings,
            seed=run.seed + number,
            work=run.work / f"{run.work.name}-{settings.name}",  # ranks go by this name
            start=start,
            context_tokens=_context_tokens(base),
        )
        ended.append(run_phase(phase, config, examples, plan, speech.pad_id, run))
        if settings.method.kind == "full":
            start = phase.export
    return _publish(config, base, instructions, run, ended, plan)


def _encoded(chats: Sequence[Instruction], speech: Speech, run: StageRun) -> list[Example]:
    encoded: list[Example] = []
    with run.progress.track("encode chats", len(chats), "chats") as tracker:
        for chat in chats:
            encoded.append((chat, speech.encode(chat.messages)))
            tracker.advance()
    return encoded


def _context_tokens(base: BaseModelFolder) -> int:
    """Return the context of a model: GPT-2 has its own word for it."""
    config = json.loads((base.path / "config.json").read_text(encoding="utf-8"))
    return int(config.get("n_positions") or config["max_position_embeddings"])


def _export_plan(
    instructions: InstructionSet, chats: Iterable[Instruction], speech: Speech, run: StageRun
) -> ExportPlan:
    work = run.work.absolute()
    plan = ExportPlan(tokenizer_folder=work / "tokenizer", sample_file=work / "sample.json")
    with no_space_named(plan.tokenizer_folder):
        plan.tokenizer_folder.mkdir(exist_ok=True)
        speech.write(plan.tokenizer_folder)
    held_out = read_instructions(instructions.path / "held_out.parquet")
    write_chat_sample(plan.sample_file, chain(held_out, chats), speech, run.languages)
    return plan


def _publish(
    config: FinetuneConfig,
    base: BaseModelFolder,
    instructions: InstructionSet,
    run: StageRun,
    ended: Sequence[Ended],
    plan: ExportPlan,
) -> ChatModelFolder:
    partial = partial_folder(run.out)
    full = [each.phase for each in ended if each.phase.config.method.kind == "full"]
    with no_space_named(partial):
        if full:
            shutil.copytree(full[-1].export, partial, dirs_exist_ok=True)
        else:
            _copy_base(base, plan, partial)
    certificate = require_certificate(partial)
    title = "The exported model and the trained one"
    run.progress.table("parity", as_table(certificate), title)
    write_record(partial, run.work, _one_after_another(ended))
    for each in ended:
        _copy_phase(each, partial)
    counts = {each.phase.config.name: each.counts for each in ended}
    table = [
        {"phase": name, "count": key, "value": str(value)}
        for name, found in counts.items()
        for key, value in found.items()
    ]
    run.progress.table("summary", table, "What the tuning saw")
    inputs = {"pretrain": base, "instruct": instructions}
    return run.publish(ChatModelFolder, partial, config, inputs=inputs, counts={"phases": counts})


def _copy_base(base: BaseModelFolder, plan: ExportPlan, partial: Path) -> None:
    """Copy a base model that no phase changed, with the chats' tokenizer and template.

    Its certificate holds for its weights, and those of the adapters for tokenizer and template.
    """
    certificate = read_certificate(base.path)
    for name in certificate.sha256:
        shutil.copyfile(base.path / name, partial / name)
    for file in sorted(plan.tokenizer_folder.iterdir()):
        shutil.copyfile(file, partial / file.name)
    write_certificate(partial, certificate.model_copy(update={"sha256": digests(partial)}))


def _copy_phase(ended: Ended, partial: Path) -> None:
    """Copy a phase's adapter, and the steps that it left out, if any."""
    name = ended.phase.config.name
    with no_space_named(partial):
        if ended.phase.config.method.kind == "lora":
            shutil.copytree(ended.phase.export, partial / ADAPTERS / name)
        if (ended.phase.work / SKIPS_FILE).is_file():
            shutil.copyfile(ended.phase.work / SKIPS_FILE, partial / f"skips-{name}.jsonl")


def _one_after_another(ended: Sequence[Ended]) -> list[Measurement]:
    """Return the curves of all phases, the steps of each counted on from those before it."""
    rows: list[Measurement] = []
    before = 0
    for each in ended:
        rows += [replace(row, step=before + row.step) for row in each.curves]
        before += int(str(each.counts["steps"]))
    return rows
