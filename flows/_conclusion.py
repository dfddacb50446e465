"""How a stage ends: what is told, written and sent once its work has ended, whatever Prefect does.

The order is that of what must not be lost. As soon as the work has ended the claim is given back,
the error told or the provenance written, and the run's records sent. Only then has Prefect a
bounded time to close its books. A run that was interrupted is soon killed by whoever did it, so its
records go last, the small ones first.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from flows._prepared import Prepared
from flows._provenance import provenance
from polylm_core.artifacts import Artifact
from polylm_core.claims import Claim
from polylm_core.errors import InfrastructureError, LockedError, PolyLMError
from polylm_core.payloads import State
from polylm_core.storage import write_atomic

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

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended the work: a signal, or Ctrl-C."""
        return self.error is not None and not isinstance(self.error, Exception)


class Conclusion:
    """What is said, written and sent once the work has ended, each exactly once."""

    def __init__(self, prepared: Prepared, outcome: Outcome, started: float, tag: str) -> None:
        self._prepared = prepared
        self._outcome = outcome
        self._started = started
        self._tag = tag
        self._lock = threading.Lock()
        self._code: int | None = None
        self._sent: dict[str, State] | None = {}
        """Records that are in the store; none when they could not be sent."""
        self._cancel: Callable[[], None] = lambda: None
        """Takes the bound on Prefect away."""

    def __call__(self) -> int:
        """Return the exit status of the work, after telling its error or writing provenance."""
        with self._lock:
            if self._code is None:
                self._code = self._conclude()
            return self._code

    def when_done(self) -> None:
        """Do what must not wait for Prefect, then give it a bounded time to end."""
        try:
            self._release()
            self()
            if not self._outcome.interrupted:
                self._keep_records()
        finally:
            self._cancel = bound_teardown(self)

    def when_closed(self) -> int:
        """Send what Prefect's end has added to the records; return the status of the work."""
        self._cancel()  # what is sent now takes its time, and Prefect none any more
        code = self()
        self._keep_records()
        return code

    def _release(self) -> None:
        """Give the claim back; its own end may come too late, or never."""
        if self._outcome.claim is None:
            return
        try:
            self._outcome.claim.release()
        except Exception as error:  # others find it not renewed
            print(f"warning: the claim was not given back: {error}", file=sys.stderr)

    def _keep_records(self) -> None:
        """Send the run's records; work that has ended well does not fail for them."""
        sent, self._sent = self._sent, None
        if sent is None:
            return  # that it cannot be done was told
        try:
            self._sent = self._prepared.payloads.keep_records(self._prepared.work, sent)
        except (PolyLMError, OSError) as error:
            print(f"warning: the run's records are on this machine only: {error}", file=sys.stderr)

    def _conclude(self) -> int:
        error = self._outcome.error
        if isinstance(error, PolyLMError):
            return told(error)
        if error is not None:
            return unexpected(error)
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


def told(error: PolyLMError) -> int:
    """Tell of an error in words; return the exit status, by which `flows.pipeline` tries again."""
    print(f"error: {error}", file=sys.stderr)
    return TEMPORARY if isinstance(error, InfrastructureError | LockedError) else 1


def unexpected(error: BaseException) -> int:
    """Tell of an interruption in one line, of a defect in full; return the exit status."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "TerminationSignal":
        print("interrupted; run again to go on from here", file=sys.stderr)
        return 130
    traceback.print_exception(error)
    return 1


def bound_teardown(status: Callable[[], int]) -> Callable[[], None]:
    """Give Prefect a bounded time to close its books, then end with the status of the work.

    What is returned takes the bound away, when Prefect has.
    """
    closed = threading.Event()

    def end() -> None:
        if closed.wait(TEARDOWN_SECONDS):
            return
        with suppress(OSError, ValueError):
            print("warning: Prefect did not close in time; left as it is", file=sys.stderr)
        leave(status())

    threading.Thread(target=end, name="bounded-teardown", daemon=True).start()
    return closed.set


def leave(code: int) -> None:
    """End at once: Prefect's exit handlers can wait minutes for a server that is gone."""
    with suppress(OSError, ValueError):  # whoever read it may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
