"""The `instruct` section of `params.yaml`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from polylm_core.languages import LanguageCode
from polylm_core.stages.base import StageConfig
from polylm_core.stages.instruct.imports.config import Imports
from polylm_core.stages.instruct.parts_config import CompositionConfig, HeadedConfig
from polylm_core.teachers.config import TeacherConfig
from polylm_core.translators.config import TranslateConfig

ORIGINS = {
    "self-instruct",
    "seed",
    "seed-translated",
    "cross-lingual",
    "continuation",
    "taco",
    "taco-plain",
}
"""Origins of instructions that are made here; an imported set has another name."""


class CrossLingualConfig(StageConfig):
    """Translation tasks from aligned pairs (BayLing 2), and texts to be continued."""

    hubs: dict[LanguageCode, int] = Field(min_length=1)
    """Pairs each language gets with each hub; BayLing 2 links all to English and Chinese."""
    to_hub_share: float = Field(ge=0, le=1)
    """Share of these tasks whose answer is in the hub's language."""
    native_share: float = Field(ge=0, le=1)
    """Share of the tasks whose instruction is in the answer's language, not the source's."""
    multi_turn_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the pairs that begin a chat of several turns, if pairs that follow in the document
    fit; a turn goes in the direction of the last one or in the other."""
    max_turns: int = Field(default=2, ge=2)
    """Turns of a chat of several; each is one pair."""
    pairs_per_further_language: int = Field(ge=0)
    """Pairs with each hub that each language beyond the recipe's gets (BayLing 2: 100+)."""
    max_further_chat_bytes: int = Field(gt=0)
    """A script that the vocabulary does not know costs up to one token a byte."""
    continuations_per_language: int = Field(ge=0)
    """Texts to be continued: the answer is the next paragraph of a document."""
    continuations_by_language: dict[str, int] = Field(default_factory=dict)
    """Other numbers for some languages."""

    def continuations_of(self, language: str) -> int:
        """Texts to be continued that a language gets."""
        return self.continuations_by_language.get(language, self.continuations_per_language)


class TacoConfig(StageConfig):
    """Tasks in TaCo's form: instruction in English, response in English, then the response."""

    pairs_per_language: int = Field(ge=0)
    """Aligned pairs each language gets, beside all seed tasks that it has."""
    headed: HeadedConfig | None = None
    """Headings of documentation and the paragraphs under them, beside these."""
    from_imports: dict[str, tuple[LanguageCode, ...]] = Field(default_factory=dict)
    """English sets of `imports` (TaCo: Alpaca and Dolly), and the languages that `translate` brings
    each into."""
    also_plain: bool = False
    """Each task also without the English parts (origin `taco-plain`), to compare with."""


