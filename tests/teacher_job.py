"""The `instruct` stage asking an endpoint, small: `python -m tests.teacher_job FOLDER ADDRESS`.

As a program it does what `flows.instruct` does around the stage, so that tests can kill it and
read everything that it writes.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from polylm_core.artifacts import DocumentSet, InstructionSet, ShardSet
from polylm_core.errors import PolyLMError
from polylm_core.progress import Progress, TerminalProgress
from polylm_core.settings import Endpoint
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.stage import instruct
from polylm_core.storage import fingerprint
from tests.openai_server import MODEL
from tests.support import TRAINING, SequentialBackend
from tests.unit.stages.instruct_inputs import LANGUAGES, make_documents, make_shards, make_sources

KEY_VARIABLE = "TEACHER_KEY"
WRITTEN_IN = ("eng_Latn", "deu_Latn")
ROUNDS = 3
PROMPTS_PER_ROUND = 8
NUM_PROMPTS = len(WRITTEN_IN) * ROUNDS * PROMPTS_PER_ROUND


TASKS = {
    "English": (
        ("Explain why leaves change colour.", "They lose the green pigment when days grow short."),
        ("Write a line about winter.", "In winter the days are short and it is very cold outside."),
        ("What do bakers need to make bread?", "They need flour, water, salt, yeast and patience."),
        ("Suggest a name for a small boat.", "The name Little Heron would suit a small boat well."),
        ("How can noise in an office be reduced?", "Carpets and heavy curtains swallow the sound."),
        ("Describe a busy market square.", "People shout, carts roll by and fruit is piled high."),
        (
            "Give advice for a first job interview.",
            "Arrive early, listen and answer honestly.",
        ),
        ("Summarise how rain forms.", "Warm air rises, cools down and its vapour becomes drops."),
    ),
    "German": (
        ("Erkläre, warum Blätter bunt werden.", "Im Herbst verlieren sie ihren grünen Farbstoff."),
        ("Beschreibe das Wetter im Winter.", "Im Winter ist es kalt und die Tage sind kurz."),
        ("Was braucht ein Bäcker für Brot?", "Er braucht Mehl, Wasser, Salz, Hefe und Geduld."),
        ("Schlage einen Namen für ein Boot vor.", "Der Name Kleiner Reiher passt zu dem Boot."),
        ("Wie wird es im Büro leiser?", "Teppiche und schwere Vorhänge schlucken den Lärm."),
        ("Gib Rat für ein Vorstellungsgespräch.", "Sei pünktlich, höre zu und antworte ehrlich."),
    ),
}
"""What the tests' teacher knows, by the language that a prompt asks for."""


def two_tasks(prompt: str, body: dict[str, Any]) -> str:
    """Go on in a prompt's list with two tasks that the seed chooses, as chat models do."""
    seed = int(body["seed"])
    known = TASKS["German" if "tasks in German" in prompt else "English"]
    shown = ["4. Instruction:" if seed % 2 else "", "5. Instruction:"]
    chosen = [known[seed % len(known)], known[seed // 8 % len(known)]]
    return "".join(
        f"{opening} {question}\n{number}. Input: <noinput>\n{number}. Output: {answer}\n"
        for number, opening, (question, answer) in zip((4, 5), shown, chosen, strict=True)
    )


def translate_or_write(prompt: str, body: dict[str, Any]) -> str:
    """Do what either a translator or a teacher is asked for."""
    if prompt.startswith("Translate "):
        return "译：" + prompt.split("\n---\n", 1)[1]
    return two_tasks(prompt, body)


def translating(config: InstructConfig) -> InstructConfig:
    """With the seed tasks in Chinese too, as the endpoint translates them."""
    teacher = config.model_dump()["self_instruct"]["teacher"]
    translate = {
        "translator": {**teacher, "max_new_tokens": 60},
        "languages": ["zho_Hans"],
        "round_trip_samples": 4,
    }
    changes = {"taco": {"pairs_per_language": 0}, "translate": translate}
    return InstructConfig.model_validate(config.model_dump() | changes)


def make_config(max_tokens: int = 1_000_000) -> InstructConfig:
    """Settings of a set in which a teacher writes in two languages."""
    return InstructConfig.model_validate(
        {
            "revision": 1,
            "min_words": 4,
            "max_words": 22,
            "max_chat_bytes": 640,
            "held_out_per_language": 5,
            "cross_lingual": {
                "hubs": {"eng_Latn": 20},
                "to_hub_share": 0.25,
                "native_share": 0.7,
                "pairs_per_further_language": 3,
                "max_further_chat_bytes": 300,
                "continuations_per_language": 4,
            },
            "self_instruct": {
                "teacher": {
                    "kind": "openai",
                    "endpoint": "teacher",
                    "model": MODEL,
                    "form": "chat",
                    "prices": {
                        "per_million_prompt_tokens": 500.0,
                        "per_million_answer_tokens": 1500.0,
                    },
                    "budget": {"max_tokens": max_tokens},
                    "license": "CC0-1.0",
                },
                "languages": list(WRITTEN_IN),
                "languages_per_batch": 1,
                "max_generated_tokens": NUM_PROMPTS * 100,
                "rounds": ROUNDS,
                "tasks_per_prompt": 2,
                "max_new_tokens": 100,
                "max_demonstration_bytes": 150,
                "temperature": 0.7,
                "top_k": 40,
                "max_redundancy": 0.5,
                "max_redundancy_by_language": {},
                "max_similarity": 0.7,
            },
        }
    )


def run_stage(
    folder: Path,
    address: str,
    config: InstructConfig,
    *,
    concurrent: int = 4,
    name: str = "set",
    progress: Progress | None = None,
) -> InstructionSet:
    """Make the set; its work folder is of the parameters, as that of the flow."""
    shards, sources = folder / "02_shards", folder / "00_sources"
    documents = folder / "01_documents"
    work = folder / f"work-{fingerprint(config.model_dump(mode='json'))[:16]}"
    work.mkdir(parents=True, exist_ok=True)
    endpoint = Endpoint(
        address=address,
        key_variable=KEY_VARIABLE,
        concurrent_requests=concurrent,
        timeout_seconds=1.0,
        first_wait_seconds=0.02,
        longest_wait_seconds=0.1,
    )
    run = StageRun(
        seed=7,
        languages=LANGUAGES,
        out=folder / name,
        work=work,
        kept=folder / "kept",
        backend=SequentialBackend(),
        progress=progress or TerminalProgress(),
        training=TRAINING,
        endpoints={"teacher": endpoint},
    )
    return instruct(
        config,
        DocumentSet.load(documents) if documents.exists() else make_documents(documents),
        ShardSet.load(shards) if shards.exists() else make_shards(shards),
        sources if sources.exists() else make_sources(sources),
        run,
    )


def main(folder: str, address: str, kind: str = "") -> int:
    """Make the set of a folder; tell of an error more than the flow does."""
    config = make_config()
    try:
        run_stage(Path(folder), address, translating(config) if kind == "translating" else config)
    except PolyLMError as error:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
        print(*seen.format(), f"error: {error}", sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
