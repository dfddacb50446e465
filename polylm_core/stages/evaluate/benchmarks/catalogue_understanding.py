"""Further sets of the catalogue: understanding, and answers in a word or a number.

Revisions are commits of the hub that others have pinned too; Global MMLU's could not be learnt, so
its folder has to be named.
"""

from __future__ import annotations

from polylm_core.stages.evaluate.benchmarks.benchmark_set import BenchmarkSet, Form, Metric


def by_code(pairs: str) -> dict[str, str]:
    """A set's own codes by FLORES-200 code, from words such as `de=deu_Latn`."""
    codes = (pair.split("=") for pair in pairs.split())
    return {flores: own for own, flores in codes}


_XNLI = BenchmarkSet(
    name="xnli",
    title="XNLI: whether one sentence follows from another",
    source="Conneau et al. 2018, arXiv 1809.05053",
    license="CC-BY-NC-4.0",
    languages=by_code(
        "ar=arb_Arab bg=bul_Cyrl de=deu_Latn el=ell_Grek en=eng_Latn es=spa_Latn fr=fra_Latn "
        "hi=hin_Deva ru=rus_Cyrl sw=swh_Latn th=tha_Thai tr=tur_Latn ur=urd_Arab vi=vie_Latn "
        "zh=zho_Hans"
    ),
    kind="options",
    task="xnli.yaml",
    scored="test",
    metrics=(Metric("acc_per_token", "share", chance=1 / 3), Metric("acc", "share", chance=1 / 3)),
    forms=(Form({"test": "{language}/test-*.parquet"}, "parquet"),),
    hub="facebook/xnli",
    revision="b8dd5d7af51114dbda02c0e3f6133f332186418e",
)

_PAWSX = BenchmarkSet(
    name="pawsx",
    title="PAWS-X: whether two sentences mean the same",
    source="Yang et al. 2019, arXiv 1908.11828",
    license="LicenseRef-PAWS-free-use",
    languages=by_code(
        "de=deu_Latn en=eng_Latn es=spa_Latn fr=fra_Latn ja=jpn_Jpan ko=kor_Hang zh=zho_Hans"
    ),
    kind="options",
    task="lm_eval:paws-x/paws_{language}.yaml",
    scored="test",
    metrics=(Metric("acc", "share", chance=1 / 2),),
    forms=(
        Form({"test": "{language}/test-*.parquet"}, "parquet"),
        Form({"test": "{language}/test_2k.tsv"}, "table with a head"),
    ),
    hub="google-research-datasets/paws-x",
    revision="4cd8187c404bda33cb1f62b49b001115862acf37",
)

_TYDIQA = BenchmarkSet(
    name="tydiqa_goldp",
    title="TyDi QA, gold passages: a question about a paragraph",
    source="Clark et al. 2020, arXiv 2003.05002",
    license="Apache-2.0",
    languages=by_code(
        "arabic=arb_Arab bengali=ben_Beng english=eng_Latn finnish=fin_Latn indonesian=ind_Latn "
        "korean=kor_Hang russian=rus_Cyrl swahili=swh_Latn telugu=tel_Telu"
    ),
    kind="generation",
    task="tydiqa_goldp.yaml",
    scored="validation",
    metrics=(Metric("f1", "mean"), Metric("exact_match", "share")),
    forms=(
        Form(
            {
                "train": "secondary_task/train-*.parquet",
                "validation": "secondary_task/validation-*.parquet",
            },
            "tydiqa parquet",
        ),
        Form(
            {
                "train": "tydiqa-goldp-v1.1-train.json",
                "validation": "tydiqa-goldp-v1.1-dev.json",
            },
            "tydiqa json",
        ),
    ),
    hub="google-research-datasets/tydiqa",
    revision="da78f23f9119363459acbaf46bf89426ff26c259",
    base_shots=1,
)

