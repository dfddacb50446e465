"""Run datatrove on a sample; started with the Python of datatrove's own environment.

    python run_datatrove.py {pipeline,decisions,near} SAMPLE OUT [--workers N] [--words shared]

SAMPLE holds `<language>/<NNNNN>.parquet` with columns id and text, and `settings.json` with what
each language needs: datatrove's code, the fastText label, the filters' arguments, the shingle
length. OUT gets `timings.json` and `decisions.jsonl`, one line a document. `pipeline` is the whole
chain, as fineweb-2 runs it: a pipeline a language. `decisions` asks each filter on its own, on the
untouched text. `near` does the four MinHash steps only.
"""

import argparse
import json
import re
import time
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.lid import FT176LID
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

FILTERS = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": C4QualityFilter,
    "fineweb": FineWebQualityFilter,
}


class SharedWords(WordTokenizer):
    """Whitespace words, or characters where no spaces stand between words; a line is a sentence."""

    def __init__(self, language: str, has_spaces: bool):
        super().__init__(language)
        self.has_spaces = has_spaces

    def word_tokenize(self, text: str) -> list[str]:
        """Return the words."""
        return text.split() if self.has_spaces else list("".join(text.split()))

    def sent_tokenize(self, text: str) -> list[str]:
        """Return the lines."""
        return text.split("\n")

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Return where the lines are."""
        ends = [match.end() for match in re.finditer("\n|$", text)]
        return list(zip([0, *ends], ends, strict=False))


class LocalModel(FT176LID):
    """The same lid.176 model as ours, from a file instead of a download."""

    path = ""

    @property
    def model(self):
        """The loaded model."""
        if self._model is None:
            from fasttext.FastText import _FastText

            self._model = _FastText(self.path)
        return self._model

    def __deepcopy__(self, memo: dict) -> "LocalModel":
        return self  # an executor copies its pipeline, and a loaded model cannot be copied

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_model": None}  # another process loads it again


def word_tokenizer(setting: dict, words: str) -> WordTokenizer:
    """Return datatrove's tokenizer of the language, loaded, or the shared rule."""
    if words == "shared":
        return SharedWords(setting["code"], setting["has_spaces"])
    tokenizer = load_word_tokenizer(setting["code"])
    tokenizer.word_tokenize("Loaded before the clock starts.")
    # An executor copies its pipeline; the copies need not load the same dictionary again.
    tokenizer.__deepcopy__ = lambda memo: tokenizer
    return tokenizer


def language_filter(setting: dict, model: str, writer: JsonlWriter | None) -> LanguageFilter:
    """Return the filter with the given model, loaded."""
    step = LanguageFilter(
        languages=setting["lid_labels"],
        language_threshold=setting["min_confidence"],
        exclusion_writer=writer,
    )
    step.model = LocalModel(setting["lid_labels"])
    step.model.path = model
    step.model.model  # noqa: B018 - loaded before the clock starts
    return step


