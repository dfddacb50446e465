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
        ("FROM python:3.12.12-slim-bookworm${DIGEST}\n", "FROM python\n", "DL3006"),
        ("FROM python:3.12.12-slim-bookworm${DIGEST}\n", "FROM python:latest\n", "DL3007"),
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
    assert all(re.search(r":\d+\.\d+\.\d+\S*\${DIGEST}$", image) for image in images)
    assert re.search(r"^ARG DIGEST=$", text, re.MULTILINE)  # of a base: --build-arg says it
    assert "--constraint constraints.txt" in text
    assert text.index("USER 1000") < text.index("CMD ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_copied_exists_and_may_be_seen_by_the_build(file: Path) -> None:
    ignored = file.with_suffix(".Dockerfile.dockerignore").read_text(encoding="utf-8")
    seen = [line[1:] for line in ignored.splitlines() if line.startswith("!")]
    text = file.read_text(encoding="utf-8")
    copied = [name for names in COPIED.findall(text) for name in names.split()]
    assert sorted(name.replace("loc[k]", "lock") for name in copied) == sorted(seen)
    # A name with brackets is a pattern: nothing is missed where there is no such file.
    assert [name for name in copied if not (ROOT / name).exists()] == ["requirements.loc[k]"]


def installing(file: Path) -> str:
    """The shell of the step that installs the packages, as the build gives it to the shell."""
    text = file.read_text(encoding="utf-8")
    (step,) = re.findall(r"^RUN --mount=type=secret,\S+ \\\n((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return str(step).replace("\\\n", "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("has_lock", [True, False])
def test_packages_are_held_to_their_hashes_where_there_is_a_lock(
    tmp_path: Path, file: Path, has_lock: bool
) -> None:
    lock = "ray==2 \\\n    --hash=sha256:aa\nsetuptools==80 \\\n    --hash=sha256:bb\n"
    if has_lock:
        (tmp_path / "requirements.lock").write_text(lock, encoding="utf-8")
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$@"; [ "$6" != built ] || cat built\n', encoding="utf-8")
    pip.chmod(0o755)
    shell = installing(file).replace("/opt/polylm/bin/pip", str(pip))
    shell = shell.replace("/tmp/build.lock", "built")
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    if not has_lock:
        assert done.stdout.startswith("install --no-cache-dir --constraint constraints.txt --edit")
        return
    first, *build, rest, own = done.stdout.splitlines()
    assert first.endswith("--require-hashes --no-deps --requirement built")
    assert build == ["setuptools==80 \\", "    --hash=sha256:bb"]
    assert rest.endswith("--no-build-isolation --requirement requirements.lock")
    assert "--require-hashes --no-deps" in rest
    assert own == "install --no-cache-dir --no-deps --no-build-isolation --editable ."


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_lock_that_an_image_wants_has_the_extras_it_installs(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    (wanted,) = re.findall(r"make lock EXTRAS=(\S+?)`", text)
    assert f"'.[{wanted}]'" in text


def test_both_images_have_the_same_minor_version_of_python() -> None:
    """Ray refuses a cluster of two."""
    cpu, cuda = (file.read_text(encoding="utf-8") for file in FILES)
    assert set(re.findall(r"python:(3\.\d+)", cpu)) == set(re.findall(r"python(3\.\d+)", cuda))
