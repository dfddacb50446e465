"""The arithmetic behind `docs/howto/train-100m.md`: what the recipe takes, by formula.

`python -m tests.unit.recipes.plan` prints the tables of that page. Nothing here is measured but
bytes a token; what is assumed is named so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from polylm_core.languages import ENGLISH
from polylm_core.params import Params, load_params
from polylm_core.stages.mix.curriculum import StagePlan, solve_curriculum
from polylm_core.stages.pretrain.config import ModelConfig
from polylm_core.training.curriculum import windows_of_stage
from tests.architecture.closure import ROOT

MEASURED = json.loads((ROOT / "benchmarks/results/tokenizers.json").read_text(encoding="utf-8"))
BYTES_PER_TOKEN: Mapping[str, float] = MEASURED["by_exponent"]["0"]["bytes_per_token"]
"""On FLORES-200 dev, with 64,000 entries and equal shares of the sample, as in the recipe."""

ASSUMED_KEPT = 0.7
"""Share of the text that `curate` leaves; PolyLM loses 28.3 % to rules and models (section 3.1)."""
ASSUMED_WEB_BYTES = 9.7e9
"""Text of the first file of FineWeb-2 in a language: twice its 4.85 GB of Parquet."""
ASSUMED_EDU_BYTES = 45e9
"""Text of the sample: 10 billion tokens of GPT-2 at 4.5 bytes."""
ASSUMED_WIKIPEDIA_GIGABYTES = {
    "eng_Latn": 20,
    "rus_Cyrl": 10,
    "deu_Latn": 9.5,
    "fra_Latn": 8,
    "jpn_Jpan": 7,
    "spa_Latn": 6,
    "ita_Latn": 5,
    "arb_Arab": 3,
    "pol_Latn": 3,
    "por_Latn": 2.7,
    "zho_Hans": 2.7,
    "nld_Latn": 2.6,
    "heb_Hebr": 2,
    "vie_Latn": 1.6,
    "kor_Hang": 1.4,
    "ind_Latn": 1.1,
    "tha_Thai": 1,
    "tur_Latn": 1,
}
WIKIMATRIX_PAIRS = {  # tasks/WikiMatrix/list_of_bitexts.txt of facebookresearch/LASER
    "zho_Hans": 786_511,
    "rus_Cyrl": 1_661_908,
    "spa_Latn": 3_377_911,
    "deu_Latn": 1_573_437,
    "fra_Latn": 2_757_883,
    "ita_Latn": 2_126_083,
    "por_Latn": 2_461_557,
    "jpn_Jpan": 851_706,
    "vie_Latn": 1_073_751,
    "ind_Latn": 1_019_170,
    "pol_Latn": 668_646,
    "nld_Latn": 796_507,
    "arb_Arab": 999_762,
    "tur_Latn": 477_735,
    "heb_Hebr": 545_744,
    "kor_Hang": 306_900,
}
ASSUMED_TOKENS_PER_PAIR = 70
"""Two sentences of some 25 words, and a layout around them."""
ASSUMED_WIKIMEDIA_TOKENS = 3_000_000
"""Of the pairs that people translated, in each language."""

ASSUMED_MFU = 0.4
PEAK_FLOPS = {"A100": 312e12, "H100 SXM": 989e12}
"""Of dense bfloat16, by NVIDIA's data sheets."""


def assumed_languages(params: Params) -> dict[str, int]:
    """Tokens that each language may have after `curate` and `encode`."""
    sources = params.ingest.sources
    shares = {name: getattr(source, "share", 1.0) for name, source in sources.items()}
    found = {}
    for code in params.languages:
        web = ("fineweb-edu", ASSUMED_EDU_BYTES)
        if code != ENGLISH:
            web = ("fineweb-2", ASSUMED_WEB_BYTES)
        wiki = ASSUMED_WIKIPEDIA_GIGABYTES[code] * 1e9
        text = web[1] * shares[web[0]] + wiki * shares["wikipedia"]
        found[code] = int(text * ASSUMED_KEPT / BYTES_PER_TOKEN[code])
    return found


