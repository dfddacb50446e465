"""What `pretrain` publishes: a folder that users open, with its certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core import tokenizer as tokenizers
from polylm_core.errors import StageError
from polylm_core.progress import NullProgress
from polylm_core.stages.pretrain.sample import write_text_sample
from polylm_core.stages.pretrain.stage import pretrain
from polylm_core.token_files import TokenFileWriter
from polylm_core.training.certificate import read_sample
from tests.encoded import PRETRAIN
from tests.one_rank import OneRankBackend, Pretrained, make_training_run

LANGUAGES = ("eng_Latn", "deu_Latn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def pieces(made: Pretrained) -> tokenizers.SentencePieceTokenizer:
    return tokenizers.load(made.tokenizer.path / tokenizers.MODEL_FILE)


def with_wrong_end(folder: Path) -> None:
    file = folder / "generation_config.json"
    file.write_text(file.read_text().replace('"eos_token_id": 2', '"eos_token_id": 5'))


def without_certificate(folder: Path) -> None:
    (folder / "parity.json").unlink()


def test_a_base_model_has_its_tokenizer_and_its_certificate(made: Pretrained) -> None:
    files = made.base.manifest.files
    certified = {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert files.keys() >= certified | {"parity.json", "drawn_unigrams.parquet"}
    parity = json.loads((made.base.path / "parity.json").read_text(encoding="utf-8"))
    assert parity["sha256"] == {name: files[name].sha256 for name in certified}
    assert [row["language"] for row in parity["languages"]] == list(LANGUAGES)


def test_training_again_gives_the_same_certificate_and_shows_its_languages(
    made: Pretrained,
) -> None:
    shown: dict[str, list[object]] = {}

    class Noting(NullProgress):
        def table(self, key: str, rows: object, description: str) -> None:
            assert isinstance(rows, list)
            shown[key] = [row["language"] for row in rows]

    run = make_training_run(made.folder, OneRankBackend(), name="again")
    again = pretrain(PRETRAIN, *made.inputs, replace(run, progress=Noting()))
    assert again.manifest.files["parity.json"] == made.base.manifest.files["parity.json"]
    assert shown["parity"] == list(LANGUAGES)


@pytest.mark.parametrize("harm", [with_wrong_end, without_certificate])
def test_an_export_changed_after_it_was_compared_is_not_published(
    made: Pretrained, harm: Callable[[Path], None]
) -> None:
    with pytest.raises(StageError, match=r"published; run again"):
        made.again(OneRankBackend(afterwards=harm), name="harmed")
    assert not (made.folder / "harmed").exists()


def test_the_sample_is_held_out_text_with_its_ids(
    made: Pretrained, pieces: tokenizers.SentencePieceTokenizer, tmp_path: Path
) -> None:
    write_text_sample(tmp_path / "sample.json", made.tokens, pieces, LANGUAGES)
    texts = read_sample(tmp_path / "sample.json").texts
    assert [text.language for text in texts] == ["eng_Latn"] * 2 + ["deu_Latn"] * 2
    assert all(list(text.ids) == pieces.encode(text.text) for text in texts)
    assert len({text.text for text in texts}) == 4


def test_control_pieces_that_a_document_spells_out_are_left_out_of_the_sample(
    made: Pretrained, pieces: tokenizers.SentencePieceTokenizer, tmp_path: Path
) -> None:
    with TokenFileWriter(tmp_path / "held_out/eng_Latn", vocab_size=420) as writer:
        for text in ("</s> first", "open <s>struck</s> file", "menu"):
            writer.add([*pieces.encode(text), pieces.eos_id])
    tokens = replace(made.tokens, path=tmp_path)
    write_text_sample(tmp_path / "sample.json", tokens, pieces, ["eng_Latn"])
    texts = read_sample(tmp_path / "sample.json").texts
    assert [text.text for text in texts] == ["open ", "menu"]


def test_a_character_cut_in_two_is_left_out_of_the_sample(
    made: Pretrained, pieces: tokenizers.SentencePieceTokenizer, tmp_path: Path
) -> None:
    ids = pieces.encode("menu 龍")
    assert pieces.byte_ids.issuperset(ids[-3:])
    with TokenFileWriter(tmp_path / "held_out/eng_Latn", vocab_size=420) as writer:
        writer.add(ids[:-1])
    tokens = replace(made.tokens, path=tmp_path)
    write_text_sample(tmp_path / "sample.json", tokens, pieces, ["eng_Latn"])
    (text,) = read_sample(tmp_path / "sample.json").texts
    assert text.text == "menu "


def test_a_language_without_held_out_text_is_named(
    made: Pretrained, pieces: tokenizers.SentencePieceTokenizer, tmp_path: Path
) -> None:
    with TokenFileWriter(tmp_path / "held_out/eng_Latn", vocab_size=420) as writer:
        writer.add([pieces.eos_id])
    tokens = replace(made.tokens, path=tmp_path)
    with pytest.raises(StageError, match=r"eng_Latn has no held-out text.*held_out\.share"):
        write_text_sample(tmp_path / "sample.json", tokens, pieces, ["eng_Latn"])
