"""A run counts what it costs over all its starts, stops at its ceiling and goes on above it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from polylm_core.errors import StageError, TrainingError
from polylm_core.progress import NullProgress
from polylm_core.settings import Budget
from polylm_core.training import spending
from polylm_core.training.events import read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.run import run_job
from polylm_core.training.spending import Meter, Spent, read_spent, recall_spent, require_left
from tests.one_rank import OneRankBackend, OnlyRank
from tests.training_job import make_job, weights

DOLLAR_A_SECOND = 3600.0
STEPS = 12


def rank(number: int = 0, world_size: int = 1) -> OnlyRank:
    return OnlyRank(lambda _: None, rank=number, world_size=world_size)


def with_budget(job: TrainJob, max_usd: float) -> TrainJob:
    budget = Budget(max_usd=max_usd, usd_per_worker_hour=DOLLAR_A_SECOND)
    return job.model_copy(update={"execution": job.execution.model_copy(update={"budget": budget})})


def run(job: TrainJob) -> None:
    job.work.mkdir(parents=True, exist_ok=True)
    run_job(job, OneRankBackend(), NullProgress(), num_steps=STEPS, what="steps")


def test_the_time_of_all_ranks_is_added_up_over_the_starts(tmp_path: Path) -> None:
    budget = Budget(max_usd=100, usd_per_worker_hour=DOLLAR_A_SECOND)
    for _ in range(2):
        with Meter(tmp_path, rank(world_size=8), budget):
            time.sleep(0.05)
    spent = read_spent(tmp_path)
    assert spent.worker_seconds >= 2 * 8 * 0.05
    assert spent.usd == pytest.approx(spent.worker_seconds)


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    with Meter(tmp_path, rank(1, 2), None):
        pass
    assert read_spent(tmp_path) == Spent()


def test_a_killed_run_forgets_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "WRITE_SECONDS", 0.0)
    meter = Meter(tmp_path, rank(), None)
    time.sleep(0.01)
    assert not meter.over()
    assert read_spent(tmp_path).worker_seconds >= 0.01


def test_a_run_at_its_ceiling_asks_for_no_machine(tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_text('{"worker_seconds": 7200, "usd": 12.5}')
    require_left(tmp_path, None)
    require_left(tmp_path, Budget(max_usd=12.6))
    with pytest.raises(StageError, match=r"cost \$12\.50 in 2\.00 hours .* ceiling is \$12\.50"):
        require_left(tmp_path, Budget(max_usd=12.5))


@pytest.mark.parametrize("content", ["", "{", '{"usd": NaN}', '{"dollars": 3}', "[]"])
def test_an_account_that_cannot_be_read_does_not_begin_at_nothing(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "spent.json").write_text(content)
    with pytest.raises(TrainingError, match=r"spent\.json does not say"):
        read_spent(tmp_path)


def test_a_run_stops_at_its_ceiling_with_its_state_and_goes_on_above_it(tmp_path: Path) -> None:
    job = make_job(tmp_path / "whole", steps=STEPS, sharding="none")
    run(job)
    cut = make_job(tmp_path / "cut", steps=STEPS, sharding="none")
    with pytest.raises(StageError, match="state is kept in"):
        run(with_budget(cut, 1e-6))
    (stopped,) = [row for row in events(cut) if row["event"] == "budget-spent"]
    assert [row["step"] for row in events(cut) if row["event"] == "checkpoint"] == [1]
    assert stopped["step"] == 1
    with pytest.raises(StageError, match="state is kept in"):
        run(with_budget(cut, 1e-6))
    assert len([row for row in events(cut) if row["event"] == "start"]) == 1, "no rank for nothing"
    run(with_budget(cut, 1e6))
    assert [row["step"] for row in events(cut) if row["event"] == "start"] == [0, 1]
    assert weights(cut) == weights(job)
    assert read_spent(cut.work).usd > 1e-6


@pytest.mark.parametrize("shares_account", [False, True])
def test_a_run_whose_folder_is_lost_goes_on_from_what_it_spent(
    tmp_path: Path, shares_account: bool
) -> None:
    plain = make_job(tmp_path, steps=STEPS, sharding="none")
    checkpoints = plain.execution.checkpoints.model_copy(
        update={"storage": str(tmp_path / "storage")}
    )
    execution = plain.execution.model_copy(update={"checkpoints": checkpoints})
    account = tmp_path / "finetune-0123" if shares_account else None
    job = plain.model_copy(update={"execution": execution, "account": account})
    folder = account or job.work
    folder.mkdir(exist_ok=True)
    with pytest.raises(StageError, match="state is kept in"):
        run(with_budget(job, 1e-6))
    spent = read_spent(folder)
    for lost in {folder, job.work}:
        lost.rename(lost.with_name(f"lost-{lost.name}"))
    with pytest.raises(StageError, match="state is kept in"):
        run(with_budget(job, 1e-6))
    assert events(job) == [], "no rank for nothing"
    assert 1e-6 < read_spent(folder).usd <= spent.usd


def test_of_two_accounts_the_one_that_says_more_counts(tmp_path: Path) -> None:
    folder, storage = tmp_path / "run", tmp_path / "storage"
    for place, usd in ((folder, 3), (storage / "run", 2)):
        place.mkdir(parents=True)
        (place / "spent.json").write_text(f'{{"worker_seconds": {usd}, "usd": {usd}}}')
    recall_spent(folder, str(storage))
    assert read_spent(folder).usd == 3
    (folder / "spent.json").write_text('{"worker_seconds": 1, "usd": 1}')
    with Meter(folder, rank(1, 2), None, str(storage)):
        assert read_spent(folder).usd == 1, "only the first rank looks there"
    with Meter(folder, rank(), None, str(storage)) as meter:
        assert meter.spent.usd == 2


def test_a_copy_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "storage/run").mkdir(parents=True)
    (tmp_path / "storage/run/spent.json").write_text("{")
    with pytest.raises(TrainingError, match=r"storage/run/spent\.json does not say"):
        recall_spent(tmp_path / "run", str(tmp_path / "storage"))


def events(job: TrainJob) -> list[dict[str, object]]:
    return read_events(job.work / "events.jsonl")
