"""A model as lm-evaluation-harness asks it: its scores to the item, with less computing.

Log-likelihoods are computed over prefix trees (`trees.py`): what options, and neighbouring items,
have in common is computed once, in batches of like sizes, with the projection to the vocabulary
at the scored positions alone. Tokens, windows and generation are those of the harness's `hf`
backend, of which this is a subclass.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import StoppingCriteria, StoppingCriteriaList

from polylm_core.errors import StageError
from polylm_core.stages.evaluate.benchmarks.shards import Answered, RequestKind
from polylm_core.stages.evaluate.benchmarks.trees import Tree, batches, grow_trees
from polylm_core.stages.evaluate.model import GENERATION_BATCH, LoadedModel, load_model

TOKENS_AT_ONCE = {"cpu": 512, "cuda": 32768}
"""Tokens of a batch, with padding: on a processor, as many as leave activations in its cache."""
LOGITS_AT_ONCE = 25_000_000
"""Logits that are held at once, 100 MB in float32. They are written where the last ones were: new
memory of this size comes from the system page by page, a quarter of the projection's time."""
STOP_SLACK_TOKENS = 2
"""A stop may be written in more tokens than it is encoded in, as the harness has it."""

Request = tuple[Any, list[int], list[int]]
"""The texts, tokens of the context and of the continuation."""


class Engine(HFLM):  # type: ignore[misc]
    """A loaded model behind the harness's interface."""

    def __init__(self, loaded: LoadedModel) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=GENERATION_BATCH,
            max_length=loaded.context_tokens,
            device=str(loaded.device),
        )
        self._cut = 0
        self._head = _Head(self.model.get_output_embeddings())

    def answer(self, kind: RequestKind, arguments: Sequence[tuple[Any, ...]]) -> Answered:
        """Answer requests of one kind."""
        self._cut = 0
        requests = [SimpleNamespace(args=given, task_name="") for given in arguments]
        answers = getattr(self, kind)(requests, disable_tqdm=True)
        return Answered(list(answers), self._cut)

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], **options: Any
    ) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether it is what greedy decoding gives.

        Raises StageError for a continuation without tokens, or with more than the context.
        """
        del options  # of the harness's own batches and bars
        inputs, targets = [], []
        for key, context, continuation in requests:
            if not 0 < len(continuation) <= self.max_length:
                raise StageError(
                    f"an option has {len(continuation)} tokens; from 1 to the {self.max_length} of "
                    f"the model's context can be scored: {key!r:.300}"
                )
            whole = context + continuation
            window = whole[-(self.max_length + 1) :]
            self._cut += len(window) < len(whole)
            inputs.append(tuple(window[:-1]))
            targets.append(continuation)
        total = torch.zeros(len(inputs))
        greedy = torch.ones(len(inputs), dtype=torch.bool)
        for batch in batches(grow_trees(inputs), TOKENS_AT_ONCE[self.device.type]):
            numbers, values, hits = self._score(batch, targets)
            # In float32 and in the order of the tokens, as the harness adds them up.
            counts = numbers.bincount(minlength=len(inputs))
            parts = torch.split(values[numbers.argsort(stable=True)], counts.tolist())
            scored = counts > 0
            total[scored] = torch.stack([part.sum() for part in parts if len(part)])
            greedy[numbers[~hits]] = False
        return list(zip(total.tolist(), greedy.tolist(), strict=True))

    @torch.inference_mode()
    def _score(
        self, batch: Sequence[Tree], targets: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Number of the sequence, log-probability and hit of each scored token."""
        hidden_ND = self._hidden(batch)
        width = len(batch[0])
        scored = [
            (row * width + node, token, number)
            for row, tree in enumerate(batch)
            for number, path in tree.paths
            for node, token in zip(path[-len(targets[number]) :], targets[number], strict=True)
        ]
        scored.sort()
        places, tokens, numbers = torch.tensor(scored).T
        nodes, index = torch.unique_consecutive(places, return_inverse=True)
        values, hits = [], []
        for first in range(0, len(nodes), self._head.num_rows):
            last = first + self._head.num_rows
            here = (index >= first) & (index < last)
            log_SV = self._head.log_softmax(hidden_ND[nodes[first:last].to(self.device)])
            chosen = tokens[here].to(self.device)
            of = (index[here] - first).to(self.device)
            found = log_SV[of, chosen]
            values.append(found)
            # Ten times as fast as `argmax`; two tokens with one float are both what may come.
            hits.append(found == log_SV.amax(-1)[of])
        return numbers, torch.cat(values).cpu(), torch.cat(hits).cpu()

    def _hidden(self, batch: Sequence[Tree]) -> torch.Tensor:
        """Last hidden states of the trees' tokens, shape (trees times widest, hidden)."""
        width = len(batch[0])
        ids_BT = torch.zeros(len(batch), width, dtype=torch.long)
        positions_BT = torch.zeros(len(batch), width, dtype=torch.long)
        # Padding attends to itself: without anything to attend to it would be no number.
        visible_BTT = torch.eye(width, dtype=torch.bool).repeat(len(batch), 1, 1)
        for row, tree in enumerate(batch):
            num = len(tree)
            ids_BT[row, :num] = torch.tensor(tree.tokens)
            positions_BT[row, :num] = torch.tensor(tree.positions)
            visible_BTT[row, :num, :num] = torch.from_numpy(tree.visible())
        hidden_BTD: torch.Tensor = self.model.base_model(
            input_ids=ids_BT.to(self.device),
            position_ids=positions_BT.to(self.device),
            attention_mask=_additive(visible_BTT, self.model.dtype).to(self.device),
            use_cache=False,
        ).last_hidden_state
        return hidden_BTD.flatten(0, 1)

    def generate_until(self, requests: Sequence[Any], **options: Any) -> list[str]:
        """Greedy continuation of each context, to a stop or to `max_gen_toks`."""
        for context, settings in (request.args for request in requests):
            room = self.max_length - settings.get("max_gen_toks", self.max_gen_toks)
            self._cut += len(self.tok_encode(context)) > room
        return list(super().generate_until(requests, **options))

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any
    ) -> torch.Tensor:
        """Each row ends at its own stop; the harness's go on until all rows have the same one."""
        ended = _EachEnds(self.tokenizer, stop, context.shape[1], context.shape[0])
        written: torch.Tensor = self.model.generate(
            input_ids=context,
            attention_mask=settings["attention_mask"],
            max_length=max_length,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([ended]),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
        )
        return written


