"""Invented sentences as tokens with a mixture of two stages, as `encode` and `mix` make them."""

from __future__ import annotations

from pathlib import Path

from polylm_core.artifacts import Mixture, TokenSet
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.stage import mix
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from tests.shards import make_shards
from tests.support import make_run

CONTEXT = 16
STAGES = [
    {"name": "early", "share_of_tokens": 0.5, "non_english_share": 0.3, "bilingual_share": 0.2},
    {"name": "late", "share_of_tokens": 0.5, "non_english_share": 0.6, "bilingual_share": 0.1},
]
PRETRAIN = PretrainConfig.model_validate(
    {
        "revision": 1,
        "precision": "float32",
        "matmul_precision": "highest",
        "global_batch_tokens": 8 * CONTEXT,
        "validate_every_steps": 5,
        "validation_tokens_per_language": 16,
        "model": {
            "num_layers": 1,
            "hidden_size": 8,
            "num_heads": 2,
            "context_tokens": CONTEXT,
            "initializer_std": 0.02,
        },
        "optimizer": {"peak_learning_rate": 0.01, "warmup_tokens": 64},
    }
)


def make_encoded(folder: Path) -> tuple[TokenSet, Mixture]:
    """Tokens of three languages, of which two are trained on, as `data/` has them in `folder`."""
    shards = make_shards(folder)
    config = VocabConfig(vocab_size=420, character_coverage=0.999, sample_bytes=50_000)
    tokenizer = vocab(config, shards, make_run(folder, name="03_tokenizer"))
    run = make_run(folder, name="04_tokens", languages=("eng_Latn", "deu_Latn", "tha_Thai"))
    tokens = encode(EncodeConfig(max_tokens_per_document=None), shards, tokenizer, run)
    recipe = MixConfig.model_validate({"tokens": 12_000, "max_epochs": 9, "stages": STAGES})
    return tokens, mix(recipe, tokens, make_run(folder, name="05_mixture"))
