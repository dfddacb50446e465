"""Data sets of the Hugging Face hub: which files a configuration has at a pinned commit.

`datasets` knows how a repository says it (its card, its folders, its file names); the files are
then read like any others, so that a broken record is counted and a killed run goes on at its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polylm_core.errors import SourceError
from polylm_core.remote import InputFile, below, is_remote
from polylm_core.stages.ingest.config import HuggingFaceSource

READABLE = (".parquet", ".jsonl", ".json")
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
METADATA = Path(".cache/huggingface/download")
"""Where `hf download --local-dir` notes the commit of each file."""


def list_files(
    declared: HuggingFaceSource, location: str | None
) -> Iterator[tuple[str | None, InputFile]]:
    """Yield the language and the file of everything declared, in a stable order.

    Without a location the hub has it (`HF_ENDPOINT`), otherwise a folder with a snapshot.
    """
    root = f"hf://datasets/{declared.dataset}@{declared.revision}"
    if location is not None:
        root = str(_snapshot(location, declared))
    for config in sorted(declared.configs):
        language = declared.configs[config] or declared.language
        for uri in sorted(_data_files(declared, location and root, config))[: declared.first]:
            name = uri.removeprefix(root).lstrip("/")
            if not _plain(name).endswith(READABLE):
                raise SourceError(
                    f"{uri}: only {', '.join(READABLE)} can be read "
                    f"({', '.join(COMPRESSED)} too); convert it, and declare the files themselves"
                )
            yield language, InputFile(name=name, uri=below(root, name))


def is_table(name: str) -> bool:
    """Whether a file of a data set is Parquet; the others are JSONL."""
    return name.endswith(".parquet")


def _plain(name: str) -> str:
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


def _data_files(declared: HuggingFaceSource, folder: str | None, config: str) -> list[str]:
    """The files of one configuration's split, as absolute addresses."""
    import datasets  # costs two seconds, and most recipes have none

    asked = f"{declared.dataset}@{declared.revision}"
    revision = None if folder else declared.revision
    try:
        of_card = _files_of_card(Path(folder), config, declared.split) if folder else None
        builder: Any = datasets.load_dataset_builder(
            folder or declared.dataset,
            name=config if of_card is None else None,
            revision=revision,
            data_files=of_card,
        )
        files = builder.config.data_files or {}
    # Not found, no such configuration, not allowed, no network: each library has its own classes.
    except Exception as error:
        raise SourceError(
            f"{folder or asked}: configuration {config!r} cannot be found "
            f"({type(error).__name__}: {error}); check dataset, revision and configs, the token of "
            "this environment (HF_TOKEN), and the network"
        ) from error
    if declared.split not in files:
        raise SourceError(
            f"{folder or asked}: no split {declared.split!r} in configuration {config!r}; "
            f"it has {', '.join(map(str, files)) or 'none'}"
        )
    return [str(file) for file in files[declared.split]]


def _files_of_card(folder: Path, config: str, split: str) -> dict[str, Any] | None:
    """What the card of a snapshot says of one split of a configuration; none if it says nothing.

    `datasets` looks for the files of the first configuration too, and for all splits; a snapshot
    need hold no more than what is read.
    """
    from huggingface_hub import DatasetCard  # see `_data_files`

    card = folder / "README.md"
    configs = DatasetCard.load(card).data.to_dict().get("configs") if card.is_file() else None
    for declared in configs or ():
        files = declared.get("data_files")
        if declared.get("config_name") == config and isinstance(files, list):
            for part in files:
                if isinstance(part, dict) and part.get("split") == split:
                    return {split: part["path"]}
    return None


def _snapshot(location: str, declared: HuggingFaceSource) -> Path:
    """The folder that holds the declared commit; raises SourceError unless that can be seen."""
    folder = Path(location.removeprefix("file://"))
    if is_remote(location) or not folder.is_dir():
        raise SourceError(
            f"{location}: no folder of this machine; put a snapshot there, or take the location "
            "out of the profile to have it from the hub"
        )
    if folder.name == declared.revision:
        return folder.resolve()
    if (folder / "snapshots" / declared.revision).is_dir():
        return (folder / "snapshots" / declared.revision).resolve()
    commits = {
        file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        for file in sorted((folder / METADATA).rglob("*.metadata"))
    }
    if commits != {declared.revision}:
        seen = ", ".join(sorted(commits)) or "no commit"
        raise SourceError(
            f"{folder}: cannot be seen to be {declared.dataset}@{declared.revision} ({seen} noted "
            f"in {METADATA}); make it by `hf download --repo-type dataset --revision "
            f"{declared.revision} --local-dir {folder} {declared.dataset}`"
        )
    return folder.resolve()
