"""How the formats of packages become text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from benchmarks.corpora import plain, strings
from benchmarks.corpora.catalogue import SOURCES
from benchmarks.corpora.lines import blocks, joined
from benchmarks.corpora.locales import language_of
from benchmarks.corpora.manuals import manual_text
from benchmarks.corpora.pages import page_text

MANUAL = r"""
.\" a comment
.TH LS 1
.SH NOM
ls \- afficher le contenu
.B "de r\('epertoires"
.PP
Une \fIoption\fP :
.nf
ls -l
ls -a
.fi
.de XX
.B never
..
.IP \-a
tout \[u00E9]crire
"""

DESCRIPTIONS = """\
Package: 0ad
Description-md5: d943
Description-de: Echtzeit-Strategiespiel
 Ein Spiel, in dem
 gekämpft wird.
 .
  * verbatim
 .
 Zweiter Absatz.

Package: copy
Description-md5: d944
Description-de: Echtzeit-Strategiespiel
 Ein Spiel, in dem
 gekämpft wird.
 .
  * verbatim
 .
 Zweiter Absatz.
"""


def test_locales_mean_flores_codes() -> None:
    found = {name: language_of(name) for name in ("pt_BR", "zh-cn", "zh-Hant", "sr", "C", "he")}
    assert found == {
        "pt_BR": "por_Latn",
        "zh-cn": "zho_Hans",
        "zh-Hant": "zho_Hant",
        "sr": "srp_Cyrl",
        "C": "eng_Latn",
        "he": "heb_Hebr",
    }
    assert language_of("sr@latin") is None
    assert language_of("kk-arab") is None
    assert language_of("az-Latn") == "azj_Latn"
    assert language_of("tlh") is None


def test_a_manual_page_loses_its_requests_and_keeps_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "ls.1.gz"
    path.write_bytes(gzip.compress(MANUAL.encode()))
    assert manual_text(path, "fra_Latn").split("\n") == [
        "NOM",
        "ls - afficher le contenu de répertoires",
        "Une option :",
        "ls -l",
        "ls -a",
        "-a tout écrire",
    ]


def test_a_page_has_a_line_for_each_block(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        "<html><head><title>no</title></head><body><h1>Eins</h1><p>zwei\n<b>drei</b> vier</p>"
        "<script>x()</script><ul><li>fünf</li><li>sechs</li></ul><pre>a\nb</pre></body></html>"
    )
    assert page_text(path).split("\n") == ["Eins", "zwei drei vier", "fünf", "sechs", "a", "b"]


def test_equal_descriptions_are_told_once_and_paragraphs_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "x_i18n_Translation-de"
    path.write_text(DESCRIPTIONS)
    assert list(plain.description_documents(path, "deu_Latn")) == [
        "Echtzeit-Strategiespiel\nEin Spiel, in dem gekämpft wird.\n* verbatim\nZweiter Absatz."
    ]


def test_wiki_messages_lose_their_markup_and_labels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "nl.json"
    messages = {
        "@metadata": {"authors": []},
        "a": "'''Let op''': {{PLURAL:$1|deze pagina|deze pagina's}} van [[Project:Help|de hulp]].",
        "b": "Opslaan",
    }
    path.write_text(json.dumps(messages))
    assert list(strings.message_documents(path)) == ["Let op: deze pagina van de hulp."]


def test_short_texts_are_joined_to_documents_of_a_size() -> None:
    found = list(blocks(["x" * 40] * 10, block_bytes=100))
    assert [len(block.split("\n")) for block in found] == [3, 3, 3, 1]
    assert joined(["a\u0000b  c", " ", "e\u0301"]) == "ab c\n\u00e9"


def test_every_package_is_in_one_source() -> None:
    names = [name for source in SOURCES for name in source.packages]
    assert len(names) == len(set(names))
    assert len({source.name for source in SOURCES}) == len(SOURCES)
