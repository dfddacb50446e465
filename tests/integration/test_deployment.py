"""A run that a worker does for a deployment: through the API, cancelled in its middle, gone on.

The whole pipeline with its remote and payloads in a bucket is the slow form; `make test` has the
deployments, one stage that is up to date, and a failure. The slow form takes the tiny recipe, and
with POLYLM_TEST_WHOLE=1 this checkout's own recipe and sources, which is most of an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polylm_core.compute.process import command_of
from polylm_core.pipeline import STAGES
from tests.bucket import KEYS, serve_bucket
from tests.clone import ROOT, Clone, make_clone
from tests.deployed import Deployed, deployed
from tests.faulty_proxy import Faults, failing
from tests.integration.test_interruptions import wait_until
from tests.integration.test_prefect import CHROMIUM, CHROMIUM_FLAGS

IS_WHOLE = "POLYLM_TEST_WHOLE" in os.environ
RUN_SECONDS = 5400 if IS_WHOLE else 1500
pytestmark = pytest.mark.timeout(2 * RUN_SECONDS)
MOST_SECONDS_TO_CANCEL = 30.0
MOST_TIMES_AS_LONG = 2.0
"""To read payloads with a fifth of the requests failing, compared with none. DVC's pull takes
longer: it asks for the lists of folders one after the other, so each late answer is waited for."""
PROFILE = f"""\
map_backend: local
map_workers: 2
training:
  workers: 2
  checkpoints: {{every_steps: {50 if IS_WHOLE else 5}}}
storage: {{payloads: "s3://results/polylm", max_dvc_bytes: 20000}}
"""


def test_a_deployment_runs_what_is_asked_and_says_where_to_look(
    clone: Clone, tmp_path: Path
) -> None:
    with deployed(clone, tmp_path) as api:
        names = {found["name"] for found in api.ask("/deployments/filter", {})}
        assert names == {"pipeline", *STAGES}
        run = api.start("mix")
        assert api.wait_for(run) == "COMPLETED", api.logs(run)
        assert "up to date" in api.logs(run)
        shown = api.artifacts(run)
        assert "Ray dashboard" in shown
        assert "data/10_report/report.html" in shown
        wrong = api.start("mix", profile="nowhere")
        assert api.wait_for(wrong) == "FAILED"
        exported = clone.path / "runs/pipeline/prefect.jsonl"
        # The server knows of the failure before the flow has written what the server knows.
        wait_until(lambda: {"Completed", "Failed"} <= states(exported), "no state was exported")
    assert any("up to date" in row["message"] for row in rows(exported, "log"))


def rows(exported: Path, kind: str) -> list[dict[str, str]]:
    """The rows of one kind in an export of Prefect's states; none before there is one."""
    if not exported.exists():
        return []
    found = [json.loads(line) for line in exported.read_text().splitlines()]
    return [row for row in found if row["kind"] == kind]


def states(exported: Path) -> set[str]:
    return {row["state"] for row in rows(exported, "flow-state")}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Clone]:
    """A checkout in which nothing has been made, with a profile that has a store."""
    folder = tmp_path.resolve() / "checkout"
    recipe = ROOT / "params.yaml"
    made = make_clone(folder, recipe=recipe, whole_sources=True) if IS_WHOLE else make_clone(folder)
    (made.path / "infra/profiles/stored.yaml").write_text(PROFILE)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def bucket_of(clone: Clone, folder: Path) -> Iterator[dict[str, str]]:
    """A bucket that is DVC's remote too; gives the environment that reaches it."""
    folder.mkdir()
    with serve_bucket(folder, {"results/empty": b""}) as url:
        options = ("remote", "add", "-d", "bucket", "s3://results/dvc")
        as_shipped = ("remote", "modify", "bucket", "jobs", "32")  # infra/storage/dvc.config
        for command in (options, ("remote", "modify", "bucket", "endpointurl", url), as_shipped):
            status, output = clone.run("python", "-m", "dvc", *command)
            assert status == 0, output
        yield {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}


def trainers(clone: Clone) -> list[int]:
    """Pids of what trains and reproduces in the checkout: ranks, Ray, stages and DVC."""
    words = ("dvc repro", "flows.", "raylet", "gcs_server", "ray::", "ray/_private")
    return [pid for pid in clone.processes() if any(word in command_of(pid) for word in words)]


