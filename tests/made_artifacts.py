"""A folder like that of a finished run, with every artifact, made in a second.

What needs no training is made by its stage; models are a few numbers in the files of a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from polylm_core.artifacts import (
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    DocumentSet,
    InstructionSet,
    Report,
    Scores,
    partial_folder,
    publish,
)
from polylm_core.pipeline import DATA, RUNS, SEED_TASKS, SOURCES, STAGES
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    INSTRUCTION_SCHEMA,
    Instruction,
    Message,
    write_parts,
    write_table,
)
from polylm_core.training import checkpoint
from polylm_core.training.certificate import Certificate, digests, write_certificate
from polylm_core.training.engine import KINDS, Kind, Part
from tests.encoded import make_encoded
from tests.shards import documents


def make_artifacts(root: Path) -> Path:
    """Make `data/` and `runs/` in `root`; a group of one rank has to be there."""
    _make_sources(root / SOURCES)
    (root / DATA).mkdir(exist_ok=True)
    make_encoded(root / DATA)
    rows = documents("eng_Latn", 30, split="train")
    partial = _partial(root, DocumentSet)
    write_parts(partial / "documents/invented", rows, DOCUMENT_SCHEMA)
    _publish(root, DocumentSet, partial)
    for kind in (BaseModelFolder, ChatModelFolder):
        partial = _partial(root, kind)
        _write_model(partial)
        _publish(root, kind, partial)
    partial = _partial(root, InstructionSet)
    write_table(partial / "train.parquet", [_instruction(n) for n in range(30)], INSTRUCTION_SCHEMA)
    _publish(root, InstructionSet, partial)
    partial = _partial(root, Scores)
    (partial / "predictions").mkdir()
    pq.write_table(pa.table({"value": [0.1, 0.2]}), partial / "scores.parquet")
    (partial / "predictions/xnli.jsonl").write_text('{"id": 1, "answer": "yes"}\n')
    _publish(root, Scores, partial)
    partial = _partial(root, Report)
    (partial / "report.html").write_text("<!doctype html><title>Report</title>")
    _publish(root, Report, partial)
    checkpoint.save(Still(), root / RUNS / "pretrain-made" / "checkpoints", 4)
    return root


class Still:
    """An engine whose state is drawn once and stays."""

    device, model, updates = torch.device("cpu"), None, 4

    def parts(self, kinds: Sequence[Kind] = KINDS) -> Iterator[tuple[Part, Mapping[Kind, Any]]]:
        random = torch.Generator().manual_seed(3)
        for name, shape in (("wte.weight", (16, 8)), ("ln.bias", (8,))):
            numel = int(torch.Size(shape).numel())
            state = {kind: torch.rand(numel, generator=random) for kind in kinds}
            yield Part(name, shape, 0, numel), state

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is for engines that train")


def _partial(root: Path, kind: type[Artifact]) -> Path:
    return partial_folder(root / STAGES[kind.stage].out)


def _publish(root: Path, kind: type[Artifact], partial: Path) -> None:
    made: dict[str, Any] = {"inputs": {}, "params": {"share": 0.5}, "counts": {"rows": 30}}
    publish(kind, partial, root / STAGES[kind.stage].out, **made)


def _write_model(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1}))
    save_file({"wte.weight": torch.arange(64.0).view(8, 8)}, folder / "model.safetensors")
    certificate = Certificate(
        architecture="GPT2LMHeadModel",
        parameters=64,
        precision="float32",
        logit_tolerance=1e-4,
        eos_id=2,
        languages=(),
        sha256=digests(folder),
    )
    write_certificate(folder, certificate)


def _instruction(number: int) -> Instruction:
    messages = (Message("user", f"Add {number} and 1."), Message("assistant", str(number + 1)))
    code = "eng_Latn"
    return Instruction(str(number), code, code, "invented", "CC0-1.0", messages)


def _make_sources(sources: Path) -> None:
    task = {"id": "1", "instruction": "Greet.", "input": "", "output": "Hello.", "keep": False}
    named = {
        SEED_TASKS: {"eng_Latn.jsonl": json.dumps(task).encode() + b"\n"},
        "invented": {"keys.txt.xz": b"any bytes", "eng_Latn.txt.xz": b"any other bytes"},
    }
    for name, files in named.items():
        (sources / name).mkdir(parents=True)
        declared = {}
        for file, content in files.items():
            (sources / name / file).write_bytes(content)
            declared[file] = {"sha256": hashlib.sha256(content).hexdigest(), "lines": 1}
        text = json.dumps({"name": name, "licence": "CC0-1.0", "files": declared})
        (sources / name / "source.yaml").write_text(text)
