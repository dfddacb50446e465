"""What counts of a stage's end is done before Prefect's time runs, and not cut short by it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows import _conclusion
from flows._conclusion import Conclusion, Outcome
from flows._prepared import Prepared
from polylm_core.artifacts import TokenSet, partial_folder, publish
from polylm_core.params import load_params
from polylm_core.payloads import Payloads, State
from polylm_core.pipeline import RUNS, STAGES
from polylm_core.settings import Profile, Storage

TINY = Path(__file__).parents[2] / "recipes/tiny.yaml"
BOUND, UPLOAD = 0.2, 0.5


@dataclass(frozen=True)
class SlowPayloads(Payloads):
    """A bucket that takes longer than Prefect may, or cannot be written."""

    failure: Exception | None = None

    def keep_records(self, work: Path, sent: Mapping[str, State] | None = None) -> dict[str, State]:
        time.sleep(UPLOAD)
        if self.failure is not None:
            raise self.failure
        return super().keep_records(work, sent)


@dataclass
class HeldClaim:
    """A claim that knows when it was given back."""

    released: list[float] = field(default_factory=list)

    def release(self) -> None:
        self.released.append(time.monotonic())


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Statuses with which the bound on Prefect would have ended the process."""
    codes: list[int] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_conclusion, "TEARDOWN_SECONDS", BOUND)
    monkeypatch.setattr(_conclusion, "leave", codes.append)
    return codes


def concluded(outcome: Outcome, failure: Exception | None = None) -> Conclusion:
    """The end of a run that has written one record."""
    storage = Storage(payloads=str(Path.cwd() / "store"))
    prepared = Prepared(
        stage=STAGES["encode"],
        params=load_params(TINY),
        profile=Profile(storage=storage),
        inputs={},
        identity="0123456789abcdef",
        payloads=SlowPayloads(storage, RUNS, failure),
    )
    prepared.work.mkdir(parents=True)
    (prepared.work / "events.jsonl").write_text("{}\n")
    return Conclusion(prepared, outcome, time.time(), "by-hand")


def well_done() -> Outcome:
    out = Path.cwd() / "04_tokens"
    partial = partial_folder(out)
    (partial / "a.bin").write_bytes(b"tokens")
    made = publish(TokenSet, partial, out, inputs={}, params={}, counts={})
    return Outcome(started=True, artifact=made, claim=HeldClaim())  # type: ignore[arg-type]


def kept() -> set[str]:
    return {file.name for file in Path("store").rglob("*") if file.is_file()}


def test_a_prefect_that_hangs_keeps_neither_records_nor_claim(left: list[int]) -> None:
    outcome = well_done()
    conclusion = concluded(outcome)
    conclusion.when_done()
    assert left == [], "ended while the records were sent"
    assert kept() == {"events.jsonl", "provenance.json"}
    assert isinstance(outcome.claim, HeldClaim)
    assert len(outcome.claim.released) == 1
    time.sleep(2 * BOUND)
    assert left == [0]


def test_what_prefect_adds_is_sent_without_its_bound(left: list[int]) -> None:
    conclusion = concluded(well_done())
    conclusion.when_done()
    (RUNS / "encode-0123456789abcdef/prefect.jsonl").write_text("{}\n")
    assert conclusion.when_closed() == 0
    assert kept() == {"events.jsonl", "provenance.json", "prefect.jsonl"}
    assert left == []


@pytest.mark.parametrize("failure", [OSError("stale file handle"), PermissionError("runs")])
def test_records_that_cannot_be_read_end_no_finished_work(
    left: list[int], capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    conclusion = concluded(well_done(), failure)
    conclusion.when_done()
    assert conclusion.when_closed() == 0
    assert capsys.readouterr().err.count("warning: the run's records are on this machine") == 1


def test_who_interrupts_a_run_waits_for_no_records(left: list[int]) -> None:
    outcome = Outcome(started=True, error=KeyboardInterrupt(), claim=HeldClaim())  # type: ignore[arg-type]
    conclusion = concluded(outcome)
    began = time.monotonic()
    conclusion.when_done()
    assert time.monotonic() - began < UPLOAD
    assert isinstance(outcome.claim, HeldClaim)
    assert outcome.claim.released
    assert conclusion.when_closed() == 130
    assert kept() == {"events.jsonl"}
