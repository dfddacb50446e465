"""`polylm trace`: the documents of a step, the steps of a document.

What computes is imported where it is called, so that the other commands do not pay for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polylm_core.artifacts import BaseModelFolder, Mixture, Tokenizer, TokenSet
from polylm_core.cli.whole import whole
from polylm_core.errors import CorruptArtifactError, MissingArtifactError, ParamsError, Problem
from polylm_core.params import Params
from polylm_core.pipeline import STAGES, identity
from polylm_core.stages.pretrain.config import PretrainConfig
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig

if TYPE_CHECKING:
    from polylm_core.training.trace import Trace


def of_step(root: Path, recipe: Params, step: int) -> dict[str, Any]:
    """Return what a step saw: its documents row by row, then sums by language and source."""
    tokens, mixture = _inputs(root)
    trace = _trace(recipe, tokens, mixture)
    rows, sums = list[dict[str, Any]](), Counter[tuple[str, str]]()
    for sight in trace.step(step):
        languages = "+".join(sight.document.languages)
        source = sight.document.id.partition("/")[0]
        seen = {"row": sight.row, "languages": languages, "source": source, "tokens": sight.tokens}
        rows.append({**seen, "document": sight.document.id})
        sums[languages, source] += sight.tokens
    return {
        "step": step,
        "steps": trace.order.num_steps,
        "curriculum_stage": trace.stage(step),
        "remarks": _remarks(root, recipe, tokens, mixture, [step]),
        "documents": rows,
        "together": [
            {"languages": languages, "source": source, "tokens": count}
            for (languages, source), count in sorted(sums.items())
        ],
    }


def of_document(root: Path, recipe: Params, document: str) -> dict[str, Any]:
    """Return the steps that saw a document; none where the mixture does not get that far."""
    tokens, mixture = _inputs(root)
    trace = _trace(recipe, tokens, mixture)
    span, readings = trace.document(document)
    remarks = _remarks(root, recipe, tokens, mixture, [seen.step for seen in readings])
    if not readings:
        remarks.append(
            f"no step of {trace.order.num_steps:,} saw it: the mixture does not get that far"
        )
    return {
        "document": document,
        "stream": "-".join(span.languages),
        "first_token": span.begin,
        "end_token": span.end,
        "remarks": remarks,
        "seen": [
            {
                "step": seen.step,
                "stage": trace.stage(seen.step),
                "epoch": seen.epoch + 1,
                "first_token_of_window": seen.first,
            }
            for seen in readings
        ],
    }


def _inputs(root: Path) -> tuple[TokenSet, Mixture]:
    tokens = TokenSet.open(whole(root, root / STAGES["encode"].out))
    mixture = Mixture.load(whole(root, root / STAGES["mix"].out))
    mixture.require_made_from("encode", tokens)
    return tokens, mixture


def _trace(recipe: Params, tokens: TokenSet, mixture: Mixture) -> Trace:
    from polylm_core.stages.pretrain.data import curriculum_data
    from polylm_core.training.trace import Trace

    data = curriculum_data(_trained(recipe), tokens, mixture)
    return Trace(data, recipe.seed, tokens=tokens.path)


def _trained(recipe: Params) -> PretrainConfig:
    """Return how the base is trained; raises ParamsError for one that is imported."""
    if isinstance(recipe.pretrain, ImportedBaseConfig):
        message = "the base model is imported: no step here saw a document"
        raise ParamsError("params.yaml", [Problem("pretrain.imported", message)])
    return recipe.pretrain


def _remarks(
    root: Path, recipe: Params, tokens: TokenSet, mixture: Mixture, steps: Iterable[int]
) -> list[str]:
    """Say which of these steps the run left out, or that the base model there is of another run."""
    declared = _trained(recipe).skip_steps
    work = _work(root, recipe, tokens, mixture)
    if work is not None and work.is_dir():  # the model's folder is not there while it is trained
        return _left_out(work, declared, steps)
    path = root / STAGES["pretrain"].out
    try:
        base = BaseModelFolder.open(path).manifest
    except (MissingArtifactError, CorruptArtifactError):  # a trace does not need it
        return _left_out(path, declared, steps)
    params = {"seed": recipe.seed, "languages": list(recipe.languages)}
    same = base.params == {**params, **_trained(recipe).model_dump(mode="json")} and all(
        base.inputs.get(name) == artifact.fingerprint
        for name, artifact in (("encode", tokens), ("mix", mixture))
    )
    if not same:
        return [f"{path} is of other parameters or tokens: this is not its run"]
    return _left_out(path, declared, steps)


def _work(root: Path, recipe: Params, tokens: TokenSet, mixture: Mixture) -> Path | None:
    """Return the folder of the run that these inputs give; none where one of them is not there."""
    stage = STAGES["pretrain"]
    try:
        tokenizer = Tokenizer.open(whole(root, root / STAGES["vocab"].out))
    except (MissingArtifactError, CorruptArtifactError):
        return None
    inputs = {"vocab": tokenizer, "encode": tokens, "mix": mixture}
    return root / stage.work(identity(stage, recipe, inputs, None))


def _left_out(folder: Path, declared: Sequence[tuple[int, int]], steps: Iterable[int]) -> list[str]:
    """Tell which of these steps were left out of training, by the params or by the guard."""
    from polylm_core.training.skips import SKIPS_FILE, Skips

    skips = Skips(folder / SKIPS_FILE, declared)
    left_out = [f"{step:,}" for step in steps if step in skips]
    return [f"left out of training: step {', '.join(left_out)}"] if left_out else []
