"""Sets of the catalogue for writing: MTG's four tasks.

MTG lies on Google Drive alone, and what its files look like is not published; so the form here is
declared by us: JSON lines with `source` and `target`. Neither its repository nor its page states a
licence. PolyLM asks 200 items of a task and language, with a task sentence and the input, one
example for the base model (arXiv 2307.06018, section 5 and appendix B).
"""

from __future__ import annotations

from polylm_core.stages.evaluate.benchmarks.benchmark_set import BenchmarkSet, Form, Metric

DRIVE = "https://drive.google.com/drive/folders/1MTIPgsZYYboZLnNfwvdkSCjJCc_VsqUT"
"""Linked from https://github.com/zide05/MTG."""
_LANGUAGES = ("eng_Latn", "deu_Latn", "spa_Latn", "fra_Latn", "zho_Hans")


def _mtg(task: str, *, title: str, their_name: str, source: str, target: str) -> BenchmarkSet:
    """One task; `source` and `target` say what stands in these fields."""
    return BenchmarkSet(
        name=f"mtg_{task}",
        title=f"MTG: {title}",
        source="Chen et al. 2022, arXiv 2108.07140",
        license="unknown",
        languages={code: code for code in _LANGUAGES},
        kind="generation",
        task="mtg.yaml",
        scored="test",
        metrics=(Metric("rouge", "mean"),),
        forms=(Form({"test": "{language}.jsonl"}, "source and target"),),
        fetch=(
            f"gdown --folder {DRIVE}  # then write the test items of {their_name} into a folder, "
            f"as {', '.join(f'{code}.jsonl' for code in _LANGUAGES)}: a line an item, "
            f'{{"source": {source}, "target": {target}}}'
        ),
        base_shots=1,
        answers_below=True,
    )


GENERATION = (
    _mtg(
        "story",
        title="the end of a story",
        their_name="story generation (SG)",
        source="the story without its end",
        target="its end",
    ),
    _mtg(
        "title",
        title="the title of an article",
        their_name="title generation (TG)",
        source="the article",
        target="its title",
    ),
    _mtg(
        "question",
        title="the question to a passage and its answer",
        their_name="question generation (QG)",
        source="the passage, and its answer in a line after it",
        target="the question",
    ),
    _mtg(
        "summary",
        title="the summary of a text",
        their_name="text summarization (Summ)",
        source="the text",
        target="its summary",
    ),
)
