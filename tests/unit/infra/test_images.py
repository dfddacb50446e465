"""infra/docker: hadolint has nothing to say, versions are pinned, nothing runs as root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.closure import ROOT
from tests.programs import program

DOCKER = ROOT / "infra/docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
FROM = re.compile(r"^FROM (?P<image>\S+)", re.MULTILINE)
COPIED = re.compile(r"^COPY (?!--from)(?P<names>.+) \S+$", re.MULTILINE)


def lint(text: str) -> list[str]:
    """What hadolint says against a Dockerfile, of any weight."""
    command = [program("hadolint"), "--no-color", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() + done.stderr.splitlines()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_hadolint_has_nothing_to_say(file: Path) -> None:
    assert lint(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("FROM python:3.12.12-slim-bookworm\n", "FROM python\n", "DL3006"),
        ("FROM python:3.12.12-slim-bookworm\n", "FROM python:latest\n", "DL3007"),
        ("USER 1000", "USER root", "DL3002"),
        ("# hadolint ignore=DL3008\n", "", "DL3008"),
        ("WORKDIR /srv/polylm\nCMD", "WORKDIR srv\nCMD", "DL3000"),
        ("COPY flows flows", "COPPY flows flows", "unexpected"),
        (" && rm -rf /var/lib/apt/lists/*", "", "DL3009"),
        ('CMD ["polylm", "--help"]', "CMD polylm --help", "DL3025"),
    ],
)
def test_hadolint_finds_a_planted_mistake(old: str, new: str, told: str) -> None:
    text = (DOCKER / "cpu.Dockerfile").read_text(encoding="utf-8")
    assert old in text
    assert told in "\n".join(lint(text.replace(old, new)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_is_pinned_and_made_in_stages(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    images = FROM.findall(text)
    assert len(images) == 2  # compilers of the build stay behind
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in images)
    assert "--constraint constraints.txt" in text
    assert text.index("USER 1000") < text.index("CMD ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_copied_exists_and_may_be_seen_by_the_build(file: Path) -> None:
    ignored = file.with_suffix(".Dockerfile.dockerignore").read_text(encoding="utf-8")
    seen = [line[1:] for line in ignored.splitlines() if line.startswith("!")]
    copied = [
        name for names in COPIED.findall(file.read_text(encoding="utf-8")) for name in names.split()
    ]
    assert sorted(copied) == sorted(seen)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_both_images_have_the_same_minor_version_of_python() -> None:
    """Ray refuses a cluster of two."""
    cpu, cuda = (file.read_text(encoding="utf-8") for file in FILES)
    assert set(re.findall(r"python:(3\.\d+)", cpu)) == set(re.findall(r"python(3\.\d+)", cuda))
