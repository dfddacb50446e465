"""Profiles: where and how wide, never what."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import MachineError, ParamsError
from polylm_core.params import load_params
from polylm_core.pipeline import STAGES, check_sources, identity, sources_fingerprint
from polylm_core.settings import Profile, load_profile
from polylm_core.stages.ingest.config import TextSource

ROOT = Path(__file__).parents[2]


def test_the_profile_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wide.yaml").write_text("map_workers: 64\n")
    monkeypatch.setenv("POLYLM_PROFILE", "wide")
    assert load_profile(tmp_path).map_workers == 64


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "laptop.yaml").write_text("{}\n")
    with pytest.raises(MachineError, match=r"no profile 'lptop'.*known: laptop"):
        load_profile(tmp_path, "lptop")


def test_mistakes_of_a_profile_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("map_workers: 0\nlaunch_backend: slurm\nmemory: 3\n")
    with pytest.raises(ParamsError) as caught:
        load_profile(tmp_path, "bad")
    assert {problem.location for problem in caught.value.problems} == {
        "map_workers",
        "launch_backend",
        "memory",
    }


def test_fewer_workers_than_the_fewest_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("training: {workers: 2, min_workers: 4}\n")
    with pytest.raises(ParamsError, match="min_workers is 4, workers is 2"):
        load_profile(tmp_path, "bad")


def test_a_start_that_would_give_up_before_it_takes_fewer_ranks_is_refused(tmp_path: Path) -> None:
    waits = "full_size_wait_seconds: 900, machines_wait_seconds: 600"
    (tmp_path / "bad.yaml").write_text(f"training: {{workers: 4, min_workers: 2, {waits}}}\n")
    with pytest.raises(ParamsError, match="is 900, machines_wait_seconds is 600: a start would"):
        load_profile(tmp_path, "bad")
    (tmp_path / "all.yaml").write_text(f"training: {{workers: 4, {waits}}}\n")
    assert load_profile(tmp_path, "all").training.min_workers is None


def test_gpus_without_ray_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("training: {backend: local, accelerator: gpu}\n")
    with pytest.raises(ParamsError, match="accelerator `gpu` needs `ray`"):
        load_profile(tmp_path, "bad")


def test_a_profile_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"ray_address: \xff\n")
    with pytest.raises(ParamsError, match=r"bad\.yaml.*\n.*not YAML"):
        load_profile(tmp_path, "bad")


def test_a_profile_shares_no_name_with_the_recipe() -> None:
    """What executes must not be mistakable for what identifies."""
    params = load_params(ROOT / "params.yaml")
    names = {name for stage in STAGES.values() for name in type(stage.config(params)).model_fields}
    assert names.isdisjoint(Profile.model_fields)


def test_identity_follows_the_recipe_and_the_inputs_only() -> None:
    params = load_params(ROOT / "params.yaml")
    stage = STAGES["ingest"]
    assert identity(stage, params, {}, "s") == identity(stage, params, {}, "s")
    assert identity(stage, params, {}, "s") != identity(stage, params, {}, "t")
    other = params.model_copy(update={"seed": params.seed + 1})
    assert identity(stage, params, {}, "s") != identity(stage, other, {}, "s")


def test_a_source_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    for name in list(params.ingest.sources)[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "source.yaml").touch()
    with pytest.raises(ParamsError, match=r"libreoffice-help: no such package .*; known: chromium"):
        check_sources(tmp_path, params)


def test_a_package_is_looked_for_where_the_profile_says(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    sources = ROOT / "data/00_sources"
    here = sources_fingerprint(sources, params)
    (tmp_path / "elsewhere").mkdir()
    declared = (sources / "udhr/source.yaml").read_bytes()
    (tmp_path / "elsewhere/source.yaml").write_bytes(declared)
    moved = {"udhr": str(tmp_path / "elsewhere")}
    assert sources_fingerprint(sources, params, moved) == here
    (tmp_path / "elsewhere/source.yaml").write_bytes(declared + b"\n")
    assert sources_fingerprint(sources, params, moved) != here
    with pytest.raises(ParamsError, match=r"source_locations\.udhr: a package lies in a folder"):
        check_sources(sources, params, {"udhr": "s3://bucket/udhr"})


def test_declared_files_that_are_not_there_are_told_before_a_run(tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    declared = TextSource(
        format="text", document="file", language="swh_Latn", license="CC0-1.0", version="1",
        files={"a.txt": None, "b.txt": None},
    )  # fmt: skip
    mine = {**params.ingest.sources, "mine": declared}
    more = params.model_copy(
        update={
            "languages": (*params.languages, "swh_Latn"),
            "ingest": params.ingest.model_copy(update={"sources": mine}),
        }
    )
    (tmp_path / "a.txt").touch()
    sources = ROOT / "data/00_sources"
    with pytest.raises(ParamsError, match=r"sources\.mine\.files: 1 of 2 files .* first: b\.txt"):
        check_sources(sources, more, {"mine": str(tmp_path)})
    check_sources(sources, more, {"mine": "s3://bucket/mine"})


def test_a_language_without_a_file_in_any_source_is_told() -> None:
    params = load_params(ROOT / "params.yaml")
    check_sources(ROOT / "data/00_sources", params)
    languages = (*params.languages, "knc_Arab")
    more = params.model_copy(update={"languages": languages})
    with pytest.raises(
        ParamsError, match=rf"languages\.{len(languages) - 1}: no text in .*knc_Arab"
    ):
        check_sources(ROOT / "data/00_sources", more)
