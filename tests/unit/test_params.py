"""The recipe: every mistake at once, with its dotted path and the value seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.errors import ParamsError
from polylm_core.params import load_params

TINY = Path(__file__).parents[1] / "recipes/tiny.yaml"


def written(folder: Path, **changes: Any) -> Path:
    content = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        section = content
        for name in parents:
            section = section[name]
        section[last] = value
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_three_mistakes_are_told_together(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        languages=["eng_Latn", "por_Latin"],
        mix__tokens=0,
        finetune__max_gradient_norm="many",
    )
    with pytest.raises(ParamsError) as caught:
        load_params(file)
    assert {problem.location for problem in caught.value.problems} == {
        "languages.1",
        "mix.tokens",
        "finetune.max_gradient_norm",
    }
    text = str(caught.value)
    assert "por_Latn" in text, "the nearest known code is offered"
    assert "(got 0)" in text
    assert "'many'" in text


def test_a_wrong_code_of_a_language_is_told_alike_with_its_place(tmp_path: Path) -> None:
    declared = {"license": "MIT", "files": {"a.jsonl": "0" * 64}}
    translate = {
        "translator": {"kind": "table", "license": "MIT"},
        "languages": ["spa_Latn", "por_Latin"],
    }
    columns = {"language_column": "lang", "languages": {"pt": "por_Latin"}}
    file = written(
        tmp_path,
        ingest__sources__books={"format": "jsonl", **declared, **columns},
        instruct__imports={"alpaca": {"format": "columns", **declared, "language": "por_Latin"}},
        instruct__translate=translate,
    )
    with pytest.raises(ParamsError) as caught:
        load_params(file)
    problems = {problem.location: problem for problem in caught.value.problems}
    assert problems.keys() == {
        "ingest.sources.books.languages.pt",
        "instruct.imports.alpaca.language",
        "instruct.translate.languages.1",
    }
    assert {problem.value for problem in problems.values()} == {"por_Latin"}
    (told,) = {problem.message for problem in problems.values()}
    assert "unknown language 'por_Latin'; did you mean por_Latn" in told


def test_a_name_that_does_not_exist_is_told_with_its_path(tmp_path: Path) -> None:
    file = written(tmp_path, pretrain__optimizer__peak_learning_rat=0.1)
    with pytest.raises(ParamsError, match=r"pretrain\.optimizer\.peak_learning_rat"):
        load_params(file)


def test_a_wrong_item_does_not_make_its_list_too_short(tmp_path: Path) -> None:
    phase = {**yaml.safe_load(TINY.read_text())["finetune"]["phases"][0], "learning_rat": 0.1}
    with pytest.raises(ParamsError) as caught:
        load_params(written(tmp_path, finetune__phases=[phase]))
    assert "has 1 problem" in str(caught.value)
    assert "finetune.phases.0.learning_rat: " in str(caught.value)
    with pytest.raises(ParamsError, match=r"finetune\.phases: .* at least 1 item"):
        load_params(written(tmp_path, finetune__phases=[]))


def test_a_limit_of_a_filter_that_does_not_exist_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, curate__max_drop_share={"near-duplicate": 0.3})
    with pytest.raises(ParamsError, match=r"curate\.max_drop_share.*near-duplicates"):
        load_params(file)


def test_a_source_that_is_not_declared_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, curate__held_out__share_by_source={"udrh": 0.1})
    with pytest.raises(ParamsError, match=r"share_by_source: no source .*udhr.*\(got 'udrh'\)"):
        load_params(file)


PHASE = {
    "name": "german",
    "method": {
        "kind": "lora",
        "rank": 2,
        "alpha": 4,
        "dropout": 0.0,
        "target_modules": ["c_attn"],
    },
    "learning_rate": 0.001,
    "warmup_share": 0.0,
    "weight_decay": 0.0,
    "epochs": 1,
    "global_batch_tokens": 1024,
}


def test_names_of_other_sections_that_stand_for_nothing_are_told_together(tmp_path: Path) -> None:
    phase = PHASE | {"origins": ["tacos"], "languages": ["swh_Latn"]}
    file = written(
        tmp_path,
        finetune__phases=[phase],
        evaluate__adapter="germna",
        instruct__cross_lingual__pairs_per_further_language=0,
    )
    with pytest.raises(ParamsError) as told:
        load_params(file)
    lines = str(told.value).splitlines()[1:]
    assert [line.split(": ")[0].strip() for line in lines] == [
        "finetune.phases.0.origins",
        "finetune.phases.0.languages",
        "evaluate.adapter",
    ]
    assert "taco-plain" in lines[0]
    assert "(got 'tacos')" in lines[0]
    assert "eng_Latn" in lines[1]
    assert "there are german (got 'germna')" in lines[2]


def test_tasks_from_pairs_may_be_in_languages_beyond_the_recipe_s(tmp_path: Path) -> None:
    phases = [PHASE | {"languages": ["swh_Latn"]}]
    recipe = {"finetune__phases": phases, "evaluate__adapter": "german"}
    further = {"instruct__cross_lingual__pairs_per_further_language": 1}
    load_params(written(tmp_path, **recipe, **further))


def test_the_adapter_to_evaluate_has_to_be_stated_where_nothing_else_is_trained(
    tmp_path: Path,
) -> None:
    with pytest.raises(ParamsError, match=r"evaluate\.adapter: .* state german"):
        load_params(written(tmp_path, finetune__phases=[PHASE]))
    load_params(written(tmp_path, finetune__phases=[PHASE], evaluate__adapter="german"))


def test_a_budget_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"mix\.max_epochs.*finite"):
        load_params(written(tmp_path, mix__max_epochs=float("inf")))


def test_a_language_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="deu_Latn is listed more than once"):
        load_params(written(tmp_path, languages=["eng_Latn", "deu_Latn", "deu_Latn"]))


def test_a_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("seed: 1\ningest:\n  sources: {a: 1}\nseed: 2\n")
    with pytest.raises(ParamsError, match=r"the key 'seed' stands twice(.|\n)*line 4"):
        load_params(file)


@pytest.mark.parametrize("content", ["", "- a\n", "seed: [1\n"])
def test_what_is_no_mapping_of_yaml_is_refused_without_a_traceback(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(content)
    with pytest.raises(ParamsError, match=r"params\.yaml has 1 problem"):
        load_params(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="does not exist"):
        load_params(tmp_path / "params.yaml")
