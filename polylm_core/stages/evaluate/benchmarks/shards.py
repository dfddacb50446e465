"""Requests of the harness, answered in shards by any number of workers, each shard kept.

A shard is a run of items of one task, cut by the items alone, so that its answers are the same
whoever computes them. Its file is named by what was asked, in a folder named by the model and the
code: an evaluation that was ended goes on where it was, and a changed prompt is asked afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from polylm_core.stages.base import StageRun
from polylm_core.storage import fingerprint, sha256_file, write_atomic

ITEMS_PER_SHARD = 128
"""Large enough to sort into batches of like lengths; a shard is what an ended run does again."""
CODE = ("engine.py", "trees.py", "../model.py")
"""Files that decide what a model answers."""
LIBRARIES = ("lm_eval", "peft", "tokenizers", "torch", "transformers")

RequestKind = Literal["loglikelihood", "loglikelihood_rolling", "generate_until"]
ModelPlace = tuple[Path, str, str | None]
"""Folder, fingerprint and adapter of a model."""


@dataclass(frozen=True)
class Shard:
    """Requests that are answered together."""

    kind: RequestKind
    arguments: tuple[tuple[Any, ...], ...]
    """Of each request: context and continuation, a text, or context and generation settings."""

    @property
    def key(self) -> str:
        """Hash of what is asked."""
        return fingerprint([self.kind, self.arguments])


@dataclass(frozen=True)
class Answered:
    """What the model answered."""

    answers: list[Any]
    """One a request, as lm-evaluation-harness defines them for its kind."""
    cut: int
    """Requests that the context of the model did not hold: their beginning was left out."""


def code_fingerprint() -> str:
    """Hash of the code that answers: a model's answers of other code are not taken."""
    here = Path(__file__).parent
    files = {name: sha256_file((here / name).resolve()) for name in CODE}
    return fingerprint({**files, **{name: metadata.version(name) for name in LIBRARIES}})


def cut_shards(kind: RequestKind, requests: Sequence[Any]) -> list[Shard]:
    """Cut the harness's requests, which come task by task and item by item, into shards."""
    shards: list[list[Any]] = []
    place: tuple[str, int] | None = None
    items: set[int] = set()
    for request in requests:
        new_item = (request.task_name, request.doc_id) != place
        other_task = place is not None and request.task_name != place[0]
        if not shards or other_task or (new_item and len(items) == ITEMS_PER_SHARD):
            shards.append([])
            items = set()
        shards[-1].append(tuple(request.args))
        items.add(request.doc_id)
        place = (request.task_name, request.doc_id)
    return [Shard(kind, tuple(arguments)) for arguments in shards]


def answer_shards(model: ModelPlace, shards: Sequence[Shard], run: StageRun) -> list[Answered]:
    """Answer the shards in their order; those whose file is there are not asked again."""
    path, model_fingerprint, adapter = model
    name = hashlib.sha256(f"{model_fingerprint}\0{adapter}\0{code_fingerprint()}".encode())
    folder = run.kept / "benchmarks" / name.hexdigest()[:16]
    unique = {shard.key: shard for shard in shards}
    missing = [shard for key, shard in unique.items() if not (folder / f"{key}.json").is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    with run.progress.track("benchmarks", len(missing), "shards") as tracker:
        done: Iterator[None] = run.backend.map(partial(answer_shard, model, folder), missing)
        for _ in done:
            tracker.advance(note=path.name)
    return [_read(folder / f"{shard.key}.json") for shard in shards]


def answer_shard(model: ModelPlace, folder: Path, shard: Shard) -> None:
    """Answer one shard and write its file."""
    from polylm_core.stages.evaluate.benchmarks.engine import open_engine  # seconds of imports

    answered = open_engine(*model).answer(shard.kind, shard.arguments)
    content = {"answers": answered.answers, "cut": answered.cut}
    write_atomic(folder / f"{shard.key}.json", json.dumps(content).encode())


def _read(path: Path) -> Answered:
    content = json.loads(path.read_bytes())
    return Answered(content["answers"], content["cut"])


class ShardedModel:
    """What the harness takes for a language model: it hands the requests on in shards."""

    rank, world_size = 0, 1

    def __init__(self, answer: Callable[[Sequence[Shard]], list[Answered]], tokenizer: Any) -> None:
        self._answer = answer
        self.tokenizer = tokenizer
        self.cut: dict[str, int] = {}
        """Requests by task whose beginning was left out."""

    @property
    def tokenizer_name(self) -> str:
        """Name under which the harness would keep requests, which it is not asked to."""
        return str(self.tokenizer.name_or_path)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return the prompt of a chat, by the folder's own template."""
        text: str = self.tokenizer.apply_chat_template(
            chat_history, add_generation_prompt=add_generation_prompt, tokenize=False
        )
        return text

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Return the folder's template."""
        del chat_template
        return str(self.tokenizer.chat_template)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether greedy decoding gives it."""
        return [(value, greedy) for value, greedy in self._all("loglikelihood", requests)]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Log-probability of each whole text."""
        return self._all("loglikelihood_rolling", requests)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Greedy continuation of each context."""
        return self._all("generate_until", requests)

    def _all(self, kind: RequestKind, requests: Sequence[Any]) -> list[Any]:
        shards = cut_shards(kind, requests)
        answered = self._answer(shards)
        at = 0
        for shard, found in zip(shards, answered, strict=True):
            task = requests[at].task_name
            self.cut[task] = self.cut.get(task, 0) + found.cut
            at += len(shard.arguments)
        return [answer for found in answered for answer in found.answers]
