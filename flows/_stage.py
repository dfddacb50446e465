"""The one bridge between a stage and everything around it: DVC above, Prefect beside, Ray below.

`python -m flows.<stage>` loads the recipe, the profile and the input artifacts, takes the
stage's lock `runs/<stage>.lock`, and runs the stage inside a Prefect flow, working in
`runs/<stage>-<identity>/`. The exit status is that of the work, whatever becomes of Prefect.
"""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from flows import _server
from flows._backends import make_backend
from flows._conclusion import Conclusion, Outcome, leave, told, unexpected
from flows._prepared import Prepared, prepare
from flows._provenance import ancestor_runner
from polylm_core.claims import Claim
from polylm_core.compute.local import LocalBackend
from polylm_core.compute.process import die_with_parent, die_with_process
from polylm_core.errors import MachineError, PolyLMError
from polylm_core.loading import importing
from polylm_core.pipeline import RUNS, SOURCES
from polylm_core.progress import Progress, TerminalProgress
from polylm_core.redaction import hide_from_output
from polylm_core.stages.base import StageRun
from polylm_core.storage import exclusive_lock, no_space_named, refusal_named


def main(name: str) -> None:
    """Run one stage as a flow and end the process with the status of the work."""
    hide_from_output()
    die_with_parent()
    runner = ancestor_runner()
    if runner is not None:
        die_with_process(runner.pid)
    try:
        with no_space_named(RUNS), refusal_named(RUNS):
            code = _run_alone(name, tag=runner.tag if runner else "by-hand")
    except PolyLMError as error:
        code = told(error)
    except BaseException as error:
        code = unexpected(error)
    leave(code)


def _run_alone(name: str, *, tag: str) -> int:
    """Run the stage under its lock: one process at a time builds an artifact."""
    prepared = prepare(name)
    what, wait_seconds = str(prepared.stage.out), prepared.profile.lock_wait_seconds
    with ExitStack() as held:
        lock = exclusive_lock(RUNS / f"{name}.lock", what=what, wait_seconds=wait_seconds)
        held.enter_context(lock)
        claim = None
        if (address := prepared.claim_address) is not None:
            claim = held.enter_context(Claim(address, what=what, wait_seconds=wait_seconds))
        prepared.work.mkdir(parents=True, exist_ok=True)
        return _run_watched(prepared, Outcome(claim=claim), tag=tag)


def _work(prepared: Prepared, progress: Progress, outcome: Outcome) -> None:
    """Run the stage function; the outcome is what counts, exceptions also go to Prefect."""
    stage = prepared.stage
    outcome.started = True
    local = LocalBackend(
        map_workers=prepared.profile.map_workers,
        training_workers=prepared.profile.training.workers,
        threads_per_worker=prepared.profile.training.threads_per_worker,
    )
    run = StageRun(
        seed=prepared.params.seed,
        languages=prepared.params.languages,
        out=stage.out,
        work=prepared.work,
        kept=RUNS / "kept" / stage.name,
        backend=make_backend(prepared.profile, local, work=prepared.work, on_wait=progress.say),
        progress=progress,
        training=prepared.profile.training,
        source_locations=prepared.profile.source_locations,
        benchmark_locations=prepared.profile.benchmark_locations,
        endpoints=prepared.profile.endpoints,
    )
    sources = (SOURCES,) if stage.reads_sources else ()
    try:
        with local, no_space_named(stage.out), refusal_named(stage.out):
            artifact = stage.function()(
                stage.config(prepared.params), *prepared.inputs.values(), *sources, run
            )
            if outcome.claim is not None:
                outcome.claim.require_held()
            prepared.payloads.send(artifact)
            outcome.artifact = artifact
    except BaseException as error:
        outcome.error = error
        raise


def _run_watched(prepared: Prepared, outcome: Outcome, *, tag: str) -> int:
    root = Path()
    started = time.time()
    _server.configure(root)
    try:
        _server.ensure(root)
    except MachineError as error:
        if _server.running(root) is None and _server.port_taken():
            raise
        print(f"warning: {error}; the stage runs unwatched", file=sys.stderr)
    conclusion = Conclusion(prepared, outcome, started, tag)
    try:
        with importing():
            watched = importlib.import_module("flows._flow")
        watched.run_as_flow(
            prepared.stage.name,
            lambda progress: _work(prepared, progress, outcome),
            outcome,
            parameters=prepared.stage.config(prepared.params).model_dump(mode="json"),
            run_name=f"{prepared.stage.name}-{prepared.identity[:8]}",
            tag=tag,
            when_done=conclusion.when_done,
            states=prepared.work / "prefect.jsonl",
        )
    except BaseException as error:
        if not outcome.started:
            _fall_back(prepared, outcome, error)
        elif outcome.error is None:
            print(f"warning: Prefect did not take the end of the stage: {error}", file=sys.stderr)
    return conclusion.when_closed()


def _fall_back(prepared: Prepared, outcome: Outcome, error: BaseException) -> None:
    """Do the work unwatched when Prefect failed before it began."""
    if not isinstance(error, Exception):
        raise error
    print(f"warning: Prefect is not usable ({error}); the stage runs unwatched", file=sys.stderr)
    try:
        _work(prepared, TerminalProgress(), outcome)
    except Exception:
        return  # kept in the outcome, and told by the conclusion
