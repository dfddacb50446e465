"""What the documents name exists: commands, files and decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from polylm_core.pipeline import STAGES
from tests.architecture.closure import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)\)")
NAMED_FILE = re.compile(r"`((?:data|docs|flows|infra|polylm_core|recipes|tests)/[\w./-]+)`")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links of a document that lead nowhere."""
    links = [link for link in LINK.findall(text) if "://" not in link]
    return [link for link in links if not (document.parent / link).exists()]


def missing_targets(text: str, makefile: str) -> set[str]:
    """Targets a document names that the Makefile does not have."""
    known = set(TARGET.findall(makefile))
    return set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) - known


def missing_files(text: str) -> list[str]:
    """Files of the project a document names that are not there; artifacts are made by stages."""
    made = tuple(str(stage.out) for stage in STAGES.values())
    named = [name for name in NAMED_FILE.findall(text) if not name.startswith(made)]
    return [name for name in named if not (ROOT / name).exists()]


def problems() -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        name = document.relative_to(ROOT)
        yield from (f"{name}: no {link}" for link in broken_links(document, text))
        yield from (f"{name}: no make {target}" for target in missing_targets(text, makefile))
        yield from (f"{name}: no {file}" for file in missing_files(text))


def test_everything_the_documents_name_is_there() -> None:
    assert list(problems()) == []


def test_planted_gaps_are_caught() -> None:
    assert broken_links(ROOT / "README.md", "see [this](docs/nowhere.md)") == ["docs/nowhere.md"]
    assert missing_targets("`make coffee`", "run: ## do it\n") == {"coffee"}
    assert missing_files("`polylm_core/utils.py` and `data/06_base/x`") == ["polylm_core/utils.py"]


def test_every_stage_has_its_chapter() -> None:
    text = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(STAGES)


def test_decisions_are_numbered_without_gaps() -> None:
    files = sorted((ROOT / "docs/decisions").glob("*.md"))
    titles = [file.read_text(encoding="utf-8").splitlines()[0] for file in files]
    assert [file.name[:4] for file in files] == [f"{n:04d}" for n in range(1, len(files) + 1)]
    assert [title.split(".")[0] for title in titles] == [f"# {n}" for n in range(1, len(files) + 1)]