def assumed_pairs(params: Params) -> dict[str, int]:
    """Tokens that the pairs of each language may have."""
    return {
        f"{ENGLISH}-{code}": ASSUMED_WIKIMEDIA_TOKENS
        + int(WIKIMATRIX_PAIRS.get(code, 0) * ASSUMED_KEPT * ASSUMED_TOKENS_PER_PAIR)
        for code in params.languages
        if code != ENGLISH
    }


def solved(params: Params) -> list[StagePlan]:
    """The mixture, should the corpora be as assumed."""
    return solve_curriculum(params.mix, assumed_languages(params), assumed_pairs(params))


def steps(params: Params) -> list[int]:
    """Optimizer steps of each stage of the mixture."""
    context = params.pretrain.model.context_tokens
    batch = params.pretrain.global_batch_tokens // context
    return [
        sum(
            windows_of_stage(
                plan.tokens, context_tokens=context, global_batch_windows=batch
            ).values()
        )
        // batch
        for plan in solved(params)
    ]


def flops_per_token(model: ModelConfig, vocab_size: int) -> float:
    """Forward and backward: 6 a weight of a matrix product, and attention to half the context."""
    layers, hidden = model.num_layers, model.hidden_size
    weights = 12 * layers * hidden**2 + vocab_size * hidden
    return 6 * weights + 6 * layers * hidden * model.context_tokens


def training_flops(params: Params) -> float:
    """Of the whole of `pretrain`."""
    each = flops_per_token(params.pretrain.model, params.vocab.vocab_size or 0)
    return each * sum(steps(params)) * params.pretrain.global_batch_tokens


def activation_bytes(model: ModelConfig, sequences: int) -> int:
    """Of one micro-batch without recomputation: 34 a position, width and layer.

    Korthikanti et al. 2022 (arXiv 2205.05198), table 2, without the scores of attention, which
    fused attention does not keep.
    """
    return 34 * model.num_layers * model.hidden_size * model.context_tokens * sequences


def mixture_table(params: Params) -> Iterator[str]:
    """Each language with its tokens, those that are drawn, and how often it is read."""
    plans = solved(params)
    yield "| language | assumed | `base` | `multilingual` | epochs |"
    yield "|---|---|---|---|---|"
    streams = {**assumed_languages(params), "pairs": sum(assumed_pairs(params).values())}
    for name, available in streams.items():
        drawn = [
            sum(plan.tokens.get(pair, 0) for pair in assumed_pairs(params))
            if name == "pairs"
            else plan.tokens[name]
            for plan in plans
        ]
        base, multilingual = (f"{tokens / 1e6:,.0f}" for tokens in drawn)
        epochs = f"{sum(drawn) / available:.2f}"
        yield f"| {name} | {available / 1e6:,.0f} | {base} | {multilingual} | {epochs} |"


def hours_table(params: Params) -> Iterator[str]:
    """How long `pretrain` takes, for the assumed share of the peak and a lower one."""
    yield "| GPU | peak, TFLOP/s | hours at 40 % | hours at 25 % | tokens a second at 40 % |"
    yield "|---|---|---|---|---|"
    each = flops_per_token(params.pretrain.model, params.vocab.vocab_size or 0)
    for name, peak in PEAK_FLOPS.items():
        hours = [training_flops(params) / (peak * mfu) / 3600 for mfu in (ASSUMED_MFU, 0.25)]
        speed = f"{round(peak * ASSUMED_MFU / each, -3):,.0f}"
        yield f"| {name} | {peak / 1e12:.0f} | {hours[0]:.1f} | {hours[1]:.1f} | {speed} |"


if __name__ == "__main__":
    recipe = load_params(ROOT / "recipes/polylm-100m.yaml")
    print("\n".join([*mixture_table(recipe), "", *hours_table(recipe)]))
    print(f"steps {steps(recipe)}, {training_flops(recipe):.3g} floating-point operations")
    print(f"{flops_per_token(recipe.pretrain.model, 64000) / 1e6:.1f} million a token")
    print(f"activations {activation_bytes(recipe.pretrain.model, 32) / 1e9:.1f} GB")
