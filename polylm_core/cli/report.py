"""`polylm report`: the page of a run outside of its artifact: with its times, or beside another.

The artifact `data/10_report` holds no commit and no clock, so that equal work gives equal bytes.
Here they are added, from `runs/`; and a page of two runs is of none of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from polylm_core.artifacts import Manifest, Report
from polylm_core.cli.checkout import PARAMS
from polylm_core.cli.whole import whole
from polylm_core.errors import MachineError, MissingArtifactError
from polylm_core.params import load_params
from polylm_core.pipeline import DATA, RUNS, STAGES
from polylm_core.stages.report.config import ReportConfig
from polylm_core.storage import write_atomic


def written(
    root: Path, out: Path, *, against: Path | None = None, with_timings: bool = False
) -> dict[str, Any]:
    """Write the page of the run in `root`, or of it and another, and return what it is.

    `against` is another checkout, or its `data` folder. Raises MachineError when `out` is of no use
    or `against` is no run, ArtifactError when an artifact is missing, broken or of another run.
    """
    from polylm_core.stages.report.compare import page_of_two
    from polylm_core.stages.report.stage import page_of

    _require_place(root, out)
    here = _Run(root, with_timings=with_timings)
    if against is None:
        config = here.config
        page = page_of(config, here.material, here.languages, here.timings)
    else:
        other = _Run(_root_of(against), with_timings=with_timings)
        page = page_of_two(*_named_apart(here, other))
    write_atomic(out, page.encode())
    return {"page": str(out), "page_bytes": len(page.encode()), "runs": 1 if against is None else 2}


def _require_place(root: Path, out: Path) -> None:
    if out.suffix != ".html":
        raise MachineError(
            f"{out} does not end in .html; name the page to write, such as page.html"
        )
    if (root / DATA).resolve() in out.resolve().parents:
        raise MachineError(
            f"{out} lies in {root / DATA}, whose artifacts nothing may be added to; "
            "name another place"
        )
    if not out.parent.is_dir():
        raise MachineError(f"{out.parent} is no folder; make it first")


def _root_of(against: Path) -> Path:
    """The folder above `data`, whichever of the two is named."""
    root = against.parent if against.name == DATA.name else against
    if not (root / DATA).is_dir():
        raise MachineError(
            f"{against} is no run: it has no {DATA} with artifacts; name another checkout"
        )
    return root


class _Run:
    """A finished run as it lies in a folder."""

    def __init__(self, root: Path, *, with_timings: bool) -> None:
        """Read it; raises ArtifactError."""
        from polylm_core.stages.report.material import Inputs, read_material
        from polylm_core.stages.report.timings import read_timings

        print(f"reading {root.resolve().name} ...", file=sys.stderr)
        artifacts: Any = [
            STAGES[name].artifact.load(whole(root, root / STAGES[name].out))
            for name in STAGES["report"].inputs
        ]
        inputs = Inputs(*artifacts)
        self.root = root
        self.languages = tuple(inputs.scores.manifest.params["languages"])
        self.material = read_material(inputs, self.languages)
        self.timings = read_timings(root / RUNS, self.material.lineage) if with_timings else None

    @property
    def _reported(self) -> Manifest | None:
        """Of the report that lies there; none where there is none."""
        try:
            return Report.open(self.root / STAGES["report"].out).manifest
        except MissingArtifactError:
            return None

    @property
    def config(self) -> ReportConfig:
        """With what its report was made; without a report on it, what the recipe here says."""
        here = {row["stage"]: row["fingerprint"] for row in self.material.lineage}
        manifest = self._reported
        if manifest is None or dict(manifest.inputs) != here:
            return load_params(self.root / PARAMS).report
        stated = {name: manifest.params[name] for name in ReportConfig.model_fields}
        return ReportConfig.model_validate(stated)

    @property
    def name(self) -> str:
        """What its report calls the model; without one, what its folder is called."""
        manifest = self._reported
        return self.root.resolve().name if manifest is None else str(manifest.params["model_name"])


def _named_apart(here: _Run, other: _Run) -> tuple[Any, Any]:
    from polylm_core.stages.report.compare import Run

    names = [here.name, other.name]
    if names[0] == names[1]:
        names = [f"{names[0]} (this run)", f"{names[1]} (other run)"]
    return (
        Run(names[0], here.material, here.languages, here.timings),
        Run(names[1], other.material, other.languages, other.timings),
    )
