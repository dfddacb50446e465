from __future__ import annotations

from polylm_core.cli import reference
from polylm_core.params import Params
from polylm_core.settings import Profile
from tests.architecture.closure import ROOT


def test_the_reference_in_the_docs_is_that_of_the_code() -> None:
    written = (ROOT / "docs/params.md").read_text(encoding="utf-8")
    assert written == reference.markdown(), "run `make docs`"


def test_every_section_and_nested_field_is_in_it() -> None:
    text = reference.markdown()
    for name, field in Params.model_fields.items():
        assert f"`{name}`" in text, field
    assert "| `optimizer.peak_learning_rate` | number, > 0 | (required) |" in text
    assert "| `stages[].name` |" in text


def test_every_option_of_a_profile_is_in_it() -> None:
    chapter = reference.markdown().split("\n## Profile\n")[1]
    for name in Profile.model_fields:
        assert f"\n| `{name}` | " in chapter
    backend = '| `training.backend` | `local` or `ray` | `"ray"` | Where ranks run: '
    assert backend in chapter
    assert "\n| `training.checkpoints.keep_last` | integer, >= 1 | `2` | Newest" in chapter
    assert "\n| `endpoints[].address` | text | (required) | " in chapter


def test_a_row_has_exactly_four_cells() -> None:
    rows = [line for line in reference.markdown().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def test_each_model_of_a_choice_has_a_chapter() -> None:
    text = reference.markdown()
    chapter = text.split("### `ingest.sources` with `format: wikipedia`\n")[1].split("\n##")[0]
    assert "| `language` | text | (required) | The language of the wiki. |" in chapter
    assert "| `sides` | 2 of text | (required) |" not in chapter
    assert text.count("### `ingest.sources` with") == 11
