"""A step leads to its documents and a document to its steps, on tokens that `encode` made."""

from __future__ import annotations

from collections import defaultdict

import pytest

from polylm_core.artifacts import Mixture, TokenSet
from polylm_core.document_map import DocumentMap
from polylm_core.errors import StageError
from polylm_core.stages.pretrain.data import curriculum_data
from polylm_core.training.trace import Trace
from tests.encoded import PRETRAIN, make_encoded


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenSet, Mixture]:
    return make_encoded(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def trace(made: tuple[TokenSet, Mixture]) -> Trace:
    tokens, mixture = made
    return Trace(curriculum_data(PRETRAIN, tokens, mixture), 7, tokens=tokens.path)


def steps(trace: Trace) -> range:
    return range(1, trace.order.num_steps + 1)


def test_the_documents_of_a_step_hold_its_targets(
    made: tuple[TokenSet, Mixture], trace: Trace
) -> None:
    tokens, _ = made
    for step in (1, 2, trace.order.num_steps):
        targets: dict[int, list[int]] = defaultdict(list)
        for sight in trace.step(step):
            name = "-".join(sight.document.languages)
            with DocumentMap(tokens.path / "train" / name) as documents:
                assert documents.at(sight.begin) == documents.at(sight.end - 1) == sight.document
                targets[sight.row] += documents.file.tokens[sight.begin : sight.end].tolist()
        batch = trace.order.batch(step - 1)
        assert [targets[row] for row in range(8)] == batch.targets_BT.tolist()


def test_the_steps_of_a_document_are_those_that_list_it(trace: Trace) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    for step in steps(trace):
        for document in dict.fromkeys((s.row, s.document.id) for s in trace.step(step)):
            seen[document[1]].append(step)
    assert len(seen) > 50
    repeated = [document for document, found in seen.items() if len(set(found)) > 1]
    assert repeated
    for document in [*repeated[:10], *list(seen)[:10]]:
        _, readings = trace.document(document)
        assert [reading.step for reading in readings] == seen[document]


def test_a_step_tells_its_stage_languages_and_sources(trace: Trace) -> None:
    assert {trace.stage(step) for step in steps(trace)} == {"early", "late"}
    assert (trace.stage(1), trace.stage(trace.order.num_steps)) == ("early", "late")
    seen = {sight.document.languages for step in steps(trace) for sight in trace.step(step)}
    assert {("deu_Latn",), ("eng_Latn",), ("eng_Latn", "deu_Latn")} <= seen


@pytest.mark.parametrize("step", [0, -3, 10_000])
def test_a_step_that_is_not_there_is_refused_with_those_that_are(trace: Trace, step: int) -> None:
    with pytest.raises(StageError, match=rf"the run has the steps 1 to {trace.order.num_steps}"):
        trace.step(step)


def test_an_unknown_document_is_told_with_the_form_of_ids(trace: Trace) -> None:
    with pytest.raises(StageError, match=r"'invented/nowhere' is no document of .*polylm trace"):
        trace.document("invented/nowhere")


def test_a_held_out_document_is_told_to_be_unseen(trace: Trace) -> None:
    with pytest.raises(StageError, match="is held out: no step"):
        trace.document("invented/deu_Latn/held_out-0")


def test_a_document_of_a_language_that_is_not_trained_on_was_in_no_step(trace: Trace) -> None:
    span, readings = trace.document("invented/tha_Thai/train-0")
    assert span.languages == ("tha_Thai",)
    assert readings == []
