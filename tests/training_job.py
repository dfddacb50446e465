"""A training run small enough for a test, real in every part: `python -m tests.training_job`.

As a program it runs the job of a folder on Ray Train, so that tests can kill it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polylm_core.compute.backend import Backend
from polylm_core.document_map import DocumentsWriter
from polylm_core.progress import NullProgress
from polylm_core.settings import CheckpointPolicy, TrainingExecution
from polylm_core.storage import sha256_file
from polylm_core.token_files import TokenFileWriter
from polylm_core.training.curriculum import windows_of_stage
from polylm_core.training.guard import GuardOptions
from polylm_core.training.job import AdamW, CurriculumData, ModelShape, TrainJob
from polylm_core.training.run import run_job
from polylm_core.training.schedule import Schedule

CONTEXT, BATCH, VOCAB = 16, 4, 64
QUIET_PEAK = 1e-3
"""A learning rate at which no step spikes, so that the guard leaves none out."""
STREAMS = ("eng_Latn", "deu_Latn")


def make_job(
    folder: Path,
    *,
    steps: int = 12,
    checkpoint_every_steps: int = 4,
    attend_across_documents: bool = True,
    sharding: Literal["zero3", "none"] = "zero3",
    batch: int = BATCH,
    peak: float = 1e-2,
) -> TrainJob:
    """Write token files and a validation file below `folder` and return the job."""
    random = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    for name in STREAMS:
        with TokenFileWriter(folder / "tokens" / name, vocab_size=VOCAB) as writer:
            writer.add_batch(random.integers(4, VOCAB, 2_000), np.full(200, 10))
        with DocumentsWriter(folder / "tokens" / name) as documents:
            documents.add([f"source/{name}/{number}" for number in range(200)], np.full(200, 10))
    apart: Any = (
        {} if attend_across_documents else {"segments": np.repeat([[0, 1]], 4, 0).repeat(8, 1)}
    )
    np.savez(
        folder / "validation.npz",
        ids=random.integers(4, VOCAB, (4, CONTEXT + 1)),
        language=np.asarray([0, 0, 1, 1]),
        languages=np.asarray(STREAMS),
        bytes=np.asarray([32, 32]),
        **apart,
    )
    tokens = steps * batch * CONTEXT // 2
    windows = windows_of_stage(
        dict.fromkeys(STREAMS, tokens), context_tokens=CONTEXT, global_batch_windows=batch
    )
    return TrainJob(
        work=folder / "run",
        seed=9,
        data=CurriculumData(
            tokens_fingerprint="invented",
            stream_files={name: folder / "tokens" / name for name in STREAMS},
            stage_windows=[("only", windows)],
            context_tokens=CONTEXT,
            global_batch_windows=batch,
            attend_across_documents=attend_across_documents,
        ),
        new_model=ModelShape(
            num_layers=1,
            hidden_size=32,
            num_heads=2,
            context_tokens=CONTEXT,
            vocab_size=VOCAB,
            initializer_std=0.02,
            bos_id=1,
            eos_id=2,
            pad_id=3,
        ),
        validation_file=folder / "validation.npz",
        schedule=Schedule(num_steps=steps, warmup_steps=2, start=1e-7, peak=peak, final=peak / 10),
        adamw=AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, max_gradient_norm=1.0),
        precision="float32",
        matmul_precision="medium",
        guard=GuardOptions(),
        execution=TrainingExecution(
            sharding=sharding,
            workers=1 if sharding == "none" else 2,
            micro_batch_sequences=2,
            persistent_parameter_elements=100,
            checkpoints=CheckpointPolicy(every_steps=checkpoint_every_steps),
        ),
        validate_every_steps=steps,
    )


def train(job: TrainJob, backend: Backend) -> str:
    """Run the job to its end and return the sha256 of the exported weights."""
    job.work.mkdir(parents=True, exist_ok=True)
    run_job(job, backend, NullProgress(), num_steps=job.schedule.num_steps, what="steps")
    return weights(job)


def weights(job: TrainJob) -> str:
    """Return the sha256 of the exported weights."""
    return sha256_file(job.work / "export" / "model.safetensors")


def note_steps(backend: Backend) -> list[int]:
    """Return a list that grows by each step the backend's ranks report."""
    steps: list[int] = []
    launch = backend.launch

    def noting(*arguments: Any, on_report: Callable[..., None], **named: Any) -> None:
        def note(metrics: Mapping[str, float]) -> None:
            steps.append(int(metrics["step"]))
            on_report(metrics)

        launch(*arguments, on_report=note, **named)

    setattr(backend, "launch", noting)  # noqa: B010
    return steps


def main() -> None:
    """Run the job of the folder named on the command line; print the steps its ranks reported."""
    from polylm_core.compute.on_ray import RayBackend
    from polylm_core.compute.process import die_with_parent

    die_with_parent()
    job = make_job(Path(sys.argv[1]), steps=int(sys.argv[2]), peak=QUIET_PEAK)
    backend = RayBackend(
        address=None, training_workers=2, threads_per_worker=1, use_gpu=False, private_cpus=2
    )
    steps = note_steps(backend)
    train(job, backend)
    print(json.dumps(steps))


if __name__ == "__main__":
    main()
