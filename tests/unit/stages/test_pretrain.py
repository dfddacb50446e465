"""What `pretrain` does before and after the ranks: refusals, validation rows, the drawn tokens.

The training itself is in tests/integration/test_training.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from polylm_core import tokenizer as tokenizers
from polylm_core.artifacts import Mixture, ShardSet, Tokenizer, TokenSet
from polylm_core.errors import MismatchedArtifactError, StageError
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.mix.config import MixConfig
from polylm_core.stages.mix.stage import mix
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.drawn import write_drawn
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.stages.pretrain.validation import write_validation
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from polylm_core.token_files import TokenFile
from polylm_core.training.batches import BatchSizes
from polylm_core.training.curriculum import CurriculumOrder, StageDraw
from tests.shards import make_shards
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn")


def make_tokenizer(folder: Path, shards: ShardSet, vocab_size: int) -> Tokenizer:
    config = VocabConfig(vocab_size=vocab_size, character_coverage=0.999, sample_bytes=50_000)
    return vocab(config, shards, make_run(folder, name=f"tokenizer-{vocab_size}"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tokenizer, TokenSet, Mixture]:
    """A tokenizer, its tokens and their mixture."""
    folder = tmp_path_factory.mktemp("made")
    shards = make_shards(folder, languages=LANGUAGES)
    tokenizer = make_tokenizer(folder, shards, 400)
    config = EncodeConfig(max_tokens_per_document=None)
    tokens = encode(config, shards, tokenizer, make_run(folder, name="tokens"))
    stage = {"name": "a", "share_of_tokens": 1, "non_english_share": 0.5, "bilingual_share": 0}
    recipe = {"tokens": 500, "sampling_exponent": 0.3, "max_epochs": 9, "stages": [stage]}
    mixture = mix(MixConfig.model_validate(recipe), tokens, make_run(folder, name="mixture"))
    return folder, tokenizer, tokens, mixture


def make_config(**changes: object) -> PretrainConfig:
    values: dict[str, object] = {
        "revision": 1,
        "precision": "float32",
        "matmul_precision": "highest",
        "global_batch_tokens": 32,
        "validate_every_steps": 5,
        "validation_tokens_per_language": 16,
        "model": {
            "num_layers": 1,
            "hidden_size": 8,
            "num_heads": 2,
            "context_tokens": 16,
            "initializer_std": 0.02,
        },
        "optimizer": {"peak_learning_rate": 0.01, "warmup_tokens": 64},
    }
    return PretrainConfig.model_validate(values | changes)


def test_a_tokenizer_that_does_not_fit_the_tokens_is_refused(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, _, tokens, mixture = made
    other = make_tokenizer(tmp_path, make_shards(tmp_path, languages=LANGUAGES), 420)
    with pytest.raises(MismatchedArtifactError, match=r"was made from vocab .*dvc repro encode"):
        pretrain(make_config(), other, tokens, mixture, make_run(tmp_path))
    assert not (tmp_path / "artifact").exists()


def test_a_batch_that_is_no_multiple_of_the_context_is_refused_with_both_numbers(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, tokenizer, tokens, mixture = made
    config = make_config(global_batch_tokens=40)
    with pytest.raises(StageError, match=r"global_batch_tokens \(40\).*\(16\)"):
        pretrain(config, tokenizer, tokens, mixture, make_run(tmp_path))


def test_validation_counts_the_bytes_of_exactly_the_tokens_it_predicts(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, tokenizer, tokens, _ = made
    pieces = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE)
    file = tmp_path / "validation.npz"
    write_validation(
        file,
        tokens,
        pieces,
        languages=LANGUAGES,
        context_tokens=8,
        tokens_per_language=24,
        attend_across_documents=True,
    )
    rows = np.load(file)
    german = rows["ids"][rows["language"] == 1]
    assert german.shape == (3, 9)
    predicted = [*german[0, 1:], *german[1, 1:], *german[2, 1:]]
    assert rows["bytes"][1] == len(pieces.decode(predicted).encode())
    assert "segments" not in rows


def test_validation_rows_keep_documents_apart_as_training_rows_do(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, tokenizer, tokens, _ = made
    pieces = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE)
    write_validation(
        tmp_path / "validation.npz",
        tokens,
        pieces,
        languages=LANGUAGES,
        context_tokens=64,
        tokens_per_language=128,
        attend_across_documents=False,
    )
    rows = np.load(tmp_path / "validation.npz")
    ids, segments = rows["ids"], rows["segments"]
    assert segments.shape == (len(ids), 64)
    # A document begins with the end token of the one before it.
    assert np.array_equal(np.diff(segments) == 1, ids[:, 1:-1] == pieces.eos_id)
    assert segments.max() > 0


def test_too_little_held_out_text_for_a_row_is_told(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, tokenizer, tokens, _ = made
    pieces = tokenizers.load(tokenizer.path / tokenizers.MODEL_FILE)
    with pytest.raises(StageError, match=r"eng_Latn has .*held_out"):
        write_validation(
            tmp_path / "validation.npz",
            tokens,
            pieces,
            languages=LANGUAGES,
            context_tokens=100_000,
            tokens_per_language=24,
            attend_across_documents=True,
        )


def test_drawn_tokens_are_counted_as_the_steps_predict_them(
    made: tuple[Path, Tokenizer, TokenSet, Mixture], tmp_path: Path
) -> None:
    _, _, tokens, _ = made
    stream = TokenFile.open(tokens.path / "train" / "deu_Latn")
    order = CurriculumOrder(
        {"deu_Latn": stream},
        [StageDraw("a", {"deu_Latn": 3})],
        fingerprint=tokens.fingerprint,
        seed=1,
        context_tokens=8,
        batches=BatchSizes(1),
        attend_across_documents=True,
    )
    write_drawn(tmp_path / "drawn.parquet", order, LANGUAGES, 400)
    table = pq.read_table(tmp_path / "drawn.parquet").to_pylist()
    expected = Counter(
        int(token) for step in range(3) for token in order.batch(step).targets_BT.flatten()
    )
    assert {row["id"]: row["count"] for row in table} == expected
    assert {row["language"] for row in table} == {"deu_Latn"}
