"""The benchmarks of tuning on a run of a tiny random model: they ask, count and name what lacks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks import bayling2, chat_models, taco
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
from polylm_core.stages.instruct.taco_form import Aligned, in_taco_form
from tests.unit.stages.evaluate_inputs import SENTENCES, TEMPLATE, write_model

VOCAB = 700
ENGLISH = SENTENCES["eng_Latn"]
SIZE = bayling2.Size(held_out=6, tatoeba=2, perplexity_tokens=512, bootstrap_samples=20)


def write_llama(folder: Path, seed: int) -> None:
    """A random Llama with the tokenizer of the tests of `evaluate`."""
    write_model(folder, chat_template=TEMPLATE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=1024, eos_token_id=2, bos_token_id=1,
        pad_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def write_adapter(model: Path, folder: Path, scale: float) -> None:
    """A LoRA adapter in peft's form that changes what the model says."""
    config = LoraConfig(r=4, target_modules=["q_proj", "o_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(LlamaForCausalLM.from_pretrained(model), config)
    torch.manual_seed(3)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=scale)
    adapted.save_pretrained(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished run of either recipe leaves, of random models."""
    folder = tmp_path_factory.mktemp("data")
    write_llama(folder / "06_base", seed=0)
    write_llama(folder / "08_chat", seed=1)
    for name, scale in (("taco", 3.0), ("plain", 5.0)):
        write_adapter(folder / "08_chat", folder / "08_chat/adapters" / name, scale)
    held_out: list[Instruction] = []
    for code in bayling2.LANGUAGES:
        pairs = [
            Pair(f"help/eng_Latn-{code}/page#{n}", "eng_Latn", text, code, f"{text} x", "h", "MIT")
            for n, text in enumerate(ENGLISH)
        ]
        write_parts(folder / "02_shards/held_out/pairs" / code, pairs, PAIR_SCHEMA)
        for pair in pairs:
            turns = (Message("user", f"Say: {pair.text_a}"), Message("assistant", pair.text_b))
            name = f"cross-lingual/{pair.id}>{code}"
            held_out.append(Instruction(name, code, code, "cross-lingual", "MIT", turns))
    held_out += [
        in_taco_form(Aligned(f"q/{n}", "spa_Latn", "MIT", "What?", text, "¿Qué?", text))
        for n, text in enumerate(ENGLISH[:4])
    ]
    write_table(folder / "07_instructions/held_out.parquet", held_out, INSTRUCTION_SCHEMA)
    write_table(folder / "07_instructions/train.parquet", held_out[:1], INSTRUCTION_SCHEMA)
    text = "\n".join(ENGLISH * 40)
    documents = [Document("help/eng_Latn/page", text, "eng_Latn", "help", "MIT")]
    write_parts(folder / "02_shards/held_out/documents/eng_Latn", documents, DOCUMENT_SCHEMA)
    return folder


@pytest.fixture
def tatoeba(tmp_path: Path) -> Path:
    for code in bayling2.LANGUAGES:
        stem = f"tatoeba.{code[:3]}-eng"
        english = [f"Go on, number {n}: {text}" for n in range(20) for text in ENGLISH]
        (tmp_path / f"{stem}.eng").write_text("\n".join(english))
        (tmp_path / f"{stem}.{code[:3]}").write_text("\n".join(["Uno."] * len(english)))
    return tmp_path


def test_answers_come_in_the_order_of_the_prompts_and_padding_changes_none(run: Path) -> None:
    chatter = chat_models.load(run / "08_chat")
    prompts = [chatter.prompt([{"role": "user", "content": text}]) for text in ENGLISH]
    limits = [12, 3, 8, 12, 5, 12]
    together = chat_models.answer(chatter, prompts, limits, what="x")
    alone = [
        chat_models.answer(chatter, [prompt], [limit], what="x")[0]
        for prompt, limit in zip(prompts, limits, strict=True)
    ]
    assert together == alone
    assert len(set(together)) > 1


def test_an_answer_ends_with_the_line_that_is_enough(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatter = chat_models.load(run / "08_chat")
    whole = chat_models.answer(chatter, ["Say"], [6], what="x")[0]
    said = chat_models._said  # a random model says no line's end
    monkeypatch.setattr(
        chat_models, "_said", lambda c, tokens: said(c, tokens) + ("\n" if len(tokens) > 2 else "")
    )
    cut = chat_models.answer(chatter, ["Say"], [6], what="x", is_enough=len)[0]
    assert cut
    assert whole.startswith(cut)
    assert len(chatter.tokenizer.encode(cut)) < len(chatter.tokenizer.encode(whole))


def test_an_adapter_changes_what_its_model_says(run: Path) -> None:
    prompts = [f"<|user|>\n{text}\n<|assistant|>\n" for text in ENGLISH]
    plain = chat_models.load(run / "08_chat")
    adapted = chat_models.load(run / "08_chat", run / "08_chat/adapters/plain")
    said = [chat_models.answer(each, prompts, [8] * 6, what="x") for each in (plain, adapted)]
    assert said[0] != said[1]


def test_a_random_model_is_about_as_surprised_as_its_vocabulary_is_large(run: Path) -> None:
    chatter = chat_models.load(run / "06_base")
    nats = chat_models.nats_a_token(chatter, ENGLISH * 9, tokens=300, window=50)
    assert nats == pytest.approx(math.log(len(chatter.tokenizer)), rel=0.05)
    with pytest.raises(SystemExit, match="fewer than 5000 tokens"):
        chat_models.nats_a_token(chatter, ENGLISH, tokens=300, window=5000)


def test_a_missing_model_or_adapter_is_named(run: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere/config\.json is missing"):
        chat_models.load(run / "nowhere")
    with pytest.raises(SystemExit, match=r"other/adapter_config\.json is missing"):
        chat_models.load(run / "08_chat", run / "08_chat/adapters/other")


def test_all_figures_of_cross_lingual_tuning_are_there(run: Path, tatoeba: Path) -> None:
    found = bayling2.measure(run, tatoeba, SIZE)
    assert set(found["tatoeba"]) == set(bayling2.LANGUAGES)
    assert found["held_out"]["sentences"] == 6
    assert found["held_out"]["copy"] > 50, "the references are the sources and one letter more"
    assert len(found["held_out"]["base_ways"]) == 3
    perplexity = found["english_perplexity"]
    assert [scores["ratio"] for scores in perplexity.values()] == pytest.approx([1, 1], rel=0.1)
    assert perplexity["held-out"]["base"] != perplexity["tatoeba"]["base"], "two texts"
    assert len(bayling2.table(found)) == 1 + 1 + 6 + 2
    assert bayling2.failures(found), "a random model passes nothing"


def test_the_program_ends_with_one_line_of_json(
    run: Path, tatoeba: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bayling2, "QUICK", SIZE)
    assert bayling2.main(["--run", str(run), "--tatoeba", str(tatoeba), "--quick"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["benchmark"], told["quick"]) == ("bayling2", True)
    monkeypatch.setattr(taco, "MAX_NEW_TOKENS", 8)
    monkeypatch.setattr(taco, "PLAIN_NEW_TOKENS", 8)
    assert taco.main(["--run", str(run), "--quick"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["taco"]["three_parts"] == 0.0
    assert "three parts in 0.0%, below 90%" in told["failed"]


def test_too_few_held_out_questions_are_named(run: Path) -> None:
    with pytest.raises(SystemExit, match="has 4 held-out questions, expected 80"):
        taco.read_questions(run, 80)
