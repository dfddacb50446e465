"""A sequence-to-sequence model in a Hugging Face folder: NLLB-200, M2M-100, MarianMT.

The target language is the first token that is generated (`forced_bos_token_id`), the source
language one that the tokenizer adds; a MarianMT model has one pair. Translations are the same on
every run, because the search draws nothing and each batch is computed by one thread.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.languages import get_language
from polylm_core.teachers.generation import one_thread, without_bars
from polylm_core.teachers.in_process import pinned_folder
from polylm_core.translators.codes import m2m_code, marian_codes, nllb_code
from polylm_core.translators.config import Seq2SeqTranslator
from polylm_core.translators.translator import CUT_OFF, TOO_LONG, Scope, Translation


@dataclass(frozen=True, slots=True)
class TranslationModel:
    """A folder's model; so many lines are a batch."""

    path: Path
    config: Seq2SeqTranslator
    is_remote = False
    scope: Scope = "line"

    def problem(self, source: str, target: str) -> str:
        """Name the languages that the model does not know."""
        tokenizer = _load_tokenizer(self.path, self.config.fingerprint)
        if _has_one_pair(tokenizer):
            pair = (tokenizer.source_lang, tokenizer.target_lang)
            if pair[0] in marian_codes(source) and pair[1] in marian_codes(target):
                return ""
            return f"{self.path} translates from {pair[0]} into {pair[1]} alone"
        unknown = [code for code in (source, target) if _language_id(tokenizer, code) is None]
        names = " and ".join(f"{get_language(code).english_name} ({code})" for code in unknown)
        return f"{self.path} does not know {names}" if unknown else ""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """Translate all lines, those of about one length together."""
        loaded = _load(self.path, self.config.fingerprint)
        order = sorted(range(len(texts)), key=lambda index: (len(texts[index]), texts[index]))
        size = self.config.lines_per_batch
        made: dict[int, Translation] = {}
        for first in range(0, len(order), size):
            batch = order[first : first + size]
            lines = [texts[index] for index in batch]
            made |= zip(batch, self._batch(loaded, lines, source, target), strict=True)
        return [made[index] for index in range(len(texts))]

    def _batch(
        self, loaded: tuple[Any, Any], lines: Sequence[str], source: str, target: str
    ) -> list[Translation]:
        import torch  # costs 2 s, and a run that finds all translations stored does not need it

        tokenizer, model = loaded
        forced = {}
        if not _has_one_pair(tokenizer):
            tokenizer.src_lang = _code(tokenizer, source)
            forced = {"forced_bos_token_id": _language_id(tokenizer, target)}
        most = int(model.config.max_position_embeddings)
        fitting = [line for line in lines if len(tokenizer(line)["input_ids"]) <= most]
        written: list[list[int]] = []
        if fitting:
            batch = tokenizer(fitting, return_tensors="pt", padding=True)
            with one_thread(), torch.inference_mode():
                output = model.generate(
                    **batch,
                    **forced,
                    do_sample=False,
                    num_beams=self.config.num_beams,
                    max_length=None,
                    max_new_tokens=min(self.config.max_new_tokens, most - 1),
                )
            written = output[:, 1:].tolist()  # the first is the decoder's start, often `</s>`
        made = dict(zip(fitting, (_read(ids, tokenizer) for ids in written), strict=True))
        return [made.get(line, Translation("", TOO_LONG)) for line in lines]


def find_model(config: Seq2SeqTranslator, locations: Mapping[str, str]) -> TranslationModel:
    """Find the folder and verify it; raises TeacherError saying where it was looked for."""
    return TranslationModel(pinned_folder(config, locations), config)


def _read(ids: list[int], tokenizer: Any) -> Translation:
    if tokenizer.eos_token_id not in ids:
        return Translation("", CUT_OFF)
    return Translation(tokenizer.decode(ids, skip_special_tokens=True).strip())


def _has_one_pair(tokenizer: Any) -> bool:
    return hasattr(tokenizer, "source_lang")  # MarianTokenizer's


def _code(tokenizer: Any, code: str) -> str:
    return m2m_code(code) if hasattr(tokenizer, "get_lang_id") else nllb_code(code)


def _language_id(tokenizer: Any, code: str) -> int | None:
    """The token of a language; none for one that the model does not know."""
    own = _code(tokenizer, code)
    if hasattr(tokenizer, "get_lang_id"):  # M2M100Tokenizer's
        return int(tokenizer.get_lang_id(own)) if own in tokenizer.lang_code_to_token else None
    found = tokenizer.convert_tokens_to_ids(own)
    return None if found is None or found == tokenizer.unk_token_id else int(found)


@functools.cache
def _load_tokenizer(folder: Path, fingerprint: str) -> Any:
    from transformers import AutoTokenizer  # see `_batch`

    del fingerprint  # tells two contents of a path apart
    with without_bars():
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@functools.cache
def _load(folder: Path, fingerprint: str) -> tuple[Any, Any]:
    import torch  # see `_batch`
    from transformers import AutoModelForSeq2SeqLM

    with without_bars():
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    # MarianMT's files write `</s>` at the length limit: what is cut off would seem to have ended.
    model.generation_config.forced_eos_token_id = None
    return _load_tokenizer(folder, fingerprint), model.eval()
