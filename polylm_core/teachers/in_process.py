"""Teachers that are computed in this process: no service and no key.

One ships inside a Python package (SmolLM2-135M-Instruct as GGUF), the other lies in a Hugging Face
folder: a model of the pipeline, or anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polylm_core.errors import PromptTooLongError, TeacherError
from polylm_core.storage import fingerprint, sha256_file
from polylm_core.teachers.config import FolderTeacher, PackageTeacher
from polylm_core.teachers.generation import Loaded, continue_batch, load_folder, load_gguf
from polylm_core.teachers.packaged import packaged_file
from polylm_core.teachers.places import PinnedFolder, folder_of
from polylm_core.teachers.teacher import Answer, Sampling


@dataclass(frozen=True, slots=True)
class ShippedTeacher:
    """A model file in a package; all prompts asked at once are one batch."""

    path: Path
    is_remote = False

    def ask(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> list[Answer]:
        """Continue all prompts."""
        loaded = load_gguf(self.path.parent, self.path.name)
        return continue_batch(loaded, prompts, sampling, seed, is_rendered=False)


def find_shipped(config: PackageTeacher) -> ShippedTeacher:
    """Find the model file and verify it; raises MachineError saying what to install."""
    return ShippedTeacher(packaged_file(config, "the teacher"))


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A Hugging Face folder; so many prompts are a batch, each batch with a seed of its own."""

    path: Path
    config: FolderTeacher
    is_remote = False

    def ask(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> list[Answer]:
        """Continue or answer all prompts; raises PromptTooLongError, TeacherError."""
        loaded = load_folder(self.path, self.config.fingerprint)
        texts = [self._rendered(prompt, loaded) for prompt in prompts]
        self._require_room(texts, loaded, sampling.max_new_tokens)
        answers: list[Answer] = []
        for number, batch in enumerate(_batches(texts, self.config.prompts_per_batch)):
            answers += continue_batch(
                loaded, batch, sampling, seed + number, is_rendered=self._is_chat
            )
        return answers

    @property
    def _is_chat(self) -> bool:
        return self.config.form == "chat"

    def _rendered(self, prompt: str, loaded: Loaded) -> str:
        if not self._is_chat:
            return prompt
        if loaded.tokenizer.chat_template is None:
            raise TeacherError(
                f"{self.path}: the tokenizer has no chat template; "
                "set the teacher's `form` to `completions`"
            )
        text: str = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return text

    def _require_room(self, texts: Sequence[str], loaded: Loaded, max_new_tokens: int) -> None:
        most = int(loaded.model.config.max_position_embeddings) - max_new_tokens
        for number, text in enumerate(texts, start=1):
            ids = loaded.tokenizer.encode(text, add_special_tokens=not self._is_chat)
            if len(ids) > most:
                name = f"prompt {number} of {len(texts)} for the teacher {self.config.source}"
                raise PromptTooLongError(name, len(ids), most)


def find_folder(config: FolderTeacher, locations: Mapping[str, str]) -> ModelFolder:
    """Find the folder and verify it; raises TeacherError saying where it was looked for."""
    return ModelFolder(pinned_folder(config, locations), config)


def pinned_folder(config: PinnedFolder, locations: Mapping[str, str]) -> Path:
    """Find a model's folder and verify all of its files; raises TeacherError."""
    path = folder_of(config, locations)
    seen = folder_fingerprint(path)
    if seen != config.fingerprint:
        raise TeacherError(
            f"{path}: the fingerprint is {seen}, params say {config.fingerprint}; put the declared "
            "model there, or declare this one"
        )
    return path


def folder_fingerprint(path: Path) -> str:
    """Return the identity of a folder: every file but hidden ones, by name and content."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = {file: file.relative_to(path) for file in files}
    return fingerprint(
        {
            name.as_posix(): sha256_file(file)
            for file, name in names.items()
            if not any(part.startswith(".") for part in name.parts)
        }
    )


def _batches(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    return [texts[first : first + size] for first in range(0, len(texts), size)]
