"""The wiring: which stage takes which artifacts, and where each artifact lies.

The graph itself is in `dvc.yaml` alone; a test compares the two. Stage functions are imported when
they are called, because the training stages cost seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from polylm_core import artifacts
from polylm_core.artifacts import Artifact
from polylm_core.errors import MissingArtifactError, ParamsError, Problem
from polylm_core.params import Params
from polylm_core.stages.base import StageConfig
from polylm_core.storage import fingerprint, sha256_file

DATA = Path("data")
SOURCES = DATA / "00_sources"
RUNS = Path("runs")


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline."""

    name: str
    artifact: type[Artifact]
    folder: str
    """Name of the artifact's folder in `data/`."""
    inputs: tuple[str, ...]
    """Stages whose artifacts it takes, in the order of its function's arguments."""
    reads_sources: bool = False
    """Whether it takes `data/00_sources` too, after the artifacts."""

    @property
    def out(self) -> Path:
        """Where the artifact lies."""
        return DATA / self.folder

    def function(self) -> Callable[..., Artifact]:
        """Import and return the stage's function."""
        module = import_module(f"polylm_core.stages.{self.name}.stage")
        function: Callable[..., Artifact] = getattr(module, self.name)
        return function

    def config(self, params: Params) -> StageConfig:
        """Return the stage's section of the recipe."""
        section: StageConfig = getattr(params, self.name)
        return section

    def load_inputs(self, root: Path) -> dict[str, Artifact]:
        """Load and verify the input artifacts; raises ArtifactError."""
        return {name: STAGES[name].load(root) for name in self.inputs}

    def load(self, root: Path) -> Artifact:
        """Load and verify this stage's artifact; raises ArtifactError."""
        return self.artifact.load(root / self.out)


_ALL = (
    Stage("ingest", artifacts.DocumentSet, "01_documents", (), reads_sources=True),
    Stage("curate", artifacts.ShardSet, "02_shards", ("ingest",)),
    Stage("vocab", artifacts.Tokenizer, "03_tokenizer", ("curate",)),
    Stage("encode", artifacts.TokenSet, "04_tokens", ("curate", "vocab")),
    Stage("mix", artifacts.Mixture, "05_mixture", ("encode",)),
    Stage("pretrain", artifacts.BaseModelFolder, "06_base", ("vocab", "encode", "mix")),
    Stage("instruct", artifacts.InstructionSet, "07_instructions", ("curate",), reads_sources=True),
    Stage("finetune", artifacts.ChatModelFolder, "08_chat", ("pretrain", "instruct")),
    Stage(
        "evaluate",
        artifacts.Scores,
        "09_scores",
        ("pretrain", "finetune", "curate", "encode", "instruct"),
    ),
    Stage(
        "report",
        artifacts.Report,
        "10_report",
        (
            "ingest",
            "curate",
            "vocab",
            "encode",
            "mix",
            "pretrain",
            "instruct",
            "finetune",
            "evaluate",
        ),
    ),
)
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in _ALL}
"""Every stage by its name, in the order of the data."""


def identity(
    stage: Stage, params: Params, inputs: Mapping[str, Artifact], sources: str | None
) -> str:
    """Return what a stage's result depends on, as one hash.

    Its parameters (with the explicit `revision` of the long stages), the recipe's seed and
    languages, and the fingerprints of its inputs; nothing of where or how wide it runs.
    """
    value: dict[str, Any] = {
        "stage": stage.name,
        "seed": params.seed,
        "languages": list(params.languages),
        "config": stage.config(params).model_dump(mode="json"),
        "inputs": {name: artifact.fingerprint for name, artifact in inputs.items()},
        "sources": sources,
    }
    return fingerprint(value)


def sources_fingerprint(sources: Path) -> str:
    """Return the identity of the pinned sources: their `source.yaml` files, which pin the rest."""
    files = sorted(sources.glob("*/source.yaml"))
    if not files:
        raise MissingArtifactError(
            f"{sources} holds no source (no */source.yaml); restore it with "
            f"`git checkout -- {sources}` or rebuild it with `python -m infra.sources rebuild`"
        )
    return fingerprint({file.parent.name: sha256_file(file) for file in files})


def check_sources(sources: Path, params: Params) -> None:
    """Raise ParamsError for sources that are not there and languages none of them has.

    What is wrong inside a source is for `ingest` to say; this costs no heavy import.
    """
    known = sorted(file.parent.name for file in sources.glob("*/source.yaml"))
    problems = [
        Problem(f"ingest.sources.{index}", f"no such source; known: {', '.join(known)}", name)
        for index, name in enumerate(params.ingest.sources)
        if name not in known
    ]
    present = {
        file.name.split(".")[0]
        for name in params.ingest.sources
        for file in (sources / name).glob("*_*.*")
    }
    if not problems:
        named = ", ".join(params.ingest.sources)
        problems = [
            Problem(f"languages.{index}", f"no text in {named}", code)
            for index, code in enumerate(params.languages)
            if code not in present
        ]
    if problems:
        raise ParamsError("params.yaml", problems)
