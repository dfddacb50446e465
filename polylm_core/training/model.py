"""The PolyLM decoder as a Hugging Face GPT-2, so that what is trained is what is exported.

PolyLM Table 3: pre-LayerNorm, GELU, learned absolute positions, feed-forward 4x, no dropout,
LayerNorm epsilon 1e-5; embeddings tied (counting them tied gives the published sizes).
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from polylm_core.training.job import ModelShape


def build_model(shape: ModelShape, *, seed: int) -> PreTrainedModel:
    """Return a freshly initialised decoder; equal seeds give equal weights."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.context_tokens,
        n_embd=shape.hidden_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        n_inner=4 * shape.hidden_size,
        activation_function="gelu_pytorch_tanh",  # GPT-2's GELU, in one operation
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        layer_norm_epsilon=1e-5,
        initializer_range=shape.initializer_std,
        bos_token_id=shape.bos_id,
        eos_token_id=shape.eos_id,
        pad_token_id=shape.pad_id,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return GPT2LMHeadModel(config)


def load_model(folder: Path) -> PreTrainedModel:
    """Load a Hugging Face folder in float32, from disk only."""
    model: PreTrainedModel = GPT2LMHeadModel.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    model.config.use_cache = False
    return model
