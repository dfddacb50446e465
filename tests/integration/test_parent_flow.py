"""`python -m flows.pipeline`: the exit status is that of the work, whatever becomes of Prefect."""

from __future__ import annotations

import pytest

from tests.clone import Clone

pytestmark = pytest.mark.timeout(900)  # the first test waits for the pipeline to be run
NOBODY = "http://127.0.0.1:9/api"


def test_the_pipeline_runs_as_one_flow(clone: Clone) -> None:
    status, output = clone.run("python", "-m", "flows.pipeline")
    assert status == 0, output
    assert "up to date" in output


def test_without_a_server_that_answers_the_work_is_done_unwatched(clone: Clone) -> None:
    status, output = clone.run("python", "-m", "flows.pipeline", PREFECT_API_URL=NOBODY)
    assert status == 0, output
    assert "Prefect is not usable" in output
    assert "up to date" in output


def test_a_failing_stage_fails_the_pipeline_in_words(clone: Clone) -> None:
    clone.edit_params("  vocab_size: 1500", "  vocab_size: -1500")
    try:
        status, output = clone.run("python", "-m", "flows.pipeline", "vocab")
    finally:
        clone.edit_params("  vocab_size: -1500", "  vocab_size: 1500")
        clone.repro()
    assert status == 1
    assert "vocab.vocab_size" in output
    assert "Traceback" not in output


def test_a_stage_that_does_not_exist_is_told_with_those_that_do(clone: Clone) -> None:
    status, output = clone.run("python", "-m", "flows.pipeline", "tokenise")
    assert status == 1
    assert "no stage 'tokenise'; the stages are ingest, curate, vocab" in output
