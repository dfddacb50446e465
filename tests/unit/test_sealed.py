"""A sealed file is what was written, byte for byte, or it is refused."""

from __future__ import annotations

import json
import random

import pytest

from polylm_core.sealed import SEAL, sealed, unsealed

CONTENT = {"step": 4, "share": 1e-05, "name": "größer", "files": {"b": [1, 2], "a": None}}


def test_what_was_sealed_comes_back() -> None:
    assert unsealed(sealed(CONTENT)) == CONTENT
    assert sealed(CONTENT) == sealed(dict(reversed(CONTENT.items())))


def test_every_bit_counts() -> None:
    data = sealed(CONTENT)
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError, match=r"seal|codec|Expect|Inval|Unterm|Extra|Exceeds"):
                unsealed(bytes(flipped))


def test_no_part_of_it_counts_for_the_whole() -> None:
    data = sealed(CONTENT)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"\S"):
            unsealed(data[:length])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"7", b'{"step": 4}', b"[" * 100_000])
def test_what_nobody_sealed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"seal|Expecting|nested"):
        unsealed(data)


def test_a_seal_of_other_content_does_not_fit() -> None:
    content = json.loads(sealed(CONTENT))
    content["step"] = random.Random(1).randrange(5, 100)
    with pytest.raises(ValueError, match="not as it was written"):
        unsealed(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    assert SEAL in content
