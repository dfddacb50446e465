"""The model card and the data cards, as the Hugging Face hub's own library reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from polylm_core.artifacts import Report
from polylm_core.errors import MissingArtifactError
from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.stages.report.hub import license_fields
from polylm_core.stages.report.stage import report
from tests.support import make_run
from tests.unit.stages.report_inputs import CONFIG, make_inputs, run_stage
from tests.unit.stages.report_text import DECLARED


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("cards")
    return run_stage(make_inputs(folder / "inputs"), folder)


@pytest.fixture(scope="module")
def card(made: Report) -> ModelCard:
    return ModelCard.load(made.path / "README.md")


def test_the_metadata_of_the_model_card_is_the_hubs(card: ModelCard) -> None:
    data = card.data
    assert data.language[:3] == ["zh", "en", "es"]
    assert len(data.language) == len(POLYLM_LANGUAGES)
    assert data.license == "apache-2.0"
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-generation"
    assert data.datasets == ["Helsinki-NLP/opus-100"], "what is no data set of the hub is no link"


def test_the_results_of_the_model_card_are_the_chat_models(card: ModelCard) -> None:
    results = {(row.dataset_type, row.metric_type): row for row in card.data.eval_results}
    assert ("translation", "chrf_from_english") in results
    assert ("translation_choice", "acc") not in results, "that one is the base model's"
    assert results["answers", "stopped_share"].metric_value == 0.95


def test_the_model_card_has_its_tables_and_leads_to_the_data_cards(
    made: Report, card: ModelCard
) -> None:
    assert card.text.strip().startswith("# polylm-laptop")
    assert len([line for line in card.text.splitlines() if line.startswith("|")]) > 60
    for source in DECLARED:
        assert f"(data_cards/{source}.md)" in card.text
        assert (made.path / "data_cards" / f"{source}.md").is_file()


def test_a_model_that_was_gone_on_from_is_named(tmp_path: Path) -> None:
    begun = {"uri": "hf://HuggingFaceTB/SmolLM2-135M@" + "0" * 40, "license": "apache-2.0"}
    made = run_stage(make_inputs(tmp_path / "inputs", base_params={"init_from": begun}), tmp_path)
    card = ModelCard.load(made.path / "README.md")
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M"
    assert "trained further from HuggingFaceTB/SmolLM2-135M" in card.text
    page = (made.path / "report.html").read_text(encoding="utf-8")
    assert "from scratch" not in card.text + page
    assert "of which nobody here knows what it has read" in page


def test_the_card_loads_the_adapter_that_was_scored(made: Report, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs", score_params={"adapter": "spanish"})
    adapted = (run_stage(inputs, tmp_path).path / "README.md").read_text(encoding="utf-8")
    call = 'PeftModel.from_pretrained(model, folder, subfolder="adapters/spanish")'
    assert call in adapted
    assert "PeftModel" not in (made.path / "README.md").read_text(encoding="utf-8")


def test_a_data_card_tells_licence_origin_and_what_was_kept(made: Report) -> None:
    card = DatasetCard.load(made.path / "data_cards/libreoffice-help.md")
    assert card.data.license == "mpl-2.0"
    assert set(card.data.language) >= {"de", "ar", "zh"}
    assert "Text of libreoffice-help." in card.text
    assert f"| libreoffice-help | npm | 6.0.0 | {'b' * 64} |" in card.text
    row = next(line for line in card.text.splitlines() if "| deu_Latn |" in line)
    # 9 came in by the counts of `ingest`; 10 lie in the folder and 1 is held out.
    assert [cell.strip() for cell in row.split("|")[3:9:3]] == ["9", "11"]


def test_a_data_card_of_the_hub_names_the_commit(made: Report) -> None:
    text = (made.path / "data_cards/opus.md").read_text(encoding="utf-8")
    assert f"Helsinki-NLP/opus-100 of the Hugging Face hub at commit {'a' * 40}" in text
    assert "- translation" in text


def test_a_licence_that_the_hub_does_not_know_is_named() -> None:
    assert license_fields("MPL-2.0") == {"license": "mpl-2.0"}
    assert license_fields("Ours-1.0") == {"license": "other", "license_name": "ours-1.0"}


def test_a_source_without_its_description_is_named(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs")
    run = make_run(tmp_path, languages=POLYLM_LANGUAGES, name="10_report")
    with pytest.raises(MissingArtifactError, match=r"libreoffice-help/source\.yaml missing"):
        report(CONFIG, *inputs.all(), tmp_path / "nothing", run)  # type: ignore[arg-type]
