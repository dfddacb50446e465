"""`polylm report` writes pages that no artifact holds: with times, and of two runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from polylm_core.cli.report import written
from polylm_core.errors import MachineError, MissingArtifactError
from polylm_core.params import load_params
from polylm_core.pipeline import STAGES
from tests.architecture.closure import ROOT
from tests.unit.cli.test_main import polylm
from tests.unit.stages.report_inputs import CONFIG, make_inputs, run_stage

COMMIT = "c0ffee" * 6 + "abcd"


def make_checkout(root: Path, *, worse_bits: float = 0.0) -> Path:
    """A checkout with a finished run and the records of two of its stages."""
    inputs = make_inputs(root / "data", worse_bits=worse_bits)
    shutil.copy(ROOT / "params.yaml", root)
    for artifact, seconds in ((inputs.documents, 21.5), (inputs.base, 905.0)):
        folder = root / "runs" / f"{artifact.stage}-1234"
        folder.mkdir(parents=True)
        record = {"stage": artifact.stage, "fingerprint": artifact.fingerprint, "seconds": seconds}
        record |= {"started": "2026-11-22T19:50:27+00:00", "ended": "2026-11-22T20:05:32+00:00"}
        record |= {"commit": f"{COMMIT}-dirty", "host": "workbench", "realisation": {}}
        (folder / "provenance.json").write_text(json.dumps(record))
        if artifact is inputs.base:
            rows = [{"step": step, "tokens_per_second": 900.0 + step} for step in (5, 10, 15)]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / "throughput.jsonl").write_text(f'{lines}{{"step": 2')
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_checkout(tmp_path_factory.mktemp("other"), worse_bits=0.5)
    shutil.rmtree(root / "runs")
    return root


def rows_of(page: str, label: str) -> list[str]:
    """The rows of a table of the page, as text with a bar between cells."""
    table = page.split(f'aria-label="{label}"')[1].split("</table>")[0]
    rows = table.split("<tbody>")[1].split("</tr>")
    return ["|".join(cell.split("<")[0] for cell in row.split(">") if cell.strip()) for row in rows]


def test_a_page_with_times_names_commit_and_speed(run: Path, tmp_path: Path) -> None:
    told = written(run, tmp_path / "page.html", with_timings=True)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert told["runs"] == 1
    rows = rows_of(page, "Commits and times of the executions")
    assert any("c0ffeec0ffee with changes" in row and "15 min 05 s" in row for row in rows)
    assert sum("no record left" in row for row in rows) == len(STAGES["report"].inputs) - 2
    assert 'id="chart-throughput"' in page
    assert "workbench" in page


def test_a_page_without_times_has_no_clock_and_no_host(run: Path, tmp_path: Path) -> None:
    written(run, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "workbench" not in page
    assert COMMIT[:12] not in page
    assert 'id="chart-throughput"' not in page


def test_the_page_of_a_run_is_under_the_name_that_its_report_gave_it(
    run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "checkout"
    shutil.copytree(run, other)
    text = (other / "params.yaml").read_text(encoding="utf-8")
    stated = load_params(other / "params.yaml").report.model_name
    (other / "params.yaml").write_text(text.replace(stated, "another-model"))
    written(other, tmp_path / "before.html")
    assert "another-model" in (tmp_path / "before.html").read_text(encoding="utf-8")
    run_stage(make_inputs(tmp_path / "same"), tmp_path)
    shutil.copytree(tmp_path / "10_report", other / "data/10_report")
    written(other, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "another-model" not in page
    assert CONFIG.model_name in page


def test_two_runs_stand_side_by_side_with_their_differences(
    run: Path, other: Path, tmp_path: Path
) -> None:
    out = tmp_path / "both.html"
    assert written(run, out, against=other / "data", with_timings=True)["runs"] == 2
    page = out.read_text(encoding="utf-8")
    rows = rows_of(page, "Scores over all languages, side by side")
    bits = next(row for row in rows if "bits per byte" in row and "base model" in row)
    assert "-0.50" in bits
    assert f"{run.name} is better" in bits
    same = next(row for row in rows if "bits per byte" in row and "chat model" in row)
    assert "may be equal" in same
    assert "the same bytes" in page
    for chart in ("loss-base", "bits", "loss-chat", "throughput"):
        assert f'id="chart-{chart}"' in page


@pytest.mark.parametrize(
    ("out", "against", "said"),
    [
        ("page.txt", None, r"does not end in \.html"),
        ("none/page.html", None, "is no folder"),
        ("page.html", "nowhere", "is no run: it has no data"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(
    run: Path, tmp_path: Path, out: str, against: str | None, said: str
) -> None:
    with pytest.raises(MachineError, match=said):
        written(run, tmp_path / out, against=None if against is None else tmp_path / against)
    assert not (tmp_path / out).exists()


def test_nothing_is_written_among_the_artifacts(run: Path) -> None:
    with pytest.raises(MachineError, match="whose artifacts nothing may be added to"):
        written(run, run / "data/08_chat/more.html")


def test_a_run_that_is_not_finished_says_which_stage_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(MissingArtifactError, match="dvc repro ingest"):
        written(tmp_path, tmp_path / "page.html")


def test_the_command_prints_where_the_page_is(run: Path, tmp_path: Path) -> None:
    told = polylm("report", f"{tmp_path / 'page.html'}", "--json", folder=run)
    assert json.loads(told.stdout)["page"] == f"{tmp_path / 'page.html'}"