class Chain:
    """The pipelines of one language, one after the other."""

    def __init__(self, folder: Path, out: Path, setting: dict, arguments: argparse.Namespace):
        self.folder, self.out, self.setting = folder, out / folder.name, setting
        self.workers, self.model = arguments.workers, arguments.model
        self.tokenizer = word_tokenizer(setting, arguments.words)
        self.tasks = len(list(folder.glob("*.parquet")))
        self.seconds: dict[str, float] = {}

    def run(self, phase: str, pipeline: list, tasks: int) -> None:
        """Run a pipeline and add its seconds to the phase."""
        begin = time.perf_counter()
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=min(self.workers, tasks),
            logging_dir=str(self.out / "logs" / phase),
        ).run()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begin

    def excluded(self, name: str) -> JsonlWriter:
        """Return where a filter writes what it drops."""
        return JsonlWriter(str(self.out / "removed" / name), compression=None)

    def filters(self) -> None:
        """Run the filters in one pipeline."""
        steps = [language_filter(self.setting, self.model, self.excluded("language"))]
        for name, kind in FILTERS.items():
            steps.append(
                kind(
                    **self.setting["filters"][name],
                    language=self.tokenizer,
                    exclusion_writer=self.excluded(name),
                )
            )
        reader = ParquetReader(str(self.folder), read_metadata=False)
        writer = JsonlWriter(str(self.out / "filtered"), compression=None)
        self.run("filters", [reader, *steps, writer], self.tasks)

    def near(self, reader) -> None:
        """Run the four MinHash steps on what the reader reads."""
        config = MinhashConfig(
            n_grams=self.setting["shingle"], hash_config=HashConfig(precision=64)
        )
        signatures, buckets, clusters = (str(self.out / n) for n in ("sigs", "buckets", "clusters"))
        signature = MinhashDedupSignature(signatures, config, language=self.tokenizer)
        self.run("signatures", [reader, signature], self.tasks)
        pairs = MinhashDedupBuckets(signatures, buckets, config=config)
        self.run("buckets", [pairs], config.num_buckets)
        cluster = MinhashDedupCluster(buckets, clusters, config=config, save_cluster_id=True)
        self.run("cluster", [cluster], 1)
        drop = MinhashDedupFilter(
            clusters, exclusion_writer=self.excluded("near-duplicates"), load_cluster_ids=False
        )
        kept = JsonlWriter(str(self.out / "kept"), compression=None)
        self.run("remove", [reader, drop, kept], self.tasks)

    def decisions(self) -> list[dict]:
        """One row a document: the filter that dropped it, or none."""
        language, rows = self.folder.name, []
        for path in sorted(self.out.glob("removed/*/*.jsonl")):
            for line in path.read_text().splitlines():
                document = json.loads(line)
                reason = document["metadata"].get("filter_reason", path.parent.name)
                rows.append(_row(document["id"], language, path.parent.name, reason))
        for path in sorted(self.out.glob("kept/*.jsonl")):
            for line in path.read_text().splitlines():
                rows.append(_row(json.loads(line)["id"], language, None, None))
        return rows


def _row(identifier: str, language: str, dropped_by: str | None, reason: str | None) -> dict:
    return {"id": identifier, "language": language, "filter": dropped_by, "reason": reason}


def whole(chain: Chain) -> list[dict]:
    """Run filters and MinHash."""
    chain.filters()
    if any(chain.out.glob("filtered/*")):  # its reader refuses a folder without files
        chain.near(JsonlReader(str(chain.out / "filtered"), compression=None))
    return chain.decisions()


def near(chain: Chain) -> list[dict]:
    """Run MinHash on the sample itself."""
    chain.near(ParquetReader(str(chain.folder), read_metadata=False))
    return chain.decisions()


def independent(chain: Chain) -> list[dict]:
    """Each filter's verdict on the same text; the reason, or null where the document is kept."""
    begin = time.perf_counter()
    steps = {
        name: kind(**chain.setting["filters"][name], language=chain.tokenizer)
        for name, kind in FILTERS.items()
    }
    rows = []
    for document in ParquetReader(str(chain.folder), read_metadata=False)():
        text, verdicts = document.text, {}
        for name, step in steps.items():
            document.text = text
            verdict = step.filter(document)
            verdicts[name] = verdict[1] if isinstance(verdict, tuple) else None
        rows.append({"id": document.id, "language": chain.folder.name, "reasons": verdicts})
    chain.seconds["filters"] = time.perf_counter() - begin
    return rows


def main() -> None:
    """Run one mode on every language of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["pipeline", "decisions", "near"])
    parser.add_argument("sample", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="", help="path of lid.176.ftz")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--words", choices=["default", "shared"], default="default")
    arguments = parser.parse_args()
    settings = json.loads((arguments.sample / "settings.json").read_text("utf-8"))
    work = {"pipeline": whole, "decisions": independent, "near": near}[arguments.mode]
    arguments.out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, dict[str, float]] = {}
    with (arguments.out / "decisions.jsonl").open("w") as file:
        for language, setting in settings.items():
            chain = Chain(arguments.sample / language, arguments.out, setting, arguments)
            for row in work(chain):
                file.write(json.dumps(row) + "\n")
            seconds[language] = chain.seconds
    (arguments.out / "timings.json").write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    main()
