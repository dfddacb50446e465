"""A measured speed is told in the operations of what was trained to measure it."""

from __future__ import annotations

import pytest

from polylm_core.cli.planning.calibration import measured_speed
from polylm_core.cli.planning.phases import phases_of
from polylm_core.cli.planning.request import load_request
from polylm_core.training import probe
from polylm_core.training.sizes import sizes_of
from tests.clone import ROOT


def test_a_phase_of_adapters_is_measured_by_training_all_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Adapters need fewer operations a token; counted so, a machine would seem slower."""
    measured = probe.Probe(steps=1, seconds=1.0, tokens_per_second=1000.0)
    monkeypatch.setattr(probe, "probe", lambda *_, **__: measured)
    request = load_request(ROOT / "recipes/taco-laptop.yaml", ROOT / "infra/profiles", "laptop")
    phase = phases_of(request.params, request.profile)[0]
    of_all_weights = sizes_of(phase.shape).flops_per_token
    assert phase.sizes.flops_per_token < of_all_weights, "the first phase trains adapters"
    assert measured_speed(request, 60).flops == 1000 * of_all_weights
