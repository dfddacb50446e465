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
from polylm_core.loading import importing
from polylm_core.params import Params
from polylm_core.stages.base import StageConfig
from polylm_core.stages.ingest.config import PackageSource, declared_languages
from polylm_core.stages.ingest.declared import FileSource
from polylm_core.stages.instruct.imports.places import count_missing, fetch_command, location_of
from polylm_core.storage import fingerprint, sha256_file

DATA = Path("data")
SOURCES = DATA / "00_sources"
SEED_TASKS = "seed_tasks"
"""The folder of the sources that `instruct` reads."""
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

    def work(self, identity: str) -> Path:
        """Return the folder of a run with this identity, which outlives a crash."""
        return RUNS / f"{self.name}-{identity[:16]}"

    def function(self) -> Callable[..., Artifact]:
        """Import and return the stage's function."""
        with importing():
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
    Stage(
        "instruct",
        artifacts.InstructionSet,
        "07_instructions",
        ("ingest", "curate"),
        reads_sources=True,
    ),
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
        reads_sources=True,
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


def sources_fingerprint(
    sources: Path, params: Params, locations: Mapping[str, str] | None = None
) -> str:
    """Return the identity of what the recipe takes from `sources`: the `source.yaml` files.

    They pin the files of the packages and of the seed tasks; what pins any other source is in the
    recipe. `locations` are the profile's.
    """
    folders = {name: _folder(sources, name, locations) for name in _packages(params)}
    files = {name: folder / "source.yaml" for name, folder in folders.items()}
    files[SEED_TASKS] = sources / SEED_TASKS / "source.yaml"
    require_sources(sources)
    missing = [str(file) for file in files.values() if not file.is_file()]
    if missing:
        raise MissingArtifactError(
            f"{', '.join(missing)} missing; put it there, take the source out of the params, or "
            f"restore what the repository has with `git checkout -- {sources}`"
        )
    return fingerprint({name: sha256_file(file) for name, file in files.items()})


def require_sources(sources: Path) -> None:
    """Raise MissingArtifactError when there is no source at all."""
    if not any(sources.glob("*/source.yaml")):
        raise MissingArtifactError(
            f"{sources} holds no source (no */source.yaml); restore it with "
            f"`git checkout -- {sources}` or rebuild it with `python -m infra.sources rebuild`"
        )


def _packages(params: Params) -> list[str]:
    return [
        name for name, source in params.ingest.sources.items() if isinstance(source, PackageSource)
    ]


def _folder(sources: Path, name: str, locations: Mapping[str, str] | None) -> Path:
    """The folder of a package; raises ParamsError for an address."""
    location = str((locations or {}).get(name, sources / name)).removeprefix("file://")
    if "://" in location:
        message = "a package lies in a folder of this machine; copy it there"
        raise ParamsError("the profile", [Problem(f"source_locations.{name}", message, location)])
    return Path(location)


def check_sources(
    sources: Path, params: Params, locations: Mapping[str, str] | None = None
) -> None:
    """Raise ParamsError for files that are not there and languages no source can have.

    What is wrong inside a source is for `ingest` to say; this costs no heavy import and no network.
    `locations` are the profile's.
    """
    folders = {name: _folder(sources, name, locations) for name in _packages(params)}
    problems = []
    for name, folder in folders.items():
        if not (folder / "source.yaml").is_file():
            known = sorted(file.parent.name for file in folder.parent.glob("*/source.yaml"))
            message = f"no such package in {folder.parent}; known: {', '.join(known) or 'none'}"
            problems.append(Problem(f"ingest.sources.{name}", message, name))
    problems += _missing_files(sources, params, locations or {})
    problems += _missing_imports(sources, params, locations or {})
    problems += _foreign_languages(params)
    declared = params.ingest.document_languages()
    if not problems and declared is not None:
        packaged = {
            file.name.split(".")[0] for folder in folders.values() for file in folder.glob("*_*.*")
        }
        named = ", ".join(params.ingest.sources)
        problems += [
            Problem(f"languages.{index}", f"no text in {named}", code)
            for index, code in enumerate(params.languages)
            if code not in packaged | declared
        ]
    if problems:
        raise ParamsError("params.yaml", problems)


def _missing_files(sources: Path, params: Params, locations: Mapping[str, str]) -> list[Problem]:
    """Problems of declared files that should lie on this machine and do not."""
    problems = []
    for name, source in params.ingest.sources.items():
        if isinstance(source, FileSource) and "://" not in locations.get(name, ""):
            folder = Path(locations.get(name, sources / name))
            names = [source.file_list.path] if source.file_list else list(source.files)
            missing = [file for file in names if not (folder / file).is_file()]
            if missing:
                message = (
                    f"{len(missing)} of {len(names)} files are not in {folder}, the first: "
                    f"{missing[0]}; put them there, or name their place in the profile's "
                    "`source_locations`"
                )
                problems.append(Problem(f"ingest.sources.{name}.files", message))
    return problems


def _missing_imports(sources: Path, params: Params, locations: Mapping[str, str]) -> list[Problem]:
    """Problems of imported instruction sets that should lie on this machine and do not."""
    problems = []
    for name, declared in params.instruct.imports.items():
        missing = count_missing(declared, location_of(name, declared, sources, locations))
        if missing:
            message = f"{missing}; {fetch_command(name, declared)}"
            problems.append(Problem(f"instruct.imports.{name}", message))
    return problems


def _foreign_languages(params: Params) -> list[Problem]:
    """Problems of sources whose documents would all be passed over."""
    return [
        Problem(
            f"ingest.sources.{name}",
            f"is in {', '.join(sorted(map(str, languages)))}, not among `languages`; add it",
        )
        for name, source in params.ingest.sources.items()
        if (languages := declared_languages(source))
        and languages.isdisjoint({*params.languages, None})
    ]