class _Head:
    """The projection to the vocabulary, into the same memory each time."""

    def __init__(self, head: torch.nn.Linear) -> None:
        self._head = head
        self.num_rows = max(1, LOGITS_AT_ONCE // head.out_features)
        self._logits_SV, self._log_SV = (
            torch.empty(self.num_rows, head.out_features, dtype=dtype, device=head.weight.device)
            for dtype in (head.weight.dtype, torch.float32)
        )

    def log_softmax(self, hidden_SD: torch.Tensor) -> torch.Tensor:
        """Log-probabilities, shape (S, vocabulary), of at most `num_rows` rows."""
        logits_SV, log_SV = (held[: len(hidden_SD)] for held in (self._logits_SV, self._log_SV))
        torch.mm(hidden_SD, self._head.weight.t(), out=logits_SV)
        if self._head.bias is not None:
            logits_SV += self._head.bias
        # The harness's own function: another one's rounding is 5e-6 nats a token away.
        return torch.log_softmax(logits_SV, dim=-1, dtype=torch.float32, out=log_SV)


class _EachEnds(StoppingCriteria):
    """Ends a row whose last tokens hold one of the stops."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], start: int, rows: int) -> None:
        self._tokenizer = tokenizer
        self._stops = [
            (stop, len(tokenizer.encode(stop, add_special_tokens=False)) + STOP_SLACK_TOKENS)
            for stop in stops
        ]
        self._start = start
        self._done = torch.zeros(rows, dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        del scores
        for row in torch.nonzero(~self._done).flatten().tolist():
            written = input_ids[row, self._start :]
            self._done[row] = any(
                stop in self._tokenizer.decode(written[-tokens:]) for stop, tokens in self._stops
            )
        return self._done.to(input_ids.device)


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask as it is added to the scores of attention, shape (B, 1, T, T)."""
    hidden = torch.zeros(visible.shape, dtype=dtype)
    return hidden.masked_fill_(~visible, torch.finfo(dtype).min).unsqueeze(1)


@functools.lru_cache(maxsize=2)
def open_engine(path: Path, fingerprint: str, adapter: str | None) -> Engine:
    """Load a verified folder once a process."""
    return Engine(load_model(path, fingerprint, adapter))
