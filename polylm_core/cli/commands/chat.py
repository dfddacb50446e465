"""`polylm chat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def chat(
    model: Annotated[Path, typer.Option(help="A chat model's folder.")] = Path("data/08_chat"),
    adapter: Annotated[
        str | None, typer.Option(help="One of its adapters: the name of a LoRA phase.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the chat.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 96,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(min=1, help="1 is none; small models loop without one.")
    ] = 1.2,
) -> None:
    """Talk with a model; Ctrl-D ends it. From a pipe, each line is a message."""
    from polylm_core.cli import chat as chats
    from polylm_core.cli.whole import whole

    decoding = chats.Decoding(max_new_tokens, temperature, repetition_penalty)
    chats.talk(whole(Path(), model), adapter, system, decoding)
