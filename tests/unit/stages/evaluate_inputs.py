"""A tiny chain of artifacts with random models, for the tests of `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from polylm_core.artifacts import (
    A,
    Artifact,
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    ShardSet,
    TokenSet,
    partial_folder,
    publish,
)
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    INSTRUCTION_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Instruction,
    Message,
    Pair,
    write_parts,
    write_table,
)

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
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, eos_token="</s>", pad_token="<pad>"
    )


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
        write_parts(held_out / f"documents/{language}", documents, DOCUMENT_SCHEMA)
        pairs = [
            Pair(f"help/eng_Latn-{language}/{n}#0", "eng_Latn", english, language, line, "h", "MIT")
            for n, (english, line) in enumerate(zip(SENTENCES["eng_Latn"], lines, strict=True))
        ]
        pairs.append(Pair("h/label#1", "eng_Latn", "Save as", language, "Label", "h", "MIT"))
        write_parts(held_out / f"pairs/{language}", pairs, PAIR_SCHEMA)
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
    write_table(partial / "train.parquet", rows[:1], INSTRUCTION_SCHEMA)  # one is given away
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
