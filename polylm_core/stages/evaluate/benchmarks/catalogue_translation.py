"""Sets of the catalogue for translation, from English and into it.

PolyLM asks with the sentence and `Translate this sentence from X to Y.` (arXiv 2307.06018, appendix
B), one example for the base model. A set has two names, one a direction.
"""

from __future__ import annotations

from collections.abc import Mapping

from polylm_core.languages import ENGLISH, load_languages
from polylm_core.stages.evaluate.benchmarks.benchmark_set import BenchmarkSet, Form, Metric
from polylm_core.stages.evaluate.benchmarks.catalogue_understanding import by_code

DIRECTIONS = ("from_english", "into_english")
_CHRF, _SPBLEU, _BLEU = (
    Metric("chrf++", "corpus chrf++"),
    Metric("spbleu", "corpus spbleu"),
    Metric("bleu", "corpus bleu"),
)


def _both_ways(
    name: str,
    title: str,
    *,
    source: str,
    license: str,
    languages: Mapping[str, str],
    metrics: tuple[Metric, ...],
    globs: Mapping[str, tuple[str, ...]],
    read: str,
    fetch: str,
    english: Mapping[str, str] | None = None,
) -> list[BenchmarkSet]:
    """A set for each direction.

    `globs` has the files of the scored split, the first form first; `english` the file that is read
    beside each.
    """
    return [
        BenchmarkSet(
            name=f"{name}_{direction}",
            title=title,
            source=source,
            license=license,
            languages=languages,
            kind="generation",
            task="translation.yaml",
            scored="test",
            metrics=metrics,
            forms=tuple(
                Form({"test": glob}, f"{read} {direction}", (english[glob],) if english else ())
                for glob in globs[direction]
            ),
            fetch=fetch,
            base_shots=1,
            answers_below=True,
        )
        for direction in DIRECTIONS
    ]


_FLORES_FILES = ("devtest/{language}.devtest", "dev/{language}.dev")
_TATOEBA_FILE = "tatoeba.{language}-eng.{language}"
_FLORES = _both_ways(
    "flores200",
    "FLORES-200: sentences of Wikimedia (devtest, or dev where that alone is there)",
    source="NLLB team 2022, arXiv 2207.04672",
    license="CC-BY-SA-4.0",
    languages={code: code for code in load_languages() if code != ENGLISH},
    metrics=(_CHRF, _SPBLEU),
    globs=dict.fromkeys(DIRECTIONS, _FLORES_FILES),
    read="flores lines",
    english={file: file.replace("{language}", ENGLISH) for file in _FLORES_FILES},
    fetch=(
        "curl -LO https://dl.fbaipublicfiles.com/nllb/flores200_dataset.tar.gz && "
        "tar xf flores200_dataset.tar.gz"
    ),
)

_TATOEBA = _both_ways(
    "tatoeba",
    "Tatoeba: short sentences of volunteers, as in LASER",
    source="Artetxe and Schwenk 2019, arXiv 1812.10464",
    license="CC-BY-2.0",
    languages=by_code(
        """
        afr=afr_Latn sqi=als_Latn amh=amh_Ethi ara=arb_Arab arz=arz_Arab ast=ast_Latn
        awa=awa_Deva aze=azj_Latn bel=bel_Cyrl ben=ben_Beng bos=bos_Latn bul=bul_Cyrl
        cat=cat_Latn ceb=ceb_Latn ces=ces_Latn cym=cym_Latn dan=dan_Latn deu=deu_Latn
        ell=ell_Grek epo=epo_Latn est=est_Latn eus=eus_Latn fao=fao_Latn fin=fin_Latn
        fra=fra_Latn gla=gla_Latn gle=gle_Latn glg=glg_Latn heb=heb_Hebr hin=hin_Deva
        hrv=hrv_Latn hun=hun_Latn hye=hye_Armn ind=ind_Latn isl=isl_Latn ita=ita_Latn
        jav=jav_Latn jpn=jpn_Jpan kab=kab_Latn kat=kat_Geor kaz=kaz_Cyrl mon=khk_Cyrl
        khm=khm_Khmr kur=kmr_Latn kor=kor_Hang lit=lit_Latn lvs=lvs_Latn mal=mal_Mlym
        mar=mar_Deva mkd=mkd_Cyrl nld=nld_Latn nno=nno_Latn nob=nob_Latn oci=oci_Latn
        pes=pes_Arab pol=pol_Latn por=por_Latn ron=ron_Latn rus=rus_Cyrl slk=slk_Latn
        slv=slv_Latn spa=spa_Latn srp=srp_Cyrl swe=swe_Latn swh=swh_Latn tam=tam_Taml
        tat=tat_Cyrl tel=tel_Telu tgl=tgl_Latn tha=tha_Thai tuk=tuk_Latn tur=tur_Latn
        uig=uig_Arab ukr=ukr_Cyrl urd=urd_Arab uzb=uzn_Latn vie=vie_Latn war=war_Latn
        xho=xho_Latn yid=ydd_Hebr yue=yue_Hant cmn=zho_Hans zsm=zsm_Latn
        """
    ),
    metrics=(_CHRF, _SPBLEU),
    globs=dict.fromkeys(DIRECTIONS, (_TATOEBA_FILE,)),
    read="tatoeba lines",
    english={_TATOEBA_FILE: "tatoeba.{language}-eng.eng"},
    fetch=("git clone --depth 1 https://github.com/facebookresearch/LASER  # data/tatoeba/v1"),
)

_WMT20 = _both_ways(
    "wmt20",
    "WMT20: news",
    source="Barrault et al. 2020, WMT20 findings",
    license="LicenseRef-WMT-research",
    languages=by_code("de=deu_Latn ja=jpn_Jpan ru=rus_Cyrl zh=zho_Hans"),
    metrics=(_BLEU,),
    globs={"from_english": ("en-{language}.tsv",), "into_english": ("{language}-en.tsv",)},
    read="pair table",
    fetch=(
        "for l in de ja ru zh; do for p in en-$l $l-en; do "
        "sacrebleu -t wmt20 -l $p --echo src ref > $p.tsv; done; done"
    ),
)

TATOEBA_CODES = {own: code for code, own in _TATOEBA[0].languages.items()}
"""FLORES-200 codes by those of Tatoeba."""
TRANSLATION = (*_FLORES, *_TATOEBA, *_WMT20)
