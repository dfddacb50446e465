"""The whole `evaluate` stage on a tiny random model and a few real sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from polylm_core.artifacts import (
    A,
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    Scores,
    ShardSet,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.errors import CorruptArtifactError, MismatchedArtifactError, StageError
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    INSTRUCTION_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Instruction,
    Message,
    Pair,
    write_table,
)
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.stage import evaluate
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "zho_Hans")
SENTENCES = {
    "eng_Latn": [
        "Click the button to open the dialog.",
        "Choose a folder in which to save the file.",
        "The page cannot be shown without a connection.",
        "Select all cells that hold a formula.",
        "Your password must have eight characters.",
        "Press the key again to close the menu.",
    ],
    "deu_Latn": [
        "Klicken Sie auf die Schaltfläche, um den Dialog zu öffnen.",
        "Wählen Sie einen Ordner, in dem die Datei gespeichert wird.",
        "Die Seite kann ohne Verbindung nicht angezeigt werden.",
        "Wählen Sie alle Zellen aus, die eine Formel enthalten.",
        "Ihr Passwort muss acht Zeichen haben.",
        "Drücken Sie die Taste noch einmal, um das Menü zu schließen.",
    ],
    "zho_Hans": [
        "单击按钮以打开对话框。",
        "选择要在其中保存文件的文件夹。",
        "没有连接就无法显示该页面。",
        "选择所有包含公式的单元格。",
        "您的密码必须有八个字符。",
        "再次按下该键以关闭菜单。",
    ],
}
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CONFIG = EvaluateConfig.model_validate(
    {
        "bootstrap_samples": 50,
        "min_english_words": 4,
        "compression": {"max_bytes_per_language": 400, "max_bytes_per_document": 120},
        "translation": {
            "prompt": "Translate from {source_language} to {target_language}:\n{text}",
            "items_per_language": 2,
            "max_new_tokens": 48,
        },
        "answers": {"prompts": 4, "max_new_tokens": 8},
        "choice": {"items_per_language": 3},
    }
)


@dataclass(frozen=True)
class Inputs:
    """The artifacts `evaluate` reads."""

    base: BaseModelFolder
    chat: ChatModelFolder
    shards: ShardSet
    tokens: TokenSet
    instructions: InstructionSet


def _publish(kind: type[A], partial: Path, out: Path, *inputs: Artifact) -> A:
    prints = {artifact.stage: artifact.fingerprint for artifact in inputs}
    return publish(kind, partial, out, inputs=prints, params={}, counts={})


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([line for lines in SENTENCES.values() for line in lines], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>")


def write_model(folder: Path, *, chat_template: str | None, seed: int = 0) -> None:
    """A random GPT-2 whose tokenizer knows the test's sentences."""
    tokenizer = _tokenizer()
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=160, n_embd=16, n_layer=1, n_head=2,
        eos_token_id=2, bos_token_id=1, pad_token_id=3,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)


