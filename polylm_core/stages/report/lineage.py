"""What was made of what, and with what: read from the manifests of the artifacts of a run."""

from __future__ import annotations

from collections.abc import Iterable

from polylm_core.artifacts import Artifact
from polylm_core.errors import MismatchedArtifactError
from polylm_core.stages.report.reading import Row


def read_lineage(artifacts: Iterable[Artifact]) -> list[Row]:
    """Return a row an artifact; raises MismatchedArtifactError when a parent is another one's."""
    here: dict[str, Artifact] = {}
    rows = []
    for artifact in artifacts:
        inputs = artifact.manifest.inputs
        for stage, seen in sorted(inputs.items()):
            if stage in here and here[stage].fingerprint != seen:
                raise MismatchedArtifactError(
                    f"{artifact.path} was made from another {here[stage].path.name} than the one "
                    f"here ({stage} {seen[:12]}, here {here[stage].fingerprint[:12]}); "
                    f"run `dvc repro {artifact.stage}`"
                )
        here[artifact.stage] = artifact
        files = artifact.manifest.files
        rows.append(
            {
                "artifact": type(artifact).__name__,
                "folder": artifact.path.name,
                "stage": artifact.stage,
                "fingerprint": artifact.fingerprint,
                "inputs": sorted(inputs.items()),
                "bytes": sum(entry.bytes for entry in files.values()),
                "params": artifact.manifest.params,
                "files": [(name, entry.bytes, entry.sha256) for name, entry in files.items()],
            }
        )
    return rows
