"""What a recipe on a profile asks of this machine: memory, processors, disk, text."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from polylm_core.cli.output import size
from polylm_core.cli.planning.answer import disk_of
from polylm_core.cli.planning.phases import phases_of
from polylm_core.cli.planning.request import Request
from polylm_core.cli.surroundings import Check
from polylm_core.compute.backend import private_ray_problem
from polylm_core.params import Params
from polylm_core.pipeline import RUNS, STAGES
from polylm_core.settings import Profile


def memory(request: Request) -> Check:
    """Whether the ranks that train on this machine's processors fit its memory together."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    training = request.profile.training
    found = f"{size(there)}"
    elsewhere = request.profile.ray_address or os.environ.get("RAY_ADDRESS")
    if training.accelerator != "cpu" or elsewhere:
        return Check("memory", found)
    needed = max(
        (
            phase.memory(request.profile, way).peak * way.world_size
            for phase in phases_of(request.params, request.profile)
            for way in phase.ways
        ),
        default=0,
    )
    found = f"{found}, training takes {size(needed)}"
    if needed <= there:
        return Check("memory", found)
    mend = (
        "a smaller training.micro_batch_sequences, recompute_activations, or another machine; "
        "`polylm plan` has the parts"
    )
    problem = f"training takes {size(needed)} of memory, here are {size(there)}; {mend}"
    return Check("memory", found, problem)


def processors(profile: Profile) -> Check:
    """How many cores there are, and whether the profile is wider: that is slow, or not for here."""
    there, training = os.cpu_count() or 1, profile.training
    asked = training.workers * training.threads_per_worker
    elsewhere = profile.ray_address or os.environ.get("RAY_ADDRESS")
    problem = None if elsewhere else private_ray_problem(profile.private_ray_cpus)
    if problem is not None:
        return Check("cores", str(there), problem)
    if training.accelerator == "cpu" and asked > there:
        return Check("cores", f"{there}; the profile trains with {asked} threads, which is slower")
    if profile.map_backend == "local" and profile.map_workers > there:
        return Check("cores", f"{there}; the profile maps with {profile.map_workers} processes")
    return Check("cores", str(there))


def disk(request: Request, root: Path) -> Check:
    """Whether what the recipe writes fits the disk of the checkout."""
    free = shutil.disk_usage(root).free
    parts = disk_of(request, phases_of(request.params, request.profile))
    text = 2 * parts.get("corpus_text_bytes", 0) * COMPRESSED
    needed = int(
        parts["kept_checkpoints_bytes"]
        + parts["exported_models_bytes"]
        + parts.get("corpus_tokens_bytes", 0)
        + text
    )
    found = f"{size(free)} free, the recipe writes {size(needed)}"
    # What is there already is part of it: then nobody knows how much is to come.
    begun = any((root / stage.out).exists() for stage in STAGES.values()) or (root / RUNS).exists()
    if needed <= free or begun:
        return Check("disk", found)
    problem = (
        f"{size(free)} free on the disk of {root.resolve()}, the recipe writes about "
        f"{size(needed)} (`polylm plan` has the parts); free some, or put the checkout on a "
        "larger disk"
    )
    return Check("disk", found, problem)


COMPRESSED = 0.4
"""Assumed: Parquet with zstd of the text's bytes."""


def _missing(kind: str, name: str, place: str) -> Check:
    problem = (
        f"{kind}_locations.{name}: {place} is no folder; put the {kind} there, or correct the "
        "profile"
    )
    return Check(f"{kind} {name}", "is not there", problem)


def locations(params: Params, profile: Profile) -> Iterator[Check]:
    """Yield the places of sources that the profile names: folders that are not there, and names."""
    declared = {*params.ingest.sources, *params.instruct.imports}
    unused = sorted(set(profile.source_locations) - declared)
    for name in sorted(declared & set(profile.source_locations)):
        place = profile.source_locations[name].removeprefix("file://")
        if "://" not in place and not Path(place).is_dir():
            yield _missing("source", name, place)
    asked = params.evaluate.benchmarks
    benchmarks = set() if asked is None else asked.sets.keys() & set(profile.benchmark_locations)
    for name in sorted(benchmarks):
        place = profile.benchmark_locations[name]
        if not Path(place).expanduser().is_dir():
            yield _missing("benchmark", name, place)
    if unused:
        told = f"{len(unused)} that the recipe does not have, the first {unused[0]}"
        yield Check("source_locations", told)
