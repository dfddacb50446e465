"""The parameters of a decoder by name and shape, by arithmetic: nothing is built, torch not loaded.

A test holds them against the models that `model.py` builds, and the operations of a token against
`flops.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from polylm_core.errors import TrainingError
from polylm_core.training.job import LoraShape, ModelShape

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model."""

    outside_blocks: Mapping[str, int]
    """Elements of each parameter that no decoder layer has."""
    block: int
    """Elements of one decoder layer."""
    num_blocks: int
    shapes: Mapping[str, tuple[int, ...]]
    flops_per_token: int
    """Of training, in a full row."""
    frozen: frozenset[str] = frozenset()
    """Names of the parameters that are not trained."""

    @property
    def parameters(self) -> int:
        """Elements in all; tied matrices count once."""
        return sum(map(prod, self.shapes.values()))

    @property
    def trained_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the parameters with a gradient and moments."""
        return {name: shape for name, shape in self.shapes.items() if name not in self.frozen}

    @property
    def trained(self) -> int:
        """Elements that are trained."""
        return sum(map(prod, self.trained_shapes.values()))

    @property
    def largest_module(self) -> int:
        """Elements of the largest module that owns parameters itself: a matrix and its bias."""
        modules: dict[str, int] = {}
        for name, shape in self.shapes.items():
            owner = name.rpartition(".")[0]
            modules[owner] = modules.get(owner, 0) + prod(shape)
        return max(modules.values())


@functools.cache
def sizes_of(
    shape: ModelShape, *, lora: LoraShape | None = None, row_tokens: int | None = None
) -> Sizes:
    """Return the sizes of a model of this shape, with adapters if it has any.

    Rows of training are as long as the context, or of `row_tokens`. Raises TrainingError for a
    target of the adapters that is no matrix of the blocks.
    """
    is_llama = shape.architecture == "llama"
    before, after = _around_llama(shape) if is_llama else _around_gpt2(shape)
    block = _llama_block(shape) if is_llama else _gpt2_block(shape)
    frozen: set[str] = set()
    if lora is not None:
        before, after = _frozen(before, frozen), _frozen(after, frozen)
    prefix = "model.layers" if is_llama else "transformer.h"
    inside: Shapes = {}
    for number in range(shape.num_layers):
        whole = {f"{prefix}.{number}.{name}": value for name, value in block.items()}
        inside |= whole if lora is None else _adapted(whole, lora, shape, frozen)
    shapes = {**before, **inside, **after}
    return Sizes(
        outside_blocks={name: prod(value) for name, value in (before | after).items()},
        block=sum(map(prod, inside.values())) // shape.num_layers,
        num_blocks=shape.num_layers,
        shapes=shapes,
        flops_per_token=_flops(shape, inside, frozen, row_tokens or shape.context_tokens),
        frozen=frozenset(frozen),
    )


def _around_gpt2(shape: ModelShape) -> tuple[Shapes, Shapes]:
    width = shape.hidden_size
    before: Shapes = {
        "transformer.wte.weight": (shape.vocab_size, width),
        "transformer.wpe.weight": (shape.context_tokens, width),
    }
    after: Shapes = {"transformer.ln_f.weight": (width,), "transformer.ln_f.bias": (width,)}
    return before, after | _head(shape)


def _gpt2_block(shape: ModelShape) -> Shapes:
    width = shape.hidden_size
    inner = shape.intermediate_size or 4 * width
    found: Shapes = {"ln_1.weight": (width,), "ln_1.bias": (width,)}
    matrices = (("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width))
    for name, inputs, outputs in matrices:
        found |= {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}
    found |= {"ln_2.weight": (width,), "ln_2.bias": (width,)}
    for name, inputs, outputs in (("mlp.c_fc", width, inner), ("mlp.c_proj", inner, width)):
        found |= {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}
    return found


def _around_llama(shape: ModelShape) -> tuple[Shapes, Shapes]:
    before: Shapes = {"model.embed_tokens.weight": (shape.vocab_size, shape.hidden_size)}
    return before, {"model.norm.weight": (shape.hidden_size,)} | _head(shape)


def _llama_block(shape: ModelShape) -> Shapes:
    width = shape.hidden_size
    inner = shape.intermediate_size or 4 * width
    shared = (shape.num_kv_heads or shape.num_heads) * (width // shape.num_heads)
    return {
        "self_attn.q_proj.weight": (width, width),
        "self_attn.k_proj.weight": (shared, width),
        "self_attn.v_proj.weight": (shared, width),
        "self_attn.o_proj.weight": (width, width),
        "mlp.gate_proj.weight": (inner, width),
        "mlp.up_proj.weight": (inner, width),
        "mlp.down_proj.weight": (width, inner),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }


def _head(shape: ModelShape) -> Shapes:
    return (
        {} if shape.tied_embeddings else {"lm_head.weight": (shape.vocab_size, shape.hidden_size)}
    )


def _frozen(shapes: Shapes, frozen: set[str]) -> Shapes:
    frozen.update(shapes)
    return shapes


def _adapted(whole: Shapes, lora: LoraShape, shape: ModelShape, frozen: set[str]) -> Shapes:
    """A block with peft's names: what was there under `base_layer`, the factors beside it."""
    owners = {name.rpartition(".")[0]: value for name, value in whole.items() if len(value) == 2}
    known = {owner.rpartition(".")[2] for owner in owners}
    unknown = sorted(set(lora.target_modules) - known)
    if unknown:
        raise TrainingError(
            f"{', '.join(unknown)}: no matrix of a {shape.architecture}'s blocks has this name; "
            f"target_modules may be {', '.join(sorted(known))}"
        )
    found: Shapes = {}
    for name, value in whole.items():
        owner, _, kind = name.rpartition(".")
        if owner.rpartition(".")[2] not in lora.target_modules:
            found |= _frozen({name: value}, frozen)
            continue
        found |= _frozen({f"{owner}.base_layer.{kind}": value}, frozen)
        if kind == "weight":
            # GPT-2 has its matrices the other way round (transformers' Conv1D).
            inputs, outputs = value if shape.architecture == "gpt2" else value[::-1]
            found[f"{owner}.lora_A.default.weight"] = (lora.rank, inputs)
            found[f"{owner}.lora_B.default.weight"] = (outputs, lora.rank)
    return found


def _flops(shape: ModelShape, inside: Shapes, frozen: set[str], row_tokens: int) -> int:
    """Operations a token, as `flops.flops_per_token` counts them."""
    head = 4 if frozen else 6
    matrices = _operations(inside, frozen) + head * shape.vocab_size * shape.hidden_size
    return matrices + 6 * shape.num_layers * shape.hidden_size * row_tokens


def _operations(shapes: Shapes, frozen: set[str]) -> int:
    def each() -> Iterator[int]:
        for name, value in shapes.items():
            if len(value) == 2:
                yield (4 if name in frozen else 6) * prod(value)

    return sum(each())
