"""The engine of benchmarks against the harness's own `hf` backend, item by item."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import LlamaConfig, LlamaForCausalLM

from polylm_core.errors import StageError
from polylm_core.stages.evaluate.benchmarks.engine import Engine
from polylm_core.stages.evaluate.benchmarks.trees import batches, grow_trees
from polylm_core.stages.evaluate.model import LoadedModel, load_model
from tests.unit.stages.evaluate_inputs import SENTENCES, TEMPLATE, write_model

TOLERANCE = 1e-4
GERMAN = SENTENCES["deu_Latn"]
ENGLISH = SENTENCES["eng_Latn"]
PAIRS = [
    *((f"{source}\n", option) for source in ENGLISH for option in GERMAN[:4]),  # options
    *((f"{start} and", f" {end}") for start in ENGLISH[:2] for end in ("close", "save it")),
    ("Press the key ", "again to close the menu."),  # a space at the end of the context
    ("", "选择所有包含公式的单元格。"),  # no context
    ("", GERMAN[0]),
    ("</s>Press", " the key"),  # a special token in the text
    ("Press", "."),  # one token
    (" ".join(ENGLISH * 6), f" {GERMAN[1]}"),  # longer than the context
    ("Choose", " a folder"),
    ("Choose", " a folder"),  # asked twice
]


def _llama(folder: Path) -> None:
    """A random Llama with the tokenizer of the test's GPT-2 and fewer heads for keys."""
    write_model(folder, chat_template=TEMPLATE)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=700, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=160,
        bos_token_id=1, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "llama":
        _llama(folder)
    else:
        write_model(folder, chat_template=TEMPLATE)
    model = load_model(folder, request.param, None)
    with torch.no_grad():  # larger weights than drawn, so that log-probabilities differ
        for parameter in model.model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture(scope="module")
def peer(loaded: LoadedModel) -> Any:
    return HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=4,
        max_length=loaded.context_tokens,
        device="cpu",
    )


def requests(arguments: list[tuple[Any, ...]]) -> list[Any]:
    return [SimpleNamespace(args=given, task_name="t") for given in arguments]


def test_options_score_as_they_do_in_the_harness(loaded: LoadedModel, peer: Any) -> None:
    theirs = peer.loglikelihood(requests(PAIRS), disable_tqdm=True)
    ours = Engine(loaded).answer("loglikelihood", PAIRS)
    assert [greedy for _, greedy in ours.answers] == [greedy for _, greedy in theirs]
    values = [value for value, _ in ours.answers]
    assert values == pytest.approx([value for value, _ in theirs], abs=TOLERANCE)
    assert np.std(values) > 1
    assert ours.cut == 1


def test_greedy_continuations_are_told(loaded: LoadedModel, peer: Any) -> None:
    written = peer.generate_until(
        requests([("Press", {"max_gen_toks": 3, "until": []})]), disable_tqdm=True
    )
    (found,) = Engine(loaded).answer("loglikelihood", [("Press", written[0])]).answers
    (theirs,) = peer.loglikelihood(requests([("Press", written[0])]), disable_tqdm=True)
    assert found[1] == theirs[1]


def test_whole_texts_score_as_they_do_in_the_harness(loaded: LoadedModel, peer: Any) -> None:
    texts = [(" ".join(ENGLISH * times),) for times in (1, 5)]
    theirs = peer.loglikelihood_rolling(requests(texts), disable_tqdm=True)
    ours = Engine(loaded).answer("loglikelihood_rolling", texts).answers
    assert ours == pytest.approx(theirs, abs=TOLERANCE * 5)


def test_answers_are_written_as_they_are_in_the_harness(loaded: LoadedModel, peer: Any) -> None:
    settings = [
        {"until": ["\n"], "max_gen_toks": 12, "do_sample": False},
        {"until": [], "max_gen_toks": 6, "do_sample": False},
        {"until": ["e", "t"], "max_gen_toks": 20, "do_sample": False},
    ]
    asked = [
        (text, given)
        for given in settings
        for text in ("Press", "Choose a folder", GERMAN[2], " ".join(ENGLISH * 6))
    ]
    theirs = peer.generate_until(requests(asked), disable_tqdm=True)
    ours = Engine(loaded).answer("generate_until", asked)
    assert ours.answers == theirs
    assert any(theirs)
    assert ours.cut == len(settings)


def test_an_option_without_tokens_is_named(loaded: LoadedModel) -> None:
    with pytest.raises(StageError, match=r"0 tokens.*Press"):
        Engine(loaded).answer("loglikelihood", [("Press", "")])


def test_a_common_beginning_is_computed_once(loaded: LoadedModel) -> None:
    engine = Engine(loaded)
    seen: list[int] = []
    hook = engine.model.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    paragraph = " ".join(ENGLISH[:4])
    options = [(paragraph, f" {word}.") for word in ("Yes", "No", "Also")]
    engine.answer("loglikelihood", options)
    hook.remove()
    one = len(loaded.encode(paragraph))
    assert one > 20
    assert sum(seen) < one + 3 * 6


def test_a_tree_shows_each_token_its_own_sequence() -> None:
    sequences = [(1, 2, 3, 4), (1, 2, 3, 5, 6), (1, 2, 7), (1, 2, 3, 4), (1, 2)]
    (tree,) = grow_trees(sequences)
    assert len(tree) == 7
    mask = tree.visible()
    assert not np.triu(mask, 1).any()
    for number, path in tree.paths:
        assert [tree.tokens[node] for node in path] == list(sequences[number])
        assert [tree.positions[node] for node in path] == list(range(len(path)))
        for place, node in enumerate(path):
            assert np.flatnonzero(mask[node]).tolist() == path[: place + 1]


def test_strangers_that_begin_alike_are_not_joined() -> None:
    begun = [(0, *range(100 * number, 100 * number + 60)) for number in range(1, 4)]
    assert [len(tree) for tree in grow_trees(begun)] == [61, 61, 61]


def test_batches_hold_every_tree_within_the_budget() -> None:
    trees = grow_trees([(n, *range(1000, 1000 + n)) for n in (3, 90, 4, 5, 30, 8)])
    found = list(batches(trees, 40))
    assert sorted(len(tree) for tree in itertools.chain(*found)) == [4, 5, 6, 9, 31, 91]
    assert all(len(batch) * len(batch[0]) <= 40 or len(batch) == 1 for batch in found)
