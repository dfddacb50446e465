"""Translation models of random weights with real tokenizers, trained on a little text.

Random weights find no end, so the folders say that each further token makes `</s>` likelier. They
also write it at the length limit, as those of MarianMT do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polylm_core.teachers.in_process import folder_fingerprint
from polylm_core.translators.config import Seq2SeqTranslator

TEXT = [
    "The house and the garden can be seen from here.",
    "Desde aquí se ven la casa y el jardín.",
    "Von hier aus sieht man das Haus und den Garten.",
    "从这里可以看到房子和花园。",
] * 20
LIKELIER_END = (2, 2.0)
"""From so many tokens on, the score of `</s>` rises by a multiple that doubles with each."""
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def make_m2m(folder: Path, *, ends: bool = True) -> Seq2SeqTranslator:
    """M2M-100: SentencePiece, and a token such as `__en__` for each of 100 languages."""
    from transformers import M2M100Tokenizer

    pieces = _train_pieces(folder / "sentencepiece")
    vocab = folder / "vocab.json"
    vocab.write_text(json.dumps({piece: place for place, piece in enumerate(pieces)}))
    tokenizer = M2M100Tokenizer(str(vocab), str(folder / "sentencepiece.model"))
    tokenizer.save_pretrained(folder)
    size = len(pieces) + len(tokenizer.lang_code_to_token) + tokenizer.num_madeup_words
    return _finish(folder, size, ends=ends)


def make_nllb(folder: Path) -> Seq2SeqTranslator:
    """NLLB-200: byte pairs, and a token such as `eng_Latn` for each language."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import NllbTokenizer

    folder.mkdir(parents=True)
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL))
    made = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in made["merges"]]
    tokenizer = NllbTokenizer(vocab=made["vocab"], merges=merges)
    tokenizer.save_pretrained(folder)
    return _finish(folder, len(tokenizer))


def make_marian(folder: Path) -> Seq2SeqTranslator:
    """MarianMT: one pair, each side with pieces of its own and one vocabulary."""
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    pieces = _train_pieces(folder / "source")
    (folder / "source.model").rename(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    order = ["</s>", "<unk>", *pieces[4:], "<pad>"]
    vocab = folder / "vocab.json"
    vocab.write_text(json.dumps({piece: place for place, piece in enumerate(order)}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(vocab),
        source_lang="en",
        target_lang="es",
    )
    tokenizer.save_pretrained(folder)
    pad = len(order) - 1
    config = MarianConfig(
        vocab_size=len(order),
        pad_token_id=pad,
        eos_token_id=0,
        bos_token_id=None,
        decoder_start_token_id=pad,
        max_position_embeddings=64,
        **_sizes(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = MarianMTModel(config)
    return _save(model, folder, end_id=0)


def declared(folder: Path, **changes: Any) -> Seq2SeqTranslator:
    """The folder as a recipe declares it."""
    content = {
        "kind": "seq2seq",
        "source": "tiny",
        "fingerprint": folder_fingerprint(folder),
        "num_beams": 2,
        "max_new_tokens": 12,
        "lines_per_batch": 2,
        "license": "CC0-1.0",
    }
    return Seq2SeqTranslator.model_validate(content | changes)


def _train_pieces(prefix: Path) -> list[str]:
    import sentencepiece

    prefix.parent.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_prefix=str(prefix),
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    rows = (prefix.parent / f"{prefix.name}.vocab").read_text(encoding="utf-8").splitlines()
    own = [row.split("\t")[0] for row in rows]
    return SPECIAL + [piece for piece in own if piece not in SPECIAL]


def _finish(folder: Path, vocab_size: int, *, ends: bool = True) -> Seq2SeqTranslator:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    config = M2M100Config(
        vocab_size=vocab_size,
        decoder_start_token_id=2,
        max_position_embeddings=64,
        **_sizes(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = M2M100ForConditionalGeneration(config)
    return _save(model, folder, end_id=2, ends=ends)


def _save(model: Any, folder: Path, *, end_id: int, ends: bool = True) -> Seq2SeqTranslator:
    model.generation_config.forced_eos_token_id = end_id
    if ends:
        model.generation_config.exponential_decay_length_penalty = LIKELIER_END
    model.save_pretrained(folder)
    return declared(folder)


def _sizes() -> dict[str, Any]:
    layers = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    feed_forward = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    return {**layers, **heads, **feed_forward, "init_std": 1.0}  # large: what is read decides
