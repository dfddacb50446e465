"""Record loss and gradient norm of clean steps of small models, and of spoiled batches among them.

After the default recipe has run, an hour on one core:

    python -m tests.record_curves data tests/data/curves/curves.npz

Every run reads the recipe's encoded text in the order that pretraining has. At some steps a spoiled
batch comes first: its loss and gradient norm are written down and its gradient is dropped. The step
then goes on with its own batch, so that the curve is as if nothing had been planted.

Legend: B sequences, T tokens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from polylm_core.artifacts import Mixture, TokenSet
from polylm_core.token_files import TokenFile
from polylm_core.training.batches import BatchSizes
from polylm_core.training.curriculum import CurriculumOrder, StageDraw, windows_of_stage
from polylm_core.training.schedule import Schedule

Ids = NDArray[np.int32]
KINDS = (
    *("noise", "half noise", "one row of noise", "shuffled", "recoded", "repeated"),
    "flipped bit",
)
PLANTED_EVERY_STEPS = 75
MAX_GRADIENT_NORM = 1.0
ASIAN = ("zho_Hans", "jpn_Jpan", "kor_Hang", "tha_Thai", "heb_Hebr", "arb_Arab")


@dataclass(frozen=True)
class Run:
    """One small training run."""

    name: str
    steps: int
    stages: tuple[str, ...] = ("base", "multilingual")
    """Of the recipe's mixture, or `english`, or `asian`; of equal length."""
    family: Literal["gpt2", "llama"] = "gpt2"
    hidden: int = 128
    layers: int = 2
    context: int = 64
    windows: int = 8
    peak: float = 3e-3
    warmup: int = 30
    beta2: float = 0.99
    bfloat16: bool = False
    seed: int = 1
    distinct_batches: int | None = None
    """So many batches over and over, until they are known by heart."""
    after: str | None = None
    """The run whose weights this one starts from."""


RUNS = (
    Run("recipe, narrower", 2400),
    Run("narrow and fast", 3000, ("english", "multilingual"), hidden=64, peak=6e-3),
    Run("llama, large batch", 800, family="llama", hidden=64, windows=32, peak=2e-3),
    Run("llama, four windows", 3000, family="llama", hidden=96, layers=3, windows=4, seed=2),
    Run("bfloat16", 1500, layers=3, bfloat16=True, seed=3),
    Run("hot", 2500, hidden=64, layers=4, windows=4, peak=1e-2, beta2=0.95, seed=4),
    Run("continued in other scripts", 1500, ("asian",), peak=1e-3, after="recipe, narrower"),
    Run("three stages", 1800, ("english", "base", "multilingual"), hidden=64, windows=16, seed=5),
    Run("no warm-up", 2500, ("multilingual",), hidden=64, warmup=0, seed=6),
    Run("by heart", 1800, ("multilingual",), distinct_batches=40, seed=7),
)


def spoiled(kind: str, tokens: Ids, vocab: int, random: np.random.Generator) -> Ids:
    """Return a batch [B, T + 1] to which something happened."""
    noise = random.integers(0, vocab, tokens.shape, dtype=np.int32)
    rows = np.arange(len(tokens))[:, None]
    match kind:
        case "noise":  # bytes of another file read as ids
            return noise
        case "half noise":
            return np.where(rows % 2 == 0, noise, tokens)
        case "one row of noise":
            return np.where(rows == 0, noise, tokens)
        case "shuffled":  # the tokens of a row in any order
            return random.permuted(tokens, axis=1)
        case "recoded":  # encoded with another tokenizer
            return random.permutation(vocab).astype(np.int32)[tokens]
        case "repeated":  # one token a row
            return np.broadcast_to(noise[:, :1], tokens.shape)
        case "flipped bit":
            return tokens
    raise ValueError(kind)


def build(run: Run, vocab: int) -> PreTrainedModel:
    torch.manual_seed(run.seed)
    if run.family == "gpt2":
        shape = GPT2Config(
            vocab_size=vocab,
            n_positions=run.context,
            n_embd=run.hidden,
            n_layer=run.layers,
            n_head=run.hidden // 32,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=0.06,
            bos_token_id=None,
            eos_token_id=None,
            use_cache=False,
        )
        return GPT2LMHeadModel(shape)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab,
            max_position_embeddings=run.context,
            hidden_size=run.hidden,
            intermediate_size=3 * run.hidden,
            num_hidden_layers=run.layers,
            num_attention_heads=run.hidden // 32,
            initializer_range=0.06,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
            use_cache=False,
        )
    )


