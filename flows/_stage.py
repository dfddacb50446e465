"""The one bridge between a stage and everything around it: DVC above, Prefect beside, Ray below.

`python -m flows.<stage>` loads the recipe, the profile and the input artifacts, takes the
stage's lock `runs/<stage>.lock`, and runs the stage inside a Prefect flow, working in
`runs/<stage>-<identity>/`. The exit status is that of the work, whatever becomes of Prefect.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from flows import _server
from flows._backends import make_backend
from flows._prepared import Prepared, prepare
from flows._provenance import ancestor_runner, provenance
from polylm_core.artifacts import Artifact
from polylm_core.claims import Claim
from polylm_core.compute.local import LocalBackend
from polylm_core.compute.process import die_with_parent, die_with_process
from polylm_core.errors import InfrastructureError, LockedError, MachineError, PolyLMError
from polylm_core.pipeline import RUNS, SOURCES
from polylm_core.progress import Progress, TerminalProgress
from polylm_core.redaction import hide_from_output
from polylm_core.stages.base import StageRun
from polylm_core.storage import exclusive_lock, no_space_named, refusal_named, write_atomic

TEMPORARY = 75
"""Exit status when the same run may succeed later (EX_TEMPFAIL of sysexits.h)."""
TEARDOWN_SECONDS = 10.0
"""How long Prefect may take to close its books after the work has ended."""


@dataclass
class Outcome:
    """How the work ended, kept apart from how Prefect ended."""

    started: bool = False
    artifact: Artifact | None = None
    error: BaseException | None = None
    url: str = ""
    claim: Claim | None = None
    """What keeps runs on other machines from making the same artifact."""


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
        code = _told(error)
    except BaseException as error:
        code = _unexpected(error)
    leave(code)


def _told(error: PolyLMError) -> int:
    """Tell of an error in words; return the exit status, by which `flows.pipeline` tries again."""
    print(f"error: {error}", file=sys.stderr)
    return TEMPORARY if isinstance(error, InfrastructureError | LockedError) else 1


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


def _unexpected(error: BaseException) -> int:
    """Tell of an interruption in one line, of a defect in full; return the exit status."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "TerminationSignal":
        print("interrupted; run again to go on from here", file=sys.stderr)
        return 130
    traceback.print_exception(error)
    return 1


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
        backend=make_backend(prepared.profile, local, on_wait=progress.say),
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
    conclude = _Conclusion(prepared, outcome, started, tag)
    try:
        watched = importlib.import_module("flows._flow")
        watched.run_as_flow(
            prepared.stage.name,
            lambda progress: _work(prepared, progress, outcome),
            outcome,
            parameters=prepared.stage.config(prepared.params).model_dump(mode="json"),
            run_name=f"{prepared.stage.name}-{prepared.identity[:8]}",
            tag=tag,
            when_done=conclude.within_bound,
            states=prepared.work / "prefect.jsonl",
        )
    except BaseException as error:
        if not outcome.started:
            _fall_back(prepared, outcome, error)
        elif outcome.error is None:
            print(f"warning: Prefect did not take the end of the stage: {error}", file=sys.stderr)
    code = conclude()
    try:
        prepared.payloads.keep_records(prepared.work)
    except PolyLMError as error:
        print(f"warning: the run's records are on this machine only: {error}", file=sys.stderr)
    return code


def _fall_back(prepared: Prepared, outcome: Outcome, error: BaseException) -> None:
    """Do the work unwatched when Prefect failed before it began."""
    if not isinstance(error, Exception):
        raise error
    print(f"warning: Prefect is not usable ({error}); the stage runs unwatched", file=sys.stderr)
    try:
        _work(prepared, TerminalProgress(), outcome)
    except Exception:
        return  # kept in the outcome, and told by the conclusion


class _Conclusion:
    """What is said and written once the work has ended, exactly once."""

    def __init__(self, prepared: Prepared, outcome: Outcome, started: float, tag: str) -> None:
        self._prepared = prepared
        self._outcome = outcome
        self._started = started
        self._tag = tag
        self._lock = threading.Lock()
        self._code: int | None = None

    def __call__(self) -> int:
        """Return the exit status of the work, after telling its error or writing provenance."""
        with self._lock:
            if self._code is None:
                self._code = self._conclude()
            return self._code

    def within_bound(self) -> None:
        """Give Prefect a bounded time to end, then end the process with the work's status."""
        bound_teardown(self)

    def _conclude(self) -> int:
        error = self._outcome.error
        if isinstance(error, PolyLMError):
            return _told(error)
        if error is not None:
            return _unexpected(error)
        try:
            self._write_provenance()
        except (PolyLMError, OSError) as failure:
            print(f"warning: no provenance was written: {failure}", file=sys.stderr)
        return 0

    def _write_provenance(self) -> None:
        prepared = self._prepared
        assert self._outcome.artifact is not None
        record = provenance(
            stage=prepared.stage.name,
            identity=prepared.identity,
            fingerprint=self._outcome.artifact.fingerprint,
            profile=prepared.profile.model_dump(mode="json"),
            flow_run_url=self._outcome.url,
            tag=self._tag,
            started=self._started,
        )
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_atomic(prepared.work / "provenance.json", text.encode())


def bound_teardown(status: Callable[[], int]) -> None:
    """Give Prefect a bounded time to close its books, then end with the status of the work."""

    def end() -> None:
        time.sleep(TEARDOWN_SECONDS)
        with suppress(OSError, ValueError):
            print("warning: Prefect did not close in time; left as it is", file=sys.stderr)
        leave(status())

    threading.Thread(target=end, name="bounded-teardown", daemon=True).start()


def leave(code: int) -> None:
    """End at once: Prefect's exit handlers can wait minutes for a server that is gone."""
    with suppress(OSError, ValueError):  # whoever read it may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
