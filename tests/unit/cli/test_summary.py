from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from polylm_core.artifacts import Manifest
from polylm_core.cli import summary
from polylm_core.pipeline import STAGES
from polylm_core.sealed import sealed


def make_artifact(root: Path, stage: str, *, size: int = 2_000_000) -> str:
    """Write the manifest of a stage's artifact and return its fingerprint."""
    folder = root / STAGES[stage].out
    folder.mkdir(parents=True)
    manifest = Manifest(
        schema_version=1,
        artifact=STAGES[stage].artifact.__name__,
        stage=stage,
        inputs={},
        params={"name": "größer"},
        counts={"documents": 3, "share": 0.1},
        files={"a.parquet": {"sha256": "0" * 64, "bytes": size}},
    )
    (folder / "manifest.json").write_bytes(sealed(manifest.model_dump(mode="json")))
    return manifest.fingerprint


def record_run(root: Path, run: str, **record: object) -> None:
    folder = root / "runs" / run
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_stage_shows_the_seconds_of_the_run_that_made_its_artifact(tmp_path: Path) -> None:
    fingerprint = make_artifact(tmp_path, "ingest")
    record_run(tmp_path, "ingest-a", fingerprint=fingerprint, seconds=12.5, ended="2026-01-02")
    record_run(tmp_path, "ingest-b", fingerprint="another", seconds=99.0, ended="2026-01-03")
    row = summary.rows(tmp_path)[0]
    assert (row.stage, row.made, row.bytes, row.seconds) == ("ingest", True, 2_000_000, 12.5)


def test_the_latest_of_several_runs_counts(tmp_path: Path) -> None:
    fingerprint = make_artifact(tmp_path, "ingest")
    record_run(tmp_path, "ingest-a", fingerprint=fingerprint, seconds=50.0, ended="2026-01-03")
    record_run(tmp_path, "ingest-b", fingerprint=fingerprint, seconds=20.0, ended="2026-01-02")
    assert summary.rows(tmp_path)[0].seconds == 50.0


def test_an_artifact_without_a_record_has_no_invented_time(tmp_path: Path) -> None:
    make_artifact(tmp_path, "ingest")
    told = summary.content(summary.rows(tmp_path), {})["stages"][0]
    assert (told["made"], told["took_seconds"]) == (True, None)


def test_an_empty_checkout_has_every_stage_not_made(tmp_path: Path) -> None:
    told = summary.content(summary.rows(tmp_path), {})["stages"]
    assert [row["stage"] for row in told] == list(STAGES)
    assert not any(row["made"] for row in told)
    assert summary.places(tmp_path)["report"] == "not made yet: dvc repro report"


def test_a_half_written_provenance_does_not_stop_the_summary(tmp_path: Path) -> None:
    make_artifact(tmp_path, "ingest")
    (tmp_path / "runs/ingest-a").mkdir(parents=True)
    (tmp_path / "runs/ingest-a/provenance.json").write_text('{"finger', encoding="utf-8")
    assert summary.rows(tmp_path)[0].seconds is None


@pytest.fixture
def api() -> Iterator[str]:
    """An API that answers its health check."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_address_of_the_prefect_that_is_set_is_shown(
    tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", api)
    assert summary.prefect_ui(tmp_path) == api.removesuffix("/api")


def test_a_recorded_server_that_does_not_answer_is_said_to_be_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert summary.prefect_ui(tmp_path) == "not running: make ui"
    (tmp_path / ".prefect").mkdir()
    (tmp_path / summary.PREFECT_RECORD).write_text('{"pid": 1, "port": 9}', encoding="utf-8")
    assert summary.prefect_ui(tmp_path) == "http://127.0.0.1:9 does not answer: make ui"