@pytest.mark.slow
def test_a_cancelled_run_is_gone_on_from_with_everything_in_a_bucket(
    fresh: Clone, tmp_path: Path
) -> None:
    settings = {}
    if "POLYLM_TEST_DATABASE" in os.environ:  # of a server that keeps its runs in PostgreSQL
        settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = os.environ["POLYLM_TEST_DATABASE"]
    with (
        bucket_of(fresh, tmp_path / "weed") as keys,
        deployed(fresh, tmp_path, **keys, **settings) as api,
    ):
        run = api.start("pipeline", profile="stored", push=True)
        wait_until(lambda: saved(fresh), "no checkpoint was written", RUN_SECONDS)
        began = time.monotonic()
        api.cancel(run)
        wait_until(lambda: not trainers(fresh), "something outlived the cancelled run", 60)
        ended = time.monotonic() - began
        assert api.wait_for(run) == "CANCELLED"
        print(f"ended {ended:.1f} s after it was cancelled")
        assert ended < MOST_SECONDS_TO_CANCEL
        wait_until(lambda: not api.under_way(), "Prefect shows as running what was killed", 30)
        kept = saved(fresh)[-1]
        again = api.start("pipeline", profile="stored", push=True)
        assert api.wait_for(again, seconds=RUN_SECONDS) == "COMPLETED", api.logs(again)
        look(api, again, tmp_path / "shots")
        goes_on_from(fresh, kept)
        commit(fresh)
        clean = nothing_to_do_in_a_fresh_clone(fresh, tmp_path / "second", keys)
        with failing(keys["AWS_ENDPOINT_URL"], Faults(share=0.2)) as faults:
            broken = {**keys, "AWS_ENDPOINT_URL": faults.url}
            faulty = nothing_to_do_in_a_fresh_clone(fresh, tmp_path / "third", broken)
        print(f"fresh clone {clean}, with faults {faulty}, {dict(faults.counts)}")
        assert min(faults.counts[kind] for kind in ("busy", "cut", "late", "whole")) > 0
        assert faulty["read"] < MOST_TIMES_AS_LONG * clean["read"]


def events(clone: Clone, event: str) -> list[int]:
    """Steps of the events of one kind that pretraining has told so far."""
    told = [file.read_text() for file in (clone.path / "runs").glob("pretrain-*/events.jsonl")]
    whole = [text[: text.rfind("\n") + 1] for text in told]  # a line may be being written
    rows = [json.loads(line) for text in whole for line in text.splitlines()]
    return [row["step"] for row in rows if row["event"] == event]


def saved(clone: Clone) -> list[int]:
    """Steps whose checkpoints are whole; a folder may be there before it is."""
    return events(clone, "checkpoint")


def goes_on_from(clone: Clone, step: int) -> None:
    """The second run began where the first one's last checkpoint is, or later."""
    starts = events(clone, "start")
    assert starts[0] == 0
    assert starts[-1] >= step > 0


def commit(clone: Clone) -> None:
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("add", "-A"), ("commit", "-q", "-m", "results")):
        status, output = clone.run(*git, *command)
        assert status == 0, output


def nothing_to_do_in_a_fresh_clone(
    clone: Clone, folder: Path, keys: dict[str, str]
) -> dict[str, float]:
    """`git clone`, `dvc pull`, `dvc repro`: each stage is up to date, and reads its payloads.

    Returns the seconds of DVC's pull, and those of a stage that reads payloads.
    """
    subprocess.run(["git", "clone", "-q", str(clone.path), str(folder)], check=True)
    environment = {**clone.environment, "DVC_SITE_CACHE_DIR": str(folder / ".site"), **keys}
    second = Clone(folder, environment)
    endpoint = ("--local", "bucket", "endpointurl", keys["AWS_ENDPOINT_URL"])
    try:
        status, output = second.run("python", "-m", "dvc", "remote", "modify", *endpoint)
        assert status == 0, output
        began = time.monotonic()
        status, output = second.run("python", "-m", "dvc", "pull", "--jobs", "32")
        assert status == 0, output
        pulled = time.monotonic() - began
        status, output = second.repro(POLYLM_PROFILE="stored")
        assert status == 0, output
        assert "up to date" in output
        assert "Running stage" not in output
        assert not (folder / "data/04_tokens/train/eng_Latn.bin").exists()
        assert not (folder / "data/06_base/model.safetensors").exists()
        shutil.rmtree(folder / "data/05_mixture")
        began = time.monotonic()
        status, output = second.run("python", "-m", "flows.mix", POLYLM_PROFILE="stored")
        assert status == 0, output
        read = time.monotonic() - began
        assert second.artifacts() == clone.artifacts()
        return {"pull": pulled, "read": read}
    finally:
        second.stop()


def look(api: Deployed, run: str, folder: Path) -> None:
    """Take pictures of the UI, where there is a browser."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        return
    folder = Path(os.environ.get("POLYLM_TEST_SHOTS", folder))
    folder.mkdir(exist_ok=True)
    base = api.url.removesuffix("/api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        for name, path, words in (
            ("runs", "/runs", "pretrain-"),
            ("deployments", "/deployments", "evaluate"),
            ("run", f"/runs/flow-run/{run}", "dvc repro"),
        ):
            page.goto(f"{base}{path}")
            page.get_by_text(words, exact=False).first.wait_for(timeout=30_000)
            page.screenshot(path=folder / f"{name}.png")
        page.get_by_text("Artifacts", exact=True).first.click()
        page.get_by_text("where-to-look", exact=True).first.click()
        page.get_by_text("Ray dashboard", exact=False).first.wait_for(timeout=30_000)
        page.screenshot(path=folder / "where-to-look.png")
        browser.close()