def order_of(run: Run, tokens: TokenSet, mixture: Mixture) -> CurriculumOrder:
    solved = json.loads((mixture.path / "mixture.json").read_text(encoding="utf-8"))
    weights: dict[str, dict[str, int]] = {
        stage["name"]: {name: draw["tokens"] for name, draw in stage["streams"].items()}
        for stage in solved["stages"]
    }
    weights["english"] = {"eng_Latn": 1}
    weights["asian"] = dict.fromkeys(ASIAN, 1)
    size = run.steps // len(run.stages) * run.windows * run.context
    draws = []
    for name in run.stages:
        total = sum(weights[name].values())
        share = {stream: round(size * part / total) for stream, part in weights[name].items()}
        share[next(iter(share))] += size - sum(share.values())
        windows = windows_of_stage(
            share, context_tokens=run.context, global_batch_windows=run.windows
        )
        draws.append(StageDraw(name, windows))
    names = {name for draw in draws for name in draw.windows}
    return CurriculumOrder(
        {name: TokenFile.open(tokens.path / "train" / name, verified=True) for name in names},
        draws,
        fingerprint=tokens.fingerprint,
        seed=run.seed,
        context_tokens=run.context,
        batches=BatchSizes(run.windows),
        attend_across_documents=True,
    )


def backward(run: Run, model: PreTrainedModel, tokens: Ids) -> tuple[float, float]:
    """Set the clipped gradient of a batch; return its loss in nats a token and its whole norm."""
    model.zero_grad(set_to_none=True)
    ids_BT = torch.from_numpy(tokens[:, :-1].astype(np.int64))
    targets_BT = torch.from_numpy(tokens[:, 1:].astype(np.int64))
    with torch.autocast("cpu", torch.bfloat16, enabled=run.bfloat16):
        logits = model(ids_BT).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets_BT.flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    return loss.item(), norm.item()


@contextmanager
def flipped(model: PreTrainedModel, random: np.random.Generator) -> Iterator[None]:
    """Flip the highest bit of the exponent of one weight, as a fault of the memory does."""
    matrices = [value.data for value in model.parameters() if value.ndim == 2]
    bits = matrices[random.integers(len(matrices))].view(torch.int32).view(-1)
    place = int(random.integers(len(bits)))
    bits[place] ^= 1 << 30
    yield
    bits[place] ^= 1 << 30


def record(
    run: Run, model: PreTrainedModel, order: CurriculumOrder, vocab: int
) -> dict[str, NDArray[Any]]:
    """Train, and return the run's curve, its borders and what was planted, steps from 1."""
    steps = order.num_steps
    schedule = Schedule(
        num_steps=steps, warmup_steps=run.warmup, start=1e-7, peak=run.peak, final=run.peak / 10
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, run.beta2), weight_decay=0.1, fused=True
    )
    random = np.random.default_rng(run.seed)
    curve, planted = [], []
    for step in range(steps):
        batch = order.batch(step % (run.distinct_batches or steps))
        tokens = np.concatenate([batch.ids_BT, batch.targets_BT[:, -1:]], axis=1)
        if step % PLANTED_EVERY_STEPS == PLANTED_EVERY_STEPS - 1:
            for number, kind in enumerate(KINDS):
                bad = spoiled(kind, tokens, vocab, random)
                fault = flipped(model, random) if kind == "flipped bit" else nullcontext()
                with fault:
                    seen = backward(run, model, bad)
                planted.append((step + 1, number, *seen))
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        curve.append(backward(run, model, tokens))
        optimizer.step()
    return {
        "curve": np.asarray(curve, dtype=np.float32),
        "borders": np.cumsum(order.stage_steps)[:-1] + 1,
        "planted": np.asarray(planted, dtype=np.float32),
    }


def recorded(model: Path) -> dict[str, NDArray[Any]]:
    """Return the curve of a stage of the recipe, trained by the project's own loop."""
    rows = pq.read_table(model / "curves.parquet").to_pylist()
    by_metric: Mapping[str, list[float]] = {
        metric: [row["value"] for row in rows if row["metric"] == metric]
        for metric in ("loss", "gradient_norm")
    }
    counts = json.loads((model / "manifest.json").read_text(encoding="utf-8"))["counts"]
    return {
        "curve": np.asarray(list(zip(*by_metric.values(), strict=True)), dtype=np.float32),
        "borders": np.cumsum(counts.get("steps_by_stage", []), dtype=np.int64)[:-1] + 1,
        "planted": np.zeros((0, 4), dtype=np.float32),
    }


def main() -> None:
    data, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("medium")
    tokens, mixture = TokenSet.open(data / "04_tokens"), Mixture.load(data / "05_mixture")
    vocab = json.loads((data / "06_base" / "config.json").read_text())["vocab_size"]
    found = {
        "pretrain stage": recorded(data / "06_base"),
        "finetune stage": recorded(data / "08_chat"),
    }
    weights: dict[str, Mapping[str, torch.Tensor]] = {}
    for run in RUNS:
        model = build(run, vocab)
        if run.after is not None:
            model.load_state_dict(weights[run.after])
        found[run.name] = record(run, model, order_of(run, tokens, mixture), vocab)
        weights[run.name] = model.state_dict()
        print(run.name, *found[run.name]["curve"][-1], flush=True)
    flat = {
        f"{run}/{name}": array for run, arrays in found.items() for name, array in arrays.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, kinds=np.asarray(KINDS), allow_pickle=False, **flat)


if __name__ == "__main__":
    main()
