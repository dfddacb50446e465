"""The Hugging Face model that a run goes on from: fetched once, file by file, each checked.

The ranks read it from the run's work folder, so the machines share that folder, or have it.
"""

from __future__ import annotations

from pathlib import Path

from polylm_core.errors import SourceError
from polylm_core.remote import InputFile, below, fetch
from polylm_core.stages.pretrain.config import InitFromConfig
from polylm_core.storage import replacing, sha256_file


def fetch_model(config: InitFromConfig, work: Path) -> Path:
    """Return a folder with the declared files; raises SourceError for one that is another."""
    folder = (work / "init_from").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in config.sha256.items():
        file = folder / name
        if file.is_file() and sha256_file(file) == sha256:
            continue
        declared = InputFile(name, below(config.uri, name), sha256)
        try:
            with replacing(file) as partial:
                fetch(declared, partial)
        except SourceError as error:
            raise SourceError(f"pretrain.init_from: {error}") from error
    return folder