_BELEBELE = BenchmarkSet(
    name="belebele",
    title="Belebele: four answers to a question about a passage of FLORES-200",
    source="Bandarkar et al. 2023, arXiv 2308.16884",
    license="CC-BY-SA-4.0",
    languages={
        code: code
        for code in """
        acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab
        arz_Arab asm_Beng azj_Latn bam_Latn ben_Beng bod_Tibt bul_Cyrl cat_Latn ceb_Latn
        ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek eng_Latn est_Latn eus_Latn fin_Latn
        fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva
        hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn
        jpn_Jpan kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl khm_Khmr kin_Latn
        kir_Cyrl kor_Hang lao_Laoo lin_Latn lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym
        mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn npi_Deva nso_Latn
        nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn
        rus_Cyrl shn_Mymr sin_Sinh slk_Latn slv_Latn sna_Latn snd_Arab som_Latn sot_Latn
        spa_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl
        tgl_Latn tha_Thai tir_Ethi tsn_Latn tso_Latn tur_Latn ukr_Cyrl urd_Arab uzn_Latn
        vie_Latn war_Latn wol_Latn xho_Latn yor_Latn zho_Hans zho_Hant zsm_Latn zul_Latn
        """.split()
    },
    kind="options",
    task="lm_eval:belebele/belebele_{language}.yaml",
    scored="test",
    metrics=(Metric("acc", "share", chance=1 / 4),),
    forms=(Form({"test": "data/{language}.jsonl"}, "json lines"),),
    hub="facebook/belebele",
    revision="75b399394a9803252cfec289d103de462763db7c",
)

_MGSM = BenchmarkSet(
    name="mgsm",
    title="MGSM: sums in words, answered by the number alone",
    source="Shi et al. 2022, arXiv 2210.03057",
    license="CC-BY-SA-4.0",
    languages=by_code(
        "bn=ben_Beng de=deu_Latn en=eng_Latn es=spa_Latn fr=fra_Latn ja=jpn_Jpan ru=rus_Cyrl "
        "sw=swh_Latn te=tel_Telu th=tha_Thai zh=zho_Hans"
    ),
    kind="generation",
    task="lm_eval:mgsm/direct/mgsm_direct_{language}.yaml",
    answer_filter="flexible-extract",
    scored="test",
    metrics=(Metric("exact_match", "share"),),
    forms=(Form({"test": "mgsm_{language}.tsv"}, "mgsm table"),),
    hub="juletxara/mgsm",
    revision="f52417ca77bd71e9888ddc29f92587660725d2b4",
)

_GLOBAL_MMLU = BenchmarkSet(
    name="global_mmlu",
    title="Global MMLU: four answers to questions of 57 subjects, reviewed translations",
    source="Singh et al. 2024, arXiv 2412.03304",
    license="Apache-2.0",
    languages=by_code(
        """
        am=amh_Ethi ar=arb_Arab bn=ben_Beng cs=ces_Latn de=deu_Latn el=ell_Grek en=eng_Latn
        es=spa_Latn fa=pes_Arab fil=tgl_Latn fr=fra_Latn ha=hau_Latn he=heb_Hebr hi=hin_Deva
        id=ind_Latn ig=ibo_Latn it=ita_Latn ja=jpn_Jpan ko=kor_Hang ky=kir_Cyrl lt=lit_Latn
        mg=plt_Latn ms=zsm_Latn ne=npi_Deva nl=nld_Latn ny=nya_Latn pl=pol_Latn pt=por_Latn
        ro=ron_Latn ru=rus_Cyrl si=sin_Sinh sn=sna_Latn so=som_Latn sr=srp_Cyrl sv=swe_Latn
        sw=swh_Latn te=tel_Telu tr=tur_Latn uk=ukr_Cyrl vi=vie_Latn yo=yor_Latn zh=zho_Hans
        """
    ),
    kind="options",
    task="lm_eval:global_mmlu/full/{language}/_{language}_template_yaml",
    scored="test",
    metrics=(Metric("acc", "share", chance=1 / 4),),
    forms=(
        Form({"dev": "{language}/dev-*.parquet", "test": "{language}/test-*.parquet"}, "parquet"),
    ),
    fetch="hf download --repo-type dataset CohereLabs/Global-MMLU --local-dir global_mmlu",
)

UNDERSTANDING = (_XNLI, _PAWSX, _TYDIQA, _BELEBELE, _MGSM, _GLOBAL_MMLU)
