"""Personal data is found in every script, and nothing else is taken for it."""

from __future__ import annotations

import random
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from polylm_core.pii import EMAIL, IP_ADDRESS, PHONE_NUMBER, mask, regions_of

FLORES = Path(__file__).parents[3] / "shared" / "data" / "flores200" / "flores200_dev.tar.xz"

TEXTS = {
    "deu_Latn": "Wir freuen uns über jede Nachricht zu diesem Thema",
    "rus_Cyrl": "Мы будем рады любому сообщению на эту тему",
    "arb_Arab": "يسعدنا تلقي أي رسالة حول هذا الموضوع",
    "heb_Hebr": "נשמח לקבל כל הודעה בנושא זה",
    "hin_Deva": "हमें इस विषय पर कोई भी संदेश पाकर खुशी होगी",
    "tha_Thai": "เรายินดีรับทุกข้อความเกี่ยวกับเรื่องนี้",
    "zho_Hans": "我们很高兴收到关于这个话题的任何消息",
    "kor_Hang": "이 주제에 대한 메시지를 보내 주시면 감사하겠습니다",
}
"""One text in each of eight scripts."""

EMAILS = ["anna.k@uni-bonn.de", "x_y+z@mail.co.uk", "INFO@EXAMPLE.ORG", "a1@sub.domain.travel"]
ADDRESSES = ["93.184.216.34", "185.199.108.153", "2001:4860:4860::8888", "2a00:1450:4001:81b::200e"]
PHONES = ["+49 30 901820", "+7 (495) 123-45-67", "+1-650-253-0000", "0044 20 7946 0958"]
NATIONAL = {
    "deu_Latn": "030 901820",
    "rus_Cyrl": "8 (495) 123-45-67",
    "arb_Arab": "010 01234567",
    "heb_Hebr": "02-623-4567",
    "hin_Deva": "०११ २३४५ ६७८९",
    "tha_Thai": "02-123-4567",
    "zho_Hans": "010-62512345",
    "kor_Hang": "02-312-3456",
}


@pytest.mark.parametrize("language", TEXTS)
def test_planted_data_is_masked_in_every_script(language: str) -> None:
    generator = random.Random(language)
    words = list(TEXTS[language]) if language == "zho_Hans" else TEXTS[language].split()
    planted = Counter[str]()
    parts = []
    for _ in range(200):
        parts += words
        kind, examples = generator.choice(
            [(EMAIL, EMAILS), (IP_ADDRESS, ADDRESSES), (PHONE_NUMBER, PHONES)]
        )
        parts.append(generator.choice(examples) + generator.choice(["", ".", ",", ")"]))
        planted[kind] += 1
    text = " ".join(parts)

    masked, found = mask(text)

    assert found == planted
    assert not any(each in masked for each in (*EMAILS, *ADDRESSES, *PHONES))
    for word in words:
        assert masked.count(word) == text.count(word)


@pytest.mark.parametrize("language", [each for each in TEXTS if each != "rus_Cyrl"])
def test_numbers_of_the_languages_country_need_no_country_code(language: str) -> None:
    text = f"{TEXTS[language]} {NATIONAL[language]} {TEXTS[language]}"

    assert mask(text, regions_of(language)) == (
        text.replace(NATIONAL[language], PHONE_NUMBER),
        {PHONE_NUMBER: 1},
    )
    assert mask(text) == (text, {})


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+٩٦٦ ٥٠ ١٢٣ ٤٥٦٧", PHONE_NUMBER),
        ("＋８１ ３－１２３４－５６７８", PHONE_NUMBER),
        ("联系abc.def@example.com谢谢", f"联系{EMAIL}谢谢"),
        ("me＠example.org", EMAIL),
        ("<tel:+4930901820>", f"<tel:{PHONE_NUMBER}>"),
        ("Fon (+49) 30 901820!", f"Fon ({PHONE_NUMBER}!"),
        ("a@b.de,c@d.fr", f"{EMAIL},{EMAIL}"),
        ("from 93.184.216.34:443", f"from {IP_ADDRESS}:443"),
    ],
)
def test_other_spellings_are_masked(text: str, masked: str) -> None:
    assert mask(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "Version 1.2.3.4 of 2.0.10.1 or v10.4.200.1-beta",
        "10.0.0.1, 192.168.178.1, 127.0.0.1 and 300.1.2.3",
        "fe80::1, ::1, a::b, std::vector<int>::iterator, 12:30:45",
        "ISBN 978-3-16-148410-0 and 0-306-40615-2",
        "15.01.2024, 2024-01-15 10:30, 01.02.2003 04:05",
        "$1,234,567.00 or 1 234 567,89 or 0.12345678",
        "0.22313016, 3.14159265358979 and 1e-10 and 1234567890123456",
        "from 1939-1945 to 2010-2020 in 1990 2000 2010",
        "user@localhost, @handle, pkg@1.2.3, x @ y.com",
        "1000000000 20000000 7777777 +1234567",
        "DE89 3704 0044 0532 0130 00",
        "#0049123456 and /004930901820 and 004930901820%",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert mask(text, ("US", "DE", "GB", "CN", "ID")) == (text, {})


def test_many_numbers_of_a_long_text_are_all_masked() -> None:
    text = "a 1234567 b\n" * 500 + "+49 30 901820\n" * 700

    masked, found = mask(text)

    assert found == {PHONE_NUMBER: 700}
    assert masked == text.replace("+49 30 901820", PHONE_NUMBER)


def test_a_long_run_of_letters_before_an_at_costs_no_more_than_it_should() -> None:
    text = "a" * 200_000 + "@" + "b." * 100_000

    start = time.process_time()
    mask(text * 2)

    assert time.process_time() - start < 5


def test_the_country_of_a_language_is_that_of_cldr() -> None:
    assert regions_of("deu_Latn") == ("DE",)
    assert regions_of("por_Latn") == ("BR",)
    assert regions_of("zho_Hans") == ("CN",)
    assert regions_of("zho_Hant") == ("TW",)
    assert regions_of("ace_Arab") == ()


@pytest.mark.skipif(not FLORES.is_file(), reason=f"needs {FLORES}")
def test_nothing_is_masked_in_news_and_encyclopedias_of_all_languages() -> None:
    masked = Counter[str]()
    with tarfile.open(FLORES) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".dev") else None
            if file is not None:
                language = Path(member.name).stem
                masked += mask(file.read().decode(), regions_of(language))[1]

    assert masked.total() <= 4  # in 203,388 sentences
