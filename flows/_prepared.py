"""What a stage needs, loaded and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows._profile import load_safe_profile
from polylm_core.artifacts import Artifact
from polylm_core.cli.planning.ceiling import with_price
from polylm_core.params import Params, load_params
from polylm_core.payloads import Payloads
from polylm_core.pipeline import RUNS, SOURCES, STAGES, Stage, identity, sources_fingerprint
from polylm_core.settings import Profile

PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Prepared:
    """Everything a stage needs, checked before anything starts."""

    stage: Stage
    params: Params
    profile: Profile
    inputs: Mapping[str, Artifact]
    identity: str
    payloads: Payloads

    @property
    def work(self) -> Path:
        """The folder of this identity that outlives a crash."""
        return self.stage.work(self.identity)

    @property
    def claim_address(self) -> str | None:
        """Where runs that share only a bucket agree who makes this artifact."""
        return self.payloads.claim_address(self.work.name)


def prepare(name: str, root: Path = Path()) -> Prepared:
    """Check recipe, profile and inputs; raises PolyLMError."""
    stage = STAGES[name]
    params = load_params(root / PARAMS)
    profile = with_price(load_safe_profile(root))
    payloads = Payloads(profile.storage, root / RUNS)
    sources = None
    if stage.reads_sources:
        sources = sources_fingerprint(root / SOURCES, params, profile.source_locations)
    inputs = {
        name: payloads.load(STAGES[name].artifact, root / STAGES[name].out) for name in stage.inputs
    }
    return Prepared(
        stage=stage,
        params=params,
        profile=profile,
        inputs=inputs,
        identity=identity(stage, params, inputs, sources),
        payloads=payloads,
    )