def _write_unigrams(folder: Path) -> None:
    rows = [(language, token, 5) for language in LANGUAGES for token in range(4, 200)]
    columns = dict(zip(("language", "id", "count"), zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table(columns), folder / "drawn_unigrams.parquet")


def _shards(folder: Path) -> ShardSet:
    out = folder / "02_shards"
    partial = partial_folder(out)
    held_out = partial / "held_out"
    for language, lines in SENTENCES.items():
        documents = [
            Document(f"help/{language}/{n}", f"{line}\n{lines[n - 1]}", language, "help", "MIT")
            for n, line in enumerate(lines)
        ]
        write_table(held_out / f"documents/{language}.parquet", documents, DOCUMENT_SCHEMA)
        pairs = [
            Pair(f"help/eng_Latn-{language}/{n}#0", "eng_Latn", english, language, line, "h", "MIT")
            for n, (english, line) in enumerate(zip(SENTENCES["eng_Latn"], lines, strict=True))
        ]
        pairs.append(Pair("h/label#1", "eng_Latn", "Save as", language, "Label", "h", "MIT"))
        write_table(held_out / f"pairs/{language}.parquet", pairs, PAIR_SCHEMA)
    return _publish(ShardSet, partial, out)


def _instructions(folder: Path, shards: ShardSet) -> InstructionSet:
    out = folder / "07_instructions"
    partial = partial_folder(out)
    rows = [
        Instruction(
            id=f"i/{language}/{n}",
            language=language,
            prompt_language="eng_Latn",
            origin="cross-lingual",
            license="MIT",
            messages=(Message("user", f"Say it: {line}"), Message("assistant", line)),
        )
        for language in ("deu_Latn", "zho_Hans")
        for n, line in enumerate(SENTENCES[language])
    ]
    write_table(partial / "held_out.parquet", rows, INSTRUCTION_SCHEMA)
    return _publish(InstructionSet, partial, out, shards)


def make_inputs(folder: Path, *, chat_template: str | None = TEMPLATE) -> Inputs:
    """A chain of artifacts that belong together."""
    shards = _shards(folder)
    tokens = _publish(TokenSet, partial_folder(folder / "04_tokens"), folder / "04_tokens", shards)
    instructions = _instructions(folder, shards)
    partial = partial_folder(folder / "06_base")
    write_model(partial, chat_template=None)
    _write_unigrams(partial)
    base = _publish(BaseModelFolder, partial, folder / "06_base", tokens)
    partial = partial_folder(folder / "08_chat")
    write_model(partial, chat_template=chat_template, seed=1)
    chat = _publish(ChatModelFolder, partial, folder / "08_chat", base, instructions)
    return Inputs(base, chat, shards, tokens, instructions)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def run_stage(inputs: Inputs, folder: Path, config: EvaluateConfig = CONFIG) -> Scores:
    run = make_run(folder, languages=LANGUAGES)
    return evaluate(
        config, inputs.base, inputs.chat, inputs.shards, inputs.tokens, inputs.instructions, run
    )


@pytest.fixture(scope="module")
def scores(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return run_stage(inputs, tmp_path_factory.mktemp("scores"))


def _rows(scores: Scores, suite: str, metric: str) -> Mapping[tuple[str, str], dict[str, float]]:
    table = pq.read_table(scores.path / "scores.parquet").to_pylist()
    return {
        (row["model"], row["language"]): row
        for row in table
        if (row["suite"], row["metric"]) == (suite, metric)
    }


def test_every_language_is_scored_on_every_suite(scores: Scores) -> None:
    both = {(model, code) for model in ("base", "chat") for code in ("", *LANGUAGES)}
    assert set(_rows(scores, "bits_per_byte", "bits_per_byte")) == both
    foreign = ("", "deu_Latn", "zho_Hans")
    for metric in ("chrf_from_english", "chrf_into_english"):
        assert set(_rows(scores, "translation", metric)) == {("chat", code) for code in foreign}
    assert set(_rows(scores, "answers", "in_language_share")) == {("chat", c) for c in foreign}
    choices = _rows(scores, "translation_choice", "acc_norm")
    assert set(choices) == {("base", code) for code in foreign}
    assert choices["base", ""]["items"] == 6
    assert choices["base", ""]["baseline"] == 0.25


def test_intervals_hold_their_value(scores: Scores) -> None:
    for row in pq.read_table(scores.path / "scores.parquet").to_pylist():
        if row["low"] is not None:
            assert row["low"] <= row["value"] + 1e-9, row
            assert row["value"] <= row["high"] + 1e-9, row


def test_a_random_model_needs_about_the_bits_of_a_uniform_guess(scores: Scores) -> None:
    documents = pq.read_table(scores.path / "predictions/documents.parquet").to_pylist()
    vocabulary = 9.4  # log2 of about 700 entries
    for row in documents:
        assert row["bits"] / row["tokens"] == pytest.approx(vocabulary, abs=0.6)
    assert {row["model"] for row in documents} == {"base", "chat"}


def test_the_harness_and_its_samples_agree(scores: Scores) -> None:
    choices = pq.read_table(scores.path / "predictions/choices.parquet").to_pylist()
    german = [row["acc"] for row in choices if row["language"] == "deu_Latn"]
    reported = _rows(scores, "translation_choice", "acc")["base", "deu_Latn"]
    assert reported["value"] == pytest.approx(sum(german) / len(german))
    assert all(len(set(row["choices"])) == 4 for row in choices)
    assert all(
        row["acc"] == (row["log_likelihoods"].index(max(row["log_likelihoods"])) == row["answer"])
        for row in choices
    )


def test_the_same_inputs_give_the_same_bytes(
    scores: Scores, inputs: Inputs, tmp_path: Path
) -> None:
    again = run_stage(inputs, tmp_path)
    assert again.fingerprint == scores.fingerprint


def test_nothing_is_written_outside_the_run(inputs: Inputs, scores: Scores) -> None:
    """The harness caches its data sets; that cache belongs to the run's work folder."""
    assert (scores.path.parent / "work" / "harness" / "datasets").is_dir()
    assert sorted(path.name for path in scores.path.rglob("*.parquet")) == [
        "answers.parquet", "choices.parquet", "documents.parquet", "scores.parquet",
        "translations.parquet",
    ]  # fmt: skip


def test_prompts_that_do_not_fit_are_passed_over_and_counted(
    inputs: Inputs, tmp_path: Path
) -> None:
    translation = CONFIG.translation.model_copy(
        update={"items_per_language": 6, "max_new_tokens": 11}
    )
    config = CONFIG.model_copy(update={"translation": translation})
    counts = run_stage(inputs, tmp_path, config).counts
    assert counts["too_long"]["translation"] * 2 + counts["items"]["translations"] == 2 * 2 * 6
    assert counts["too_long"]["translation"] > 0


def test_a_model_of_another_run_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    other = make_inputs(tmp_path / "other", chat_template=TEMPLATE + " ")
    mixed = replace(inputs, chat=other.chat, instructions=other.instructions, base=replace(
        inputs.base, manifest=inputs.base.manifest.model_copy(update={"params": {"x": 1}})
    ))  # fmt: skip
    with pytest.raises(MismatchedArtifactError, match=r"08_chat was made from another 06_base"):
        run_stage(mixed, tmp_path)


def test_a_chat_model_without_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="chat template"):
        run_stage(make_inputs(tmp_path, chat_template=None), tmp_path)


def test_a_language_without_sentence_pairs_is_named(inputs: Inputs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"min_english_words": 40})
    with pytest.raises(StageError, match="min_english_words"):
        run_stage(inputs, tmp_path, config)
