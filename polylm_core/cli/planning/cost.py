"""Hours, money, and what is lost when machines are taken away.

A rank does `speed` of the model's own operations a second (`training/flops.py` says which count):
measured, stated, or the accelerator's peak times an assumed share of it.

Machines at the spot price are taken away at a rate of r per hour each, so n of them together lose
one every 1 / (n r) hours. Each time the ranks do again what they did since the last checkpoint,
half an interval on average, after a restart: the share of the time that is lost is, to first order
(Young 1974, A first order approximation to the optimum checkpoint interval, CACM 17(9)),

    lost = n r (interval / 2 + restart)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from polylm_core.cli.planning.prices import Accelerator
from polylm_core.errors import Problem
from polylm_core.settings import Profile

HOURS_A_MONTH = 730
RESTART_SECONDS = 600.0
"""Assumed: machines come back, the ranks load libraries and a checkpoint."""


@dataclass(frozen=True)
class Speed:
    """What a rank computes in a second, and how that is known."""

    flops: float
    """Of the model's own operations."""
    known_by: str


def speed_of(
    profile: Profile,
    machine: Accelerator | None,
    flops_per_token: int,
    *,
    tokens_per_second: float | None,
) -> Speed | None:
    """Return the speed of a rank; none where nothing says it.

    `tokens_per_second` of one rank, measured or published, comes before what the profile says.
    """
    hardware = profile.hardware
    if tokens_per_second is not None:
        told = f"{tokens_per_second:,.0f} tokens a second and rank"
        return Speed(tokens_per_second * flops_per_token, told)
    if hardware.rank_flops is not None:
        return Speed(hardware.rank_flops, "hardware.rank_flops of the profile")
    if machine is not None and machine.peak_flops is not None:
        share = hardware.assumed_mfu
        told = f"{100 * share:g} % assumed of the peak of {hardware.accelerator}"
        return Speed(share * machine.peak_flops, told)
    return None


@dataclass(frozen=True)
class Cost:
    """What so many seconds of all ranks come to."""

    seconds: float
    """With what is lost."""
    lost_share: float
    interruptions: float
    usd: float | None
    """None where the table has no price."""


def cost_of(
    seconds: float, step_seconds: float, workers: int, profile: Profile, machine: Accelerator | None
) -> Cost:
    """Return what a run takes that would need `seconds` undisturbed."""
    hardware = profile.hardware
    interval = profile.training.checkpoints.every_steps * step_seconds
    machines = -(-workers // hardware.ranks_per_machine)
    monthly = (machine.interruptions_per_month if machine else None) or 0.0
    rate = hardware.spot_share * machines * monthly / HOURS_A_MONTH / 3600
    lost = rate * (interval / 2 + RESTART_SECONDS)
    whole = seconds * (1 + lost)
    price = usd_per_rank_hour(profile, machine)
    usd = None if price is None else price * workers * whole / 3600
    return Cost(whole, lost, rate * whole, usd)


def usd_per_rank_hour(profile: Profile, machine: Accelerator | None) -> float | None:
    """Return what an hour of a rank costs, by the part of the ranks that is at the spot price.

    None where the table has no such price.
    """
    if machine is None or machine.usd_per_hour is None:
        return None
    share = profile.hardware.spot_share
    if share == 0:
        return machine.usd_per_hour
    if machine.spot_usd_per_hour is None:
        return None
    return share * machine.spot_usd_per_hour + (1 - share) * machine.usd_per_hour


def budget_problems(
    usd: float | None, unknown: Sequence[str], profile: Profile, max_usd: float | None
) -> list[Problem]:
    """Return what a budget refuses; one that cannot be held because a cost is not known, too.

    `usd` is the sum of what is known, `unknown` names the parts that are not in it.
    """
    limit, place = max_usd, "--max-usd"
    if limit is None:
        limit, place = profile.hardware.max_usd, "hardware.max_usd"
    if limit is None:
        return []
    if usd is None:
        message = (
            "cannot be held: no price or no speed is known; name hardware.accelerator in the "
            "profile, a table with --prices, a speed with --calibrate-seconds or "
            "--tokens-per-second"
        )
        return [Problem(place, message, limit)]
    if usd > limit:
        message = (
            f"is less than the run is planned to cost, ${usd:,.2f}; raise it, train on fewer "
            "tokens, or take cheaper machines (hardware.spot_share)"
        )
        return [Problem(place, message, limit)]
    if unknown:
        message = (
            f"cannot be held: what {', '.join(unknown)} costs is not known; state its tokens "
            "(finetune.phases.N.expected_tokens), or plan with a profile whose ranks can share it"
        )
        return [Problem(place, message, limit)]
    return []
