"""The nouns of the pipeline, in the order data becomes them, and what makes them exist: a manifest.

An artifact is a folder `data/NN_name` with a `manifest.json`, written last: without it the folder
counts as absent. The manifest holds the sha256 of every file, the fingerprints of what went in, the
parameters and the counts, and is sealed itself; it never holds a clock, a host, a path or a commit,
so equal work gives equal bytes. Loading verifies every file before anyone reads it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from polylm_core.errors import (
    CorruptArtifactError,
    MismatchedArtifactError,
    MissingArtifactError,
)
from polylm_core.sealed import sealed, unsealed
from polylm_core.storage import fingerprint, no_space_named, sha256_file

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


class FileEntry(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What an artifact is: where it comes from and which bytes it consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    artifact: str
    """Class name of the artifact, such as `TokenSet`."""
    stage: str
    inputs: dict[str, str]
    """Fingerprint of each input artifact, by stage name (`sources` for the pinned input)."""
    params: dict[str, Any]
    """The stage's parameters as they were."""
    counts: dict[str, Any]
    """What the stage counted; the meaning is the stage's."""
    files: dict[str, FileEntry]
    """Every file by its path in the folder, the manifest itself left out."""

    @property
    def fingerprint(self) -> str:
        """Identity of the artifact: sha256 of the manifest's canonical JSON."""
        return fingerprint(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Artifact:
    """A loaded, verified artifact."""

    path: Path
    manifest: Manifest

    stage: ClassVar[str]
    """Name of the stage that makes it."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load and verify the artifact at `path`.

        Raises MissingArtifactError when the manifest is not there, CorruptArtifactError when the
        manifest or any file is not as it was made.
        """
        artifact = cls.open(path)
        verify_files(path, artifact.manifest)
        return artifact

    @classmethod
    def open(cls, path: Path) -> Self:
        """Load an artifact to look at, in no time: its manifest is checked and its files are not.

        Raises MissingArtifactError when the manifest is not there, CorruptArtifactError when it is
        not as it was made.
        """
        manifest = _read_manifest(path, cls.stage)
        if manifest.artifact != cls.__name__ or manifest.schema_version != SCHEMA_VERSION:
            raise CorruptArtifactError(
                f"{path / MANIFEST}: holds {manifest.artifact} of schema "
                f"{manifest.schema_version}, expected {cls.__name__} of schema {SCHEMA_VERSION}; "
                f"run `dvc repro --force {cls.stage}`"
            )
        return cls(path=path, manifest=manifest)

    @property
    def fingerprint(self) -> str:
        """Identity of the artifact."""
        return self.manifest.fingerprint

    @property
    def counts(self) -> dict[str, Any]:
        """What the stage counted."""
        return self.manifest.counts

    def require_made_from(self, stage: str, artifact: Artifact) -> None:
        """Raise MismatchedArtifactError unless `stage`'s `artifact` went into this one."""
        recorded = self.manifest.inputs.get(stage)
        if recorded != artifact.fingerprint:
            raise MismatchedArtifactError(
                f"{self.path} was made from {stage} {recorded}, but {artifact.path} is "
                f"{artifact.fingerprint}; run `dvc repro {self.manifest.stage}`"
            )


def _read_manifest(path: Path, stage: str) -> Manifest:
    file = path / MANIFEST
    if not file.is_file():
        raise MissingArtifactError(f"{path} has no {MANIFEST}; run `dvc repro {stage}` to make it")
    remedy = f"delete {path} and run `dvc repro {stage}`"
    try:
        return Manifest.model_validate(unsealed(file.read_bytes()))
    except ValidationError as error:
        raise CorruptArtifactError(
            f"{file}: not a valid manifest ({error.error_count()} problems); {remedy}"
        ) from error
    except ValueError as error:
        raise CorruptArtifactError(f"{file}: not a valid manifest ({error}); {remedy}") from error


def verify_files(path: Path, manifest: Manifest, absent: Collection[str] = ()) -> None:
    """Raise CorruptArtifactError for a file that is not as it was made; some may be elsewhere."""
    remedy = f"delete {path} and run `dvc repro {manifest.stage}`"
    present = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    extra = sorted(present - manifest.files.keys() - {MANIFEST})
    if extra:
        raise CorruptArtifactError(f"{path / extra[0]}: not part of the artifact; {remedy}")
    for name in [name for name in manifest.files if name not in absent]:
        entry, file = manifest.files[name], path / name
        if not file.is_file():
            raise CorruptArtifactError(f"{file}: missing; {remedy}")
        seen = sha256_file(file)
        if seen != entry.sha256:
            raise CorruptArtifactError(
                f"{file}: sha256 is {seen}, the manifest says {entry.sha256}; {remedy}"
            )


def partial_folder(out: Path) -> Path:
    """Return an empty folder beside `out` to write an artifact into."""
    partial = out.with_name(f".{out.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial


A = TypeVar("A", bound=Artifact)


def publish(
    kind: type[A],
    partial: Path,
    out: Path,
    *,
    inputs: Mapping[str, str],
    params: Mapping[str, Any],
    counts: Mapping[str, Any],
) -> A:
    """Write the manifest of the files in `partial` and rename the folder to `out`."""
    files = {
        str(file.relative_to(partial)): FileEntry(
            sha256=sha256_file(file), bytes=file.stat().st_size
        )
        for file in sorted(partial.rglob("*"))
        if file.is_file()
    }
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        artifact=kind.__name__,
        stage=kind.stage,
        inputs=dict(inputs),
        params=dict(params),
        counts=dict(counts),
        files=files,
    )
    with no_space_named(partial):
        (partial / MANIFEST).write_bytes(sealed(manifest.model_dump(mode="json")))
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return kind(path=out, manifest=manifest)


class DocumentSet(Artifact):
    """`01_documents`: what the sources say, row by row.

    `documents/<source>/<part>.parquet` (records.DOCUMENT_SCHEMA) and
    `pairs/<source>/<part>.parquet` (records.PAIR_SCHEMA); evaluation sets in `evaluation/`.
    """

    stage = "ingest"


class ShardSet(Artifact):
    """`02_shards`: identified, filtered, deduplicated, decontaminated text.

    `documents/<language>/<part>.parquet`, `pairs/<language>/<part>.parquet` (side a English, side b
    <language>): to train on. `held_out/documents/...`, `held_out/pairs/...`: never trained on.
    `drops/<kind>/<language>/<part>.parquet`: one row a document or pair left out (id, kind,
    language, filter, reason, bytes). `attrition.parquet`: their sums by reason, and those of lines.
    `filters.parquet`: what went into each filter and came out. `samples.parquet`: texts of both.
    """

    stage = "curate"


class Tokenizer(Artifact):
    """`03_tokenizer`: `tokenizer.model` (SentencePiece) and its Hugging Face twin, with fertility.

    The twin is `huggingface/tokenizer.json` and `tokenizer_config.json`; `fertility.parquet` has
    one row a language, `gate.parquet` one row a language and measure with its threshold.
    """

    stage = "vocab"


class TokenSet(Artifact):
    """`04_tokens`: Megatron-compatible `.bin`/`.idx` by stream, and which document is where.

    A stream is `<language>` (documents) or `eng_Latn-<language>` (aligned pairs), in
    `train/<stream>.{bin,idx}` and `held_out/<stream>.{bin,idx}`; `<stream>.documents.parquet`
    beside each has one row a document: id and first token.
    """

    stage = "encode"


class Mixture(Artifact):
    """`05_mixture`: `mixture.json`.

    `stages`: of each curriculum stage its name, policy, tokens and, for each stream it draws,
    tokens, bytes, epochs and share. `streams`: the sums of each stream over all stages, and what
    there is of it.
    """

    stage = "mix"


class BaseModelFolder(Artifact):
    """`06_base`: a Hugging Face folder (safetensors) with `curves.parquet` beside it."""

    stage = "pretrain"


class InstructionSet(Artifact):
    """`07_instructions`: `train.parquet` and `held_out.parquet` (records.INSTRUCTION_SCHEMA).

    `funnel.parquet` counts what each filter kept, by origin, language, round and reason;
    `measures.parquet` what the checks measured on the way, by origin and language.
    """

    stage = "instruct"


ADAPTERS = "adapters"
"""Folder of a chat model's adapters: `adapters/<phase>` is what a LoRA phase learned, for peft."""


def adapters_of(chat: Path) -> list[str]:
    """Names of the adapters in a chat model's folder: of the phases that learned one."""
    return sorted(path.name for path in chat.glob(f"{ADAPTERS}/*") if path.is_dir())


class ChatModelFolder(Artifact):
    """`08_chat`: an instruction-tuned Hugging Face folder with its chat template."""

    stage = "finetune"


class Scores(Artifact):
    """`09_scores`: `scores.parquet` (suite, metric, language, value, items) and `predictions/`."""

    stage = "evaluate"


class Report(Artifact):
    """`10_report`: `report.html`; `README.md`, the model card; and `data_cards/<source>.md`."""

    stage = "report"
