"""`polylm publish`: a model with tokenizer and cards as a repository of the Hugging Face hub.

Refused without a parity certificate that holds for the bytes there are, without a report on this
very model, and while a licence of what it learned from is not known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.artifacts import (
    ADAPTERS,
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    Report,
)
from polylm_core.cli.whole import whole
from polylm_core.errors import ArtifactError, MachineError, ParamsError, Problem
from polylm_core.pipeline import STAGES
from polylm_core.storage import sha256_file

CARDS = ("README.md", "model_card.md")
"""What the report calls the model's card; the hub shows README.md."""
UNKNOWN_LICENSES = {"", "unknown", "none", "?"}
LICENSED = ("ingest", "vocab", "pretrain", "instruct")
"""Stages that take something of others."""
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Release:
    """What is to be published."""

    repository: str
    license: str
    files: Mapping[str, Path]
    """By the name in the repository."""

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.stat().st_size for file in self.files.values())


def release_of(repository: str, model: Path, root: Path) -> Release:
    """Gather what is published of a model of this checkout.

    Raises ParamsError with everything that keeps it from being published.
    """
    problems: list[Problem] = []
    artifact = _model(model, problems)
    report = _load(Report, root / STAGES["report"].out, problems)
    files = {} if artifact is None else dict(_model_files(artifact, problems))
    license = "unknown"
    if artifact is not None and artifact.stage != "finetune":
        message = "is no chat model, and the card is about the chat model; name data/08_chat"
        problems.append(Problem(str(model), message))
    if artifact is not None and report is not None:
        if report.manifest.inputs.get(artifact.stage) != artifact.fingerprint:
            message = f"is about another model than {model}; run `dvc repro report`"
            problems.append(Problem(str(report.path), message))
        license = str(report.manifest.params.get("model_license", "unknown"))
        files |= _cards(report, problems)
        problems += _license_problems(root, license, report.manifest.inputs)
    if problems:
        raise ParamsError(f"what would be published as {repository}", problems)
    return Release(repository, license, dict(sorted(files.items())))


def _model(path: Path, problems: list[Problem]) -> Artifact | None:
    """The chat or base model in a folder, every file of it verified."""
    kind = BaseModelFolder if path.name == STAGES["pretrain"].folder else ChatModelFolder
    return _load(kind, path, problems)


def _load(kind: type[Artifact], path: Path, problems: list[Problem]) -> Artifact | None:
    try:
        return kind.load(whole(Path(), path))
    except ArtifactError as error:
        problems.append(Problem(str(path), str(error)))
    return None


def _model_files(artifact: Artifact, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    """Yield the files that the certificate is about, the certificate, and the adapters."""
    from polylm_core.training.certificate import PARITY_FILE, read_certificate

    folder = artifact.path
    try:
        certificate = read_certificate(folder)
    except (OSError, ValueError):
        run = f"run `dvc repro --force {artifact.stage}`"
        message = f"has no parity certificate, or one that was changed; {run}"
        problems.append(Problem(str(folder / PARITY_FILE), message))
        return
    for name, sha256 in certificate.sha256.items():
        file = folder / name
        if not file.is_file() or sha256_file(file) != sha256:
            message = (
                "is not what was compared with the model that trained (parity.json); run "
                f"`dvc repro --force {artifact.stage}`"
            )
            problems.append(Problem(str(file), message))
        yield name, file
    yield PARITY_FILE, folder / PARITY_FILE
    for file in sorted((folder / ADAPTERS).rglob("*")):
        if file.is_file():
            yield str(file.relative_to(folder)), file


def _cards(report: Artifact, problems: list[Problem]) -> dict[str, Path]:
    """The model's card as README.md, and the data cards beside it under their names."""
    cards = {str(file.relative_to(report.path)): file for file in report.path.rglob("*.md")}
    own = next((name for name in CARDS if name in cards), None)
    if own is None:
        problems.append(Problem(str(report.path), f"has no model card ({' or '.join(CARDS)})"))
        return cards
    return {"README.md": cards.pop(own), **cards}


def _license_problems(root: Path, license: str, reported: Mapping[str, str]) -> list[Problem]:
    """Problems of licences that nobody stated: of the weights, the texts and the instructions.

    `reported` has the fingerprints of what the model was made of.
    """
    problems: list[Problem] = []
    stated = [("report.model_license", license)]
    for stage in LICENSED:
        artifact = STAGES[stage].artifact.open(root / STAGES[stage].out)
        if artifact.fingerprint != reported.get(stage):
            message = "is not what the model was made of: whose licences are they? run `dvc repro`"
            problems.append(Problem(str(artifact.path), message))
        stated += _stated_licenses(stage, artifact)
    message = "the licence is not known; state it, or leave the source out"
    unknown = [each for each in stated if each[1].strip().lower() in UNKNOWN_LICENSES]
    return problems + [Problem(place, message, value) for place, value in unknown]


def _stated_licenses(stage: str, artifact: Artifact) -> Iterator[tuple[str, str]]:
    for source, value in artifact.counts.get("licenses", {}).items():
        yield f"{stage}.sources.{source}", str(value or "")
    if stage != "ingest":
        yield from _licenses_in(artifact.manifest.params, stage)


def _licenses_in(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every `license` of a section, with its dotted place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "license":
                yield place, str(inner or "")
            else:
                yield from _licenses_in(inner, f"{place}.{key}")


def content(release: Release, url: str | None) -> dict[str, Any]:
    """What is to be told of a release; `url` is that of the commit, none before it is sent."""
    return {
        "files": [
            {"file": name, "bytes": file.stat().st_size} for name, file in release.files.items()
        ],
        "release": {
            "repository": release.repository,
            "license": release.license,
            "bytes": release.bytes,
            "hub": endpoint(),
            "commit": url or "nothing was sent; --yes sends it",
        },
    }


def endpoint() -> str:
    """Address of the hub; HF_ENDPOINT names another."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def send(release: Release, *, private: bool) -> str:
    """Make the repository if it is not there, and send all files in one commit; return its address.

    Raises MachineError in the words of the hub.
    """
    from httpx2 import HTTPError  # of the hub's client, and the base of its own errors
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError

    hub = HfApi(endpoint=endpoint())
    try:
        hub.create_repo(release.repository, private=private, exist_ok=True)
        if private and not hub.repo_info(release.repository).private:
            raise MachineError(
                f"{release.repository} is there already and public: make it private on the hub, or "
                "name another; nothing was sent"
            )
        sent = hub.create_commit(
            release.repository,
            [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=file)
                for name, file in release.files.items()
            ],
            commit_message="Publish by polylm",
        )
    except LocalTokenNotFoundError as error:
        raise MachineError("no token of the hub: `hf auth login`, or set HF_TOKEN") from error
    except (HTTPError, HFValidationError, OSError, RuntimeError, ValueError) as error:
        raise MachineError(
            f"{endpoint()} did not take {release.repository}: {error}; nothing is published unless "
            "the commit is there. A token that may write (HF_TOKEN) is needed"
        ) from error
    return str(sent.commit_url)
