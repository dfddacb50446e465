"""Whether the artifacts belong together, and which models they are."""

from __future__ import annotations

from pathlib import Path

from polylm_core.artifacts import (
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    ShardSet,
    TokenSet,
    adapters_of,
)
from polylm_core.errors import MismatchedArtifactError, StageError


def models_of(
    adapter: str | None, base: BaseModelFolder, chat: ChatModelFolder
) -> dict[str, tuple[Path, str, str | None]]:
    """Folder, fingerprint and adapter of `base` and `chat`; raises StageError."""
    require_adapter(adapter, chat)
    return {
        "base": (base.path, base.fingerprint, None),
        "chat": (chat.path, chat.fingerprint, adapter),
    }


def require_adapter(adapter: str | None, chat: ChatModelFolder) -> None:
    """Raise StageError when an adapter is not there, or none is stated where there must be one.

    Without its adapter, a model that nothing but adapters was trained for is the base.
    """
    names = adapters_of(chat.path)
    if adapter is not None and adapter not in names:
        raise StageError(
            f"evaluate.adapter is {adapter!r}; the chat model has "
            f"{', '.join(names) or 'no adapters'}"
        )
    if adapter is None and names and len(names) == len(chat.manifest.params["phases"]):
        raise StageError(
            "every phase of finetune is an adapter, and the chat model without one is the base; "
            f"state evaluate.adapter: {' or '.join(names)}"
        )


def require_one_run(
    base: BaseModelFolder,
    chat: ChatModelFolder,
    shards: ShardSet,
    tokens: TokenSet,
    instructions: InstructionSet,
) -> None:
    """Raise MismatchedArtifactError unless all is of one run.

    Held-out text is held out only from models that were trained on the rest of it.
    """
    parents: list[tuple[Artifact, Artifact]] = [
        (tokens, shards),
        (base, tokens),
        (instructions, shards),
        (chat, base),
        (chat, instructions),
    ]
    for child, parent in parents:
        seen = child.manifest.inputs.get(parent.stage)
        if seen != parent.fingerprint:
            raise MismatchedArtifactError(
                f"{child.path} was made from another {parent.path.name} ({parent.stage} "
                f"{(seen or 'none')[:12]}, here is {parent.fingerprint[:12]}); "
                f"run `dvc repro {child.stage}`"
            )
