"""How often a group of ranks may fail: as often as it likes, as long as it gets further."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from polylm_core.errors import TrainingError
from polylm_core.worker import SAVED

MAX_FAILURES = 3
"""Failures in a row, without a step saved in between, after which a launch gives up at the next."""


class Restarts:
    """The failures of one launch since its ranks last saved something new."""

    def __init__(
        self,
        on_report: Callable[[Mapping[str, float]], None],
        on_note: Callable[[str], None],
        work: Path,
    ) -> None:
        self._on_report = on_report
        self._on_note = on_note
        self._work = work
        self._saved = 0.0
        self._saved_at_failure = 0.0
        self._failures = 0

    def report(self, metrics: Mapping[str, float]) -> None:
        """Take a report of rank 0, and pass it on."""
        self._saved = max(self._saved, metrics.get(SAVED, 0.0))
        self._on_report(metrics)

    def _stacks(self) -> str:
        """Where a rank that hung wrote what it was doing, if one did.

        Its file has more than the line with which a rank says what it is at.
        """
        folder = self._work / "stacks"
        hung = any(file.read_bytes().count(b"\n") > 1 for file in folder.glob("rank-*.txt"))
        return f", where one hung in {folder}" if hung else ""

    def failed(self, error: BaseException) -> None:
        """Count a failure; raises TrainingError when it was one too many."""
        if self._saved > self._saved_at_failure:
            self._failures = 0
        self._saved_at_failure = self._saved
        self._failures += 1
        reason = last_line(error)
        if self._failures > MAX_FAILURES:
            raise TrainingError(
                f"the ranks failed {self._failures} times in a row and saved nothing new in "
                f"between: {reason}; what they said is in {self._work / 'logs'}{self._stacks()}. "
                "If the system killed them for want of memory, lower micro_batch_sequences in the "
                "profile; then run again"
            ) from error
        self._on_note(
            f"a rank was lost ({reason}): failure {self._failures} of the {MAX_FAILURES} in a row "
            "that are forgiven"
        )


def last_line(error: BaseException) -> str:
    """Return what an error says without the traceback Ray puts before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
