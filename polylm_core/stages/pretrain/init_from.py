"""A Hugging Face model that is gone on from or published: fetched once, file by file, each checked.

The ranks read it from the run's work folder, so the machines share that folder, or have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from polylm_core.errors import SourceError
from polylm_core.remote import InputFile, below, fetch_once
from polylm_core.stages.pretrain.config import InitFromConfig


def fetch_model(config: InitFromConfig, work: Path) -> Path:
    """Return a folder with the declared files; raises SourceError for one that is another."""
    return fetch_files(config.uri, config.sha256, work / "init_from", field="pretrain.init_from")


def fetch_files(uri: str, files: Mapping[str, str], folder: Path, *, field: str) -> Path:
    """Return `folder`, with the files of these sha256; `field` is where the params declare them.

    Raises SourceError for a file that is another.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in files.items():
        try:
            fetch_once(InputFile(name, below(uri, name), sha256), folder / name)
        except SourceError as error:
            raise SourceError(f"{field}: {error}") from error
    return folder
