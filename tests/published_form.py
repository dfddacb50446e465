"""MultiAlpaca's published form through the stage, against an endpoint that answers from records.

`python -m tests.published_form FOLDER` runs it and says how long it took.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import yaml

from polylm_core.artifacts import DocumentSet, InstructionSet, ShardSet
from polylm_core.compute.backend import Backend
from polylm_core.settings import Endpoint
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.stage import instruct
from tests import recorded_tasks
from tests.architecture.closure import ROOT
from tests.openai_server import KEY, MODEL, serve_openai
from tests.support import SequentialBackend, make_run
from tests.unit.stages import instruct_inputs

RECIPE = ROOT / "recipes/polylm-multialpaca-13b.yaml"
KEY_VARIABLE = "TEACHER_KEY"


def make_config(rounds: int = 10, prompts: int = 100) -> InstructConfig:
    """The recipe's section, with a full first round too, and the model of the tests' server."""
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["instruct"]
    del content["translate"]  # seeds are written in each language here
    settings = content["self_instruct"]
    settings["teacher"] |= {"model": MODEL, "further_settings": ["seed"]}
    settings["teacher"]["budget"] = {"max_tokens": 1_000_000_000}
    settings["rounds"] = rounds
    settings["first_round_prompts"] = prompts
    settings["max_generated_tokens"] = (
        rounds * prompts * len(settings["languages"]) * settings["max_new_tokens"]
    )
    return InstructConfig.model_validate(content)


def run_stage(
    folder: Path,
    address: str,
    config: InstructConfig,
    *,
    name: str,
    concurrent: int = 8,
    backend: Backend | None = None,
) -> InstructionSet:
    """Make the set of a folder; answers are kept in it from one run to the next."""
    if not (folder / "00_sources").exists():
        recorded_tasks.write_seeds(folder / "00_sources/seed_tasks")
        instruct_inputs.make_documents(folder / "01_documents")
        instruct_inputs.make_shards(folder / "02_shards")
    endpoint = Endpoint(address=address, key_variable=KEY_VARIABLE, concurrent_requests=concurrent)
    run = replace(
        make_run(folder, languages=instruct_inputs.LANGUAGES, name=name),
        backend=backend or SequentialBackend(),
        endpoints={"teacher": endpoint},
    )
    documents = DocumentSet.load(folder / "01_documents")
    shards = ShardSet.load(folder / "02_shards")
    return instruct(config, documents, shards, folder / "00_sources", run)


def main(folder: str, rounds: str = "10", prompts: str = "100") -> None:
    """Run once with a server and once without, and say what each took."""
    os.environ[KEY_VARIABLE] = KEY
    config = make_config(int(rounds), int(prompts))
    with serve_openai(answer=recorded_tasks.seventeen_tasks) as served:
        for name, address in (("first", served.url), ("again", "http://127.0.0.1:9/v1")):
            start, spent = time.perf_counter(), time.process_time()
            made = run_stage(Path(folder), address, config, name=name)
            print(
                f"{name}: {time.perf_counter() - start:.1f} s, {time.process_time() - spent:.1f} "
                f"s of processor, {made.counts['train']} instructions, {made.fingerprint}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
