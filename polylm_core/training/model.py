"""The decoder as a Hugging Face model, so that what is trained is what is exported.

`gpt2` is PolyLM's (Table 3): pre-LayerNorm, GELU, learned absolute positions, LayerNorm epsilon
1e-5, no dropout. `llama` has RMSNorm, SwiGLU, rotary positions and grouped keys and values (Touvron
et al. 2023, Ainslie et al. 2023). Both have their weights from `initialise.py`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from polylm_core.errors import TrainingError
from polylm_core.training.adapter import adapter_values, inject
from polylm_core.training.engine import Part
from polylm_core.training.initialise import FolderValues, Values, random_values
from polylm_core.training.job import ModelShape, TrainJob

NO_DROPOUT = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"), 0.0)
"""PolyLM has none; a resumed run could not repeat it."""


def build_model(shape: ModelShape, *, seed: int) -> PreTrainedModel:
    """Return a whole, freshly initialised decoder; equal seeds give equal weights."""
    config = configuration_of(shape)
    model = empty_model(config)
    _fill(model, _drawn(config, seed))
    return model


def build(job: TrainJob) -> PreTrainedModel:
    """Return a job's model, whole on this rank, with the weights it starts with."""
    model = empty_for(job)
    _fill(model, initial_values(job, model))
    return model


def empty_for(job: TrainJob, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return a job's model, with its adapters if it has any, before anybody has written to it."""
    model = empty_model(configuration(job), dtype)
    if job.lora is not None:
        inject(model, job.lora, job.seed)
    return model


def empty_model(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return a model whose weights are memory that nobody has written to yet."""
    with no_init_weights():
        build: Any = AutoModelForCausalLM.from_config  # transformers leaves it untyped
        model: PreTrainedModel = build(config, dtype=dtype)
    model.tie_weights()
    return model


def initial_values(job: TrainJob, model: PreTrainedModel) -> Values:
    """Return the weights a job starts with, by parts of the parameters of its model."""
    if job.init_from is None:
        return _drawn(model.config, job.seed)
    untyped: Any = model
    embeddings = (untyped.get_input_embeddings(), untyped.get_output_embeddings())
    stored = FolderValues(
        job.init_from,
        vocabulary={
            name
            for name, parameter in model.named_parameters()
            if any(parameter is module.weight for module in embeddings)
        },
        prefix=f"{model.base_model_prefix}.",
    )
    return stored if job.lora is None else adapter_values(stored, job.seed)


def _drawn(config: PreTrainedConfig, seed: int) -> Values:
    return random_values(
        seed=seed, std=config.initializer_range, num_layers=config.num_hidden_layers
    )


def _fill(model: PreTrainedModel, values: Values) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            whole = Part(name, tuple(parameter.shape), 0, parameter.numel())
            parameter.copy_(values(whole).view(parameter.shape))


def blocks(model: PreTrainedModel) -> list[nn.Module]:
    """Return the decoder layers, in order."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def configuration(job: TrainJob) -> PreTrainedConfig:
    """Return the Hugging Face configuration of a job's model.

    Raises TrainingError when the model that the params describe is not that of `init_from`.
    """
    stated = None if job.new_model is None else configuration_of(job.new_model)
    if job.init_from is None:
        assert stated is not None
        return stated
    try:
        found: PreTrainedConfig = AutoConfig.from_pretrained(job.init_from, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{job.init_from} has no readable config.json ({error}); "
            "start from a Hugging Face folder"
        ) from error
    if stated is not None:
        require_same(stated, found, job.init_from)
        for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(found, name, getattr(stated, name))
    for name, value in {**NO_DROPOUT, "use_cache": False}.items():
        if hasattr(found, name):
            setattr(found, name, value)
    return found


def require_same(
    stated: PreTrainedConfig,
    found: PreTrainedConfig,
    folder: Path,
    *,
    field: str = "pretrain.model",
) -> None:
    """Raise TrainingError with every difference between the params and a folder's model."""
    there, here = _described(found), _described(stated)
    if there["architecture"] != here["architecture"]:
        here = {"architecture": here["architecture"]}  # the others have no counterpart
    problems = [
        f"{name} is {there[name]} there and {value} in the params"
        for name, value in here.items()
        if there[name] != value and not _is_near(there[name], value)
    ]
    if stated.max_position_embeddings > found.max_position_embeddings:
        problems.append(
            f"its context is {found.max_position_embeddings}, below the params' "
            f"{stated.max_position_embeddings}"
        )
    if problems:
        raise TrainingError(f"{folder}: {'; '.join(problems)}; correct {field}")


def _is_near(one: Any, other: Any) -> bool:
    """Whether two figures differ by rounding to float32, as some formats do."""
    both = isinstance(one, float) and isinstance(other, float)
    return both and math.isclose(one, other, rel_tol=1e-6)


def _described(config: PreTrainedConfig) -> dict[str, Any]:
    """What the params say of a model, by their names, of which a folder may differ."""
    described = {
        "architecture": config.model_type,
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "num_heads": config.num_attention_heads,
        "tied_embeddings": config.tie_word_embeddings,
    }
    if config.model_type == "llama":
        described |= {
            "intermediate_size": config.intermediate_size,
            "num_kv_heads": config.num_key_value_heads,
            "rope_theta": float(config.rope_parameters["rope_theta"]),
            "rms_norm_epsilon": config.rms_norm_eps,
        }
    if config.model_type == "gpt2":
        described["intermediate_size"] = config.n_inner or 4 * config.hidden_size
    return described


def configuration_of(shape: ModelShape) -> PreTrainedConfig:
    """Return the Hugging Face configuration of a shape."""
    common: dict[str, Any] = {
        "vocab_size": shape.vocab_size,
        "initializer_range": shape.initializer_std,
        "bos_token_id": shape.bos_id,
        "eos_token_id": shape.eos_id,
        "pad_token_id": shape.pad_id,
        "tie_word_embeddings": shape.tied_embeddings,
        "use_cache": False,
    }
    if shape.architecture == "llama":
        return LlamaConfig(
            hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size or 4 * shape.hidden_size,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_kv_heads,
            max_position_embeddings=shape.context_tokens,
            rms_norm_eps=shape.rms_norm_epsilon or 1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta or 10_000.0},
            **common,
        )
    return GPT2Config(
        n_positions=shape.context_tokens,
        n_embd=shape.hidden_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        n_inner=shape.intermediate_size or 4 * shape.hidden_size,
        activation_function="gelu_pytorch_tanh",  # GPT-2's GELU, in one operation
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        layer_norm_epsilon=1e-5,
        **common,
    )