class LanguageCheckConfig(StageConfig):
    """Is a task in its language? By fastText's lid.176, and by script (arXiv 2406.20052 §3)."""

    min_letters: int = Field(default=20, ge=1)
    """A shorter answer or line is not identified by itself."""
    min_confidence: float = Field(default=0.3, ge=0, le=1)
    """Of a task as a whole and of its answer. With 0.3 instead of 0.5, a third fewer of the
    released Spanish tasks are taken, and as many with English in them; what a small teacher makes
    up of words of several languages is below 0.5."""
    min_line_pass_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the answer's lines that are in the language."""
    min_word_pass_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the answer's words that are in the language's script."""


class NearTasksConfig(StageConfig):
    """MinHash-LSH over the tasks of all languages, with the figures of `curate`."""

    min_jaccard: float = Field(default=0.8, gt=0, le=1)
    """Of the shingles of instruction, input and output together."""
    shingle_characters: int = Field(default=10, ge=1)
    """Of letters and digits without case; characters, so that any two languages compare."""
    bands: int = Field(default=20, ge=2)
    rows: int = Field(default=5, ge=1)
    """Hashes of a band; bands * rows permutations in all."""


class HeldOutTextConfig(StageConfig):
    """Tasks that share an n-gram with held-out text of their language are dropped.

    13 words as in GPT-3 (arXiv 2005.14165, appendix C). A line shorter than the n-gram counts when
    it equals a held-out line.
    """

    ngram_words: int = Field(default=13, ge=2)
    ngram_characters: int = Field(default=30, ge=2)
    """N-gram length in languages without spaces between words."""
    min_line_letters: int = Field(default=20, ge=1)
    """Shorter held-out lines give nothing away: "Yes." is the answer to many tasks."""


class TogetherConfig(StageConfig):
    """What is judged of the instructions of all languages together; null leaves a check out."""

    near_duplicates: NearTasksConfig | None = NearTasksConfig()
    held_out_text: HeldOutTextConfig | None = HeldOutTextConfig()


class ChecksConfig(TogetherConfig):
    """What the published recipe (PolyLM §4) does not check."""

    answers_end_at_blank_line: bool = False
    """A small teacher goes on talking after a blank line; a large one writes paragraphs."""
    min_distinct_share: float = Field(default=0.0, ge=0, le=1)
    """Distinct words of an answer below which it loops, from eight words on; 0 asks for none."""
    language: LanguageCheckConfig | None = LanguageCheckConfig()
    mask_personal_data: bool = True
    """E-mail addresses, IP addresses and telephone numbers become placeholders."""


class SelfInstructConfig(StageConfig):
    """Tasks that a teacher writes from seeds (PolyLM §4, MultiAlpaca)."""

    teacher: TeacherConfig
    """Who writes them: a model in a package or a folder, computed here, or an endpoint."""
    languages: tuple[str, ...] = Field(min_length=1)
    """Languages to write in; each needs seed tasks."""
    languages_per_batch: int = Field(gt=0)
    """Languages a worker asks the teacher for at once; a batch is one unit of work. A teacher of
    the kind `openai` is asked for all of them at once."""
    max_generated_tokens: int = Field(gt=0)
    """Budget over all languages and rounds; the number of prompts follows from it."""
    rounds: int = Field(gt=0)
    """Rounds per language, each showing tasks of the ones before (PolyLM: 10)."""
    first_round_prompts: int | None = Field(default=None, gt=0)
    """Prompts of a language's first round, where fewer (PolyLM: 10, as the pool is empty)."""
    tasks_per_prompt: int = Field(gt=0)
    """New tasks asked for at once (PolyLM: 17; a small teacher holds out for about two)."""
    prompt_rules: Literal["short", "published"] = "short"
    """What a prompt says beside the tasks shown: what a small teacher can follow, or the rules of
    PolyLM's Table 6."""
    max_new_tokens: int = Field(gt=0)
    """Length limit of one answer; a task it cuts off is dropped."""
    max_demonstration_bytes: int = Field(gt=0)
    """Longer seed tasks are not shown to the teacher: its prompt has to be short."""
    temperature: float = Field(gt=0)
    top_k: int = Field(gt=0)
    max_redundancy: float = Field(ge=0, le=1)
    """ROUGE-L of instruction and input above which a task is dropped (PolyLM §4: 0.5)."""
    max_redundancy_by_language: dict[str, float]
    """Other limits (PolyLM §4: Korean and Vietnamese 0.3, Arabic 0.2)."""
    max_similarity: float = Field(ge=0, le=1)
    """A task is new if its ROUGE-L with every instruction known is below (PolyLM §4: 0.7)."""
    checks: ChecksConfig = ChecksConfig()
    """Other checks judge the same answers anew: the teacher is not asked again."""

    @property
    def prompts_per_round(self) -> int:
        """Prompts of one round of one language that the budget allows."""
        rounds = self.rounds * len(self.languages)
        return self.max_generated_tokens // (rounds * self.max_new_tokens)

    def prompts_of_round(self, number: int) -> int:
        """Prompts of a language in a round, counted from 1."""
        if number == 1 and self.first_round_prompts is not None:
            return min(self.first_round_prompts, self.prompts_per_round)
        return self.prompts_per_round

    @property
    def num_prompts(self) -> int:
        """Prompts of all languages and rounds."""
        rounds = range(1, self.rounds + 1)
        return len(self.languages) * sum(map(self.prompts_of_round, rounds))

    @model_validator(mode="after")
    def _budget_allows_a_prompt(self) -> Self:
        if self.prompts_per_round < 1:
            needed = self.rounds * len(self.languages) * self.max_new_tokens
            raise ValueError(
                f"max_generated_tokens {self.max_generated_tokens} does not allow one prompt per "
                f"language and round; raise it to {needed} or ask for fewer rounds or tokens"
            )
        return self


class InstructConfig(StageConfig):
    """Instructions to tune on, and held-out ones to evaluate with."""

    revision: int = Field(ge=1)
    """Raise it to make the instructions again after a change of code that changes them."""
    min_words: int = Field(gt=0)
    """Least words of a text to translate or continue, about (characters / 2 without spaces)."""
    max_words: int = Field(gt=0)
    max_chat_bytes: int = Field(gt=0)
    """Longest chat, as UTF-8; it has to fit the model's context when tokenized."""
    held_out_per_language: int = Field(gt=0)
    """Prompts per answer language from held-out pairs, never trained on; a language with fewer
    suitable pairs gives what it has."""
    cross_lingual: CrossLingualConfig
    taco: TacoConfig | None = None
    self_instruct: SelfInstructConfig | None = None
    """With it, the seed tasks themselves are learned too."""
    composition: CompositionConfig = CompositionConfig()
    """Caps and shares of the whole set; without any, everything that was made stays."""
    imports: Imports = Field(default_factory=dict)
    """Instruction sets that others published, by name. Profiles say where each lies
    (`source_locations`); otherwise in `data/00_sources/<name>`, or at its own `uri`."""
    import_checks: TogetherConfig = TogetherConfig()
    """Near duplicates among the imported sets, and held-out text in them."""

    translate: TranslateConfig | None = None

    @model_validator(mode="after")
    def _translations_are_used(self) -> Self:
        if self.translate is not None and self.taco is None and self.self_instruct is None:
            raise ValueError("`translate` is for seed tasks, which `taco` and `self_instruct` use")
        return self

    @model_validator(mode="after")
    def _sets_can_be_translated(self) -> Self:
        wanted = {} if self.taco is None else self.taco.from_imports
        unknown = sorted(wanted.keys() - self.imports.keys())
        if unknown:
            raise ValueError(f"taco.from_imports: {', '.join(unknown)} is none of `imports`")
        if wanted and self.translate is None:
            raise ValueError("taco.from_imports needs `translate`, which says by what")
        return self

    @field_validator("imports")
    @classmethod
    def _names_are_free(cls, imports: Imports) -> Imports:
        taken = sorted(imports.keys() & ORIGINS)
        if taken:
            raise ValueError(f"{', '.join(taken)} is the origin of what this stage makes")
        return imports
