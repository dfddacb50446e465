"""How fast this machine trains the recipe's model: some real steps of one rank, timed."""

from __future__ import annotations

import os

from polylm_core.cli.planning.cost import Speed
from polylm_core.cli.planning.phases import phases_of
from polylm_core.cli.planning.request import Request
from polylm_core.errors import MachineError
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.training.sizes import sizes_of


def measured_speed(request: Request, seconds: float) -> Speed:
    """Train a fresh model on random tokens for about so long; return what one rank computes.

    The rank holds the whole model, so neither sharding nor other ranks slow it down. Raises
    MachineError where the model does not fit this machine.
    """
    phase = phases_of(request.params, request.profile)[0]
    if not phase.ways:
        raise MachineError(f"{phase.name} cannot be planned on this profile; see its plan")
    from polylm_core.training.probe import BYTES_A_PARAMETER, probe

    training, needed = request.profile.training, BYTES_A_PARAMETER * phase.sizes.parameters
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if training.accelerator == "cpu" and needed > free:
        raise MachineError(
            f"the model's weights, gradients and optimizer take {needed / 1e9:,.1f} GB, "
            f"{free / 1e9:,.1f} GB are free here; calibrate on a machine of the profile, or state "
            "a speed (--tokens-per-second)"
        )
    base = request.params.pretrain
    trained = base if isinstance(base, PretrainConfig) else request.params.finetune
    found = probe(
        phase.shape,
        phase.precision,
        training,
        matmul_precision=trained.matmul_precision,
        micro_batch=phase.ways[0].micro_batch,
        seconds=seconds,
    )
    told = (
        f"measured here: {found.steps} steps of one rank in {found.seconds:.1f} s, "
        f"{found.tokens_per_second:,.0f} tokens a second"
    )
    # All weights were trained, whatever the phase trains of them.
    return Speed(found.tokens_per_second * sizes_of(phase.shape).flops_per_token, told)
