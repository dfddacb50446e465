"""`pretrain`: the PolyLM decoder over the mixture, sharded by ZeRO-3 over the backend's ranks."""

from __future__ import annotations

import shutil
from pathlib import Path

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import (
    BaseModelFolder,
    Mixture,
    Tokenizer,
    TokenSet,
    partial_folder,
)
from polylm_core.stages.base import StageRun
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.data import curriculum_data
from polylm_core.stages.pretrain.drawn import DRAWN_FILE, write_drawn
from polylm_core.stages.pretrain.imported import publish_imported
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig
from polylm_core.stages.pretrain.init_from import fetch_model
from polylm_core.stages.pretrain.sample import write_text_sample
from polylm_core.stages.pretrain.validation import write_validation
from polylm_core.storage import no_space_named
from polylm_core.training.certificate import as_table, require_certificate
from polylm_core.training.curriculum import CurriculumOrder
from polylm_core.training.job import AdamW, CurriculumData, ExportPlan, ModelShape, TrainJob
from polylm_core.training.metrics import Measurement
from polylm_core.training.order import curriculum_order
from polylm_core.training.run import EXPORT_FOLDER, run_job, write_record
from polylm_core.training.schedule import Schedule


def pretrain(
    config: PretrainConfig | ImportedBaseConfig,
    tokenizer: Tokenizer,
    tokens: TokenSet,
    mixture: Mixture,
    run: StageRun,
) -> BaseModelFolder:
    """Train, resume from the work folder's last checkpoint if there is one, export and publish.

    A section with `imported` publishes that model instead.

    Raises MismatchedArtifactError when the tokens are not of this tokenizer or the mixture not of
    these tokens, StageError when the batch does not fit the context, SourceError when a file of
    `init_from` cannot be had or is another than declared.
    """
    tokens.require_made_from("vocab", tokenizer)
    mixture.require_made_from("encode", tokens)
    if isinstance(config, ImportedBaseConfig):
        return publish_imported(config, tokenizer, tokens, mixture, run)
    return _train(config, tokenizer, tokens, mixture, run)


def _train(
    config: PretrainConfig, tokenizer: Tokenizer, tokens: TokenSet, mixture: Mixture, run: StageRun
) -> BaseModelFolder:
    """Train and publish."""
    pieces = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE)
    data = curriculum_data(config, tokens, mixture)
    order = curriculum_order(data, run.seed)
    validation = _validation(config, tokens, pieces, run)
    steps = order.num_steps
    job = TrainJob(
        work=run.work.absolute(),
        seed=run.seed,
        data=data,
        new_model=_shape(config, pieces),
        init_from=None if config.init_from is None else fetch_model(config.init_from, run.work),
        validation_file=validation,
        export=_export_plan(config, tokenizer, tokens, pieces, run),
        schedule=_schedule(config, data, steps),
        adamw=_adamw(config),
        precision=config.precision,
        residual_precision=config.residual_precision,
        matmul_precision=config.matmul_precision,
        guard=config.guard,
        skip_steps=config.skip_steps,
        execution=run.training,
        validate_every_steps=config.validate_every_steps,
    )
    curves = run_job(job, run.backend, run.progress, num_steps=steps, what="pretrain steps")
    return _publish(config, tokenizer, tokens, mixture, run, order, curves)


def _validation(
    config: PretrainConfig,
    tokens: TokenSet,
    pieces: tokenizers.SentencePieceTokenizer,
    run: StageRun,
) -> Path:
    """Write the held-out rows the run is scored on; return their file."""
    file = (run.work / "validation.npz").absolute()
    write_validation(
        file,
        tokens,
        pieces,
        languages=run.languages,
        context_tokens=config.model.context_tokens,
        tokens_per_language=config.validation_tokens_per_language,
        attend_across_documents=config.attend_across_documents,
    )
    return file


def _export_plan(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    tokens: TokenSet,
    pieces: tokenizers.SentencePieceTokenizer,
    run: StageRun,
) -> ExportPlan:
    work = run.work.absolute()
    plan = ExportPlan(tokenizer_folder=work / "tokenizer", sample_file=work / "sample.json")
    tokenizers.export_huggingface(
        (tokenizer.path / tokenizers.MODEL_FILE).read_bytes(),
        plan.tokenizer_folder,
        context_tokens=config.model.context_tokens,
    )
    write_text_sample(plan.sample_file, tokens, pieces, run.languages)
    return plan


def _publish(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    tokens: TokenSet,
    mixture: Mixture,
    run: StageRun,
    order: CurriculumOrder,
    curves: list[Measurement],
) -> BaseModelFolder:
    partial = partial_folder(run.out)
    with no_space_named(partial):
        shutil.copytree(run.work / EXPORT_FOLDER, partial, dirs_exist_ok=True)
    run.progress.table(
        "parity", as_table(require_certificate(partial)), "The exported model and the trained one"
    )
    write_record(partial, run.work, curves)
    vocab_size = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE).vocab_size
    write_drawn(partial / DRAWN_FILE, order, run.languages, vocab_size)
    last = order.num_steps
    final = {
        row.language: round(row.value, 4)
        for row in curves
        if row.step == last and row.metric == "bits_per_byte"
    }
    table = [{"language": code, "bits_per_byte": value} for code, value in final.items()]
    run.progress.table("bits-per-byte", table, "Held-out bits per byte after the last step")
    counts = {
        "steps": last,
        "tokens": order.num_windows * config.model.context_tokens,
        "steps_by_stage": order.stage_steps,
        "bits_per_byte": final,
    }
    inputs = {"vocab": tokenizer, "encode": tokens, "mix": mixture}
    return run.publish(BaseModelFolder, partial, config, inputs=inputs, counts=counts)


def _shape(config: PretrainConfig, pieces: tokenizers.SentencePieceTokenizer) -> ModelShape:
    return ModelShape(
        **config.model.model_dump(),
        vocab_size=pieces.vocab_size,
        bos_id=pieces.bos_id,
        eos_id=pieces.eos_id,
        pad_id=pieces.pad_id,
    )


def _schedule(config: PretrainConfig, data: CurriculumData, num_steps: int) -> Schedule:
    optimizer = config.optimizer
    return Schedule(
        num_steps=num_steps,
        warmup_steps=data.batches.steps_for(-(-optimizer.warmup_tokens // data.context_tokens)),
        start=optimizer.warmup_start_learning_rate,
        peak=optimizer.peak_learning_rate,
        final=optimizer.peak_learning_rate * optimizer.final_learning_rate_share,
    )


def _adamw(config: PretrainConfig) -> AdamW:
    optimizer = config.optimizer
    return AdamW(
        beta1=optimizer.beta1,
        beta2=optimizer.beta2,
        epsilon=optimizer.epsilon,
        weight_decay=optimizer.weight_decay,
        max_gradient_norm=optimizer.max_gradient_norm,
    )
