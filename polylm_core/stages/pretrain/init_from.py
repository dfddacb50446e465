"""The Hugging Face model that a run goes on from: fetched once, file by file, each checked.

The ranks read it from the run's work folder, so the machines share that folder, or have it.
"""

from __future__ import annotations

from pathlib import Path

from polylm_core.errors import SourceError
from polylm_core.remote import InputFile, below, fetch_once
from polylm_core.stages.pretrain.config import InitFromConfig


def fetch_model(config: InitFromConfig, work: Path) -> Path:
    """Return a folder with the declared files; raises SourceError for one that is another."""
    folder = (work / "init_from").absolute()
    for name, sha256 in config.sha256.items():
        try:
            fetch_once(InputFile(name, below(config.uri, name), sha256), folder / name)
        except SourceError as error:
            raise SourceError(f"pretrain.init_from: {error}") from error
    return folder
