"""What every stage gets beside its configuration and its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from polylm_core.artifacts import A, Artifact, publish
from polylm_core.compute.backend import Backend
from polylm_core.progress import Progress

if TYPE_CHECKING:  # a new option of a profile must not make the cheap stages stale
    from polylm_core.settings import Endpoint, TrainingExecution


class StageConfig(BaseModel):
    """Base of a stage's section of `params.yaml`: frozen, and strict about names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class StageRun:
    """One execution of a stage: where it writes, where it works, who computes and who watches."""

    seed: int
    """The recipe's seed."""
    languages: tuple[str, ...]
    """The recipe's languages, as FLORES-200 codes."""
    out: Path
    """The artifact's folder, absent until the stage publishes it."""
    work: Path
    """A folder of this identity that outlives a crash; checkpoints and shards go here."""
    kept: Path
    """A folder of the stage, of no identity: what was paid for outlives a change of parameters."""
    backend: Backend
    progress: Progress
    training: TrainingExecution
    """Profile's way to train, for the stages that do."""
    source_locations: Mapping[str, str] = field(default_factory=dict)
    """Profile's folders and URIs of the sources that do not lie in `data/00_sources`."""
    benchmark_locations: Mapping[str, str] = field(default_factory=dict)
    """Profile's folders of published benchmarks."""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    """Profile's endpoints of teachers."""

    def publish(
        self,
        kind: type[A],
        partial: Path,
        config: StageConfig,
        *,
        inputs: Mapping[str, Artifact],
        counts: Mapping[str, Any],
        pinned: Mapping[str, str] | None = None,
    ) -> A:
        """Make the artifact exist, with this run's parameters and inputs in its manifest.

        `pinned` holds fingerprints of inputs that are no artifacts (the raw sources).
        """
        return publish(
            kind,
            partial,
            self.out,
            inputs={
                **{name: artifact.fingerprint for name, artifact in inputs.items()},
                **(pinned or {}),
            },
            params={
                "seed": self.seed,
                "languages": list(self.languages),
                **config.model_dump(mode="json"),
            },
            counts=counts,
        )
