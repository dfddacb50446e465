"""Published conversations: OpenAssistant's trees and ShareGPT's turns."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from polylm_core.errors import SourceError
from tests.unit.stages.instruct.import_files import (
    chats,
    declare,
    ids,
    json_array,
    json_lines,
    place,
    read,
    reasons,
)


def message(
    name: str, role: str, *replies: dict[str, Any], lang: str = "en", **more: Any
) -> dict[str, Any]:
    """A message as the files have it, with what is below it."""
    return {
        "message_id": name,
        "parent_id": None,
        "text": f"Text of {name}.",
        "role": role,
        "lang": lang,
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "rank": None,
        "synthetic": False,
        "replies": list(replies),
        **more,
    }


def tree(*replies: dict[str, Any], state: str = "ready_for_export", **more: Any) -> dict[str, Any]:
    root = message("q", "prompter", *replies, **more)
    return {"message_tree_id": "q", "tree_state": state, "prompt": root}


def flat(node: dict[str, Any], parent: str | None = None) -> list[dict[str, Any]]:
    """The messages of a tree as the table of the hub has them."""
    own = {key: cell for key, cell in node.items() if key != "replies"}
    below = [row for reply in node["replies"] for row in flat(reply, node["message_id"])]
    return [own | {"parent_id": parent, "message_tree_id": "q"}, *below]


TALK = tree(
    message("worse", "assistant", rank=1),
    message(
        "best",
        "assistant",
        message(
            "more",
            "prompter",
            message("last", "assistant", rank=None),
            message("gone", "assistant", rank=0, deleted=True),
            lang="de",
        ),
        rank=0,
    ),
)


@pytest.mark.parametrize("is_flat", [False, True])
def test_a_tree_gives_the_conversation_along_its_best_ranked_replies(
    tmp_path: Path, is_flat: bool
) -> None:
    rows = flat(TALK["prompt"]) if is_flat else [TALK]
    declared = declare("a.trees.jsonl.gz", format="oasst")
    imports = place(tmp_path, {"oasst": declared}, oasst=gzip.compress(json_lines(rows)))
    harvest, counts = read(tmp_path, imports)
    texts = tuple(f"Text of {name}." for name in ("q", "best", "more", "last"))
    assert chats(harvest) == [texts]
    (row,) = harvest.instructions
    assert [each.role for each in row.messages] == ["user", "assistant", "user", "assistant"]
    assert (row.id, row.language, row.prompt_language) == ("oasst/last", "eng_Latn", "deu_Latn")
    assert reasons(harvest) == {
        "kept": 1,
        "not-the-best-reply": 1,
        "inside-a-conversation": 1,
        "deleted": 1,
    }
    assert counts == {"oasst": {"items": 1}}


def test_every_answer_can_be_a_conversation_of_its_own(tmp_path: Path) -> None:
    declared = declare("a.jsonl", format="oasst", conversations="every-answer", expected_items=3)
    imports = place(tmp_path, {"oasst": declared}, oasst=json_lines([TALK]))
    harvest, counts = read(tmp_path, imports)
    assert ids(harvest.instructions) == ["oasst/best", "oasst/last", "oasst/worse"]
    assert chats(harvest)[0] == ("Text of q.", "Text of best.")
    assert counts == {"oasst": {"items": 3, "expected": 3}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (tree(message("a", "assistant"), review_result=False), {"below-a-message-left-out": 1}),
        (tree(message("a", "assistant", review_result=None)), {"unreviewed": 1}),
        (tree(message("a", "assistant", deleted=True)), {"deleted": 1}),
        (tree(message("a", "assistant", lang="tlh")), {"unknown-language-label": 1}),
        (tree(message("a", "assistant", text=" ")), {"empty-part": 1}),
        (tree(message("a", "prompter")), {"bad-alternation": 0, "no-answer": 1}),
        (tree(message("a", "assistant"), state="aborted_low_grade"), {"tree-in-another-state": 1}),
        (tree(), {"no-answer": 1}),
    ],
)
def test_what_is_left_out_of_a_tree_is_counted(
    tmp_path: Path, row: dict[str, Any], expected: dict[str, int]
) -> None:
    imports = place(
        tmp_path, {"oasst": declare("a.jsonl", format="oasst")}, oasst=json_lines([row])
    )
    harvest, counts = read(tmp_path, imports)
    assert harvest.instructions == []
    assert reasons(harvest) == {reason: count for reason, count in expected.items() if count}
    assert counts == {"oasst": {"items": 0}}


@pytest.mark.parametrize(
    ("label", "code"),
    [("pt-BR", "por_Latn"), ("uk-UA", "ukr_Cyrl"), ("nb-NO", "nob_Latn"), ("zh", "zho_Hans"),
     ("ar", "arb_Arab"), ("fa", "pes_Arab"), ("eu", "eus_Latn"), ("eo", "epo_Latn"),
     ("zh-TW", "zho_Hant"), ("zh_CN", "zho_Hans"), ("zh-Hant", "zho_Hant")],
)  # fmt: skip
def test_the_labels_of_openassistant_are_known(tmp_path: Path, label: str, code: str) -> None:
    row = tree(message("a", "assistant", lang=label), lang=label)
    imports = place(
        tmp_path, {"oasst": declare("a.jsonl", format="oasst")}, oasst=json_lines([row])
    )
    harvest, _ = read(tmp_path, imports)
    assert [each.language for each in harvest.instructions] == [code]


def test_a_script_that_no_code_has_is_no_language(tmp_path: Path) -> None:
    row = tree(message("a", "assistant", lang="sr-Latn"), lang="sr-Latn")
    imports = place(
        tmp_path, {"oasst": declare("a.jsonl", format="oasst")}, oasst=json_lines([row])
    )
    assert chats(read(tmp_path, imports)[0]) == []


def talk(*turns: str, name: str = "t_0") -> dict[str, Any]:
    """A conversation in ShareGPT's form; a turn is `human: text`."""
    parts = (turn.split(": ", 1) for turn in turns)
    return {"id": name, "conversations": [{"from": who, "value": text} for who, text in parts]}


def test_a_conversation_of_sharegpt_becomes_a_chat(tmp_path: Path) -> None:
    rows = [
        talk("system: Be brief.", "human: Hello?", "gpt: Hi.", "human: Bye?", "gpt: Bye."),
        talk("human: Why?", "chatgpt: Because.", "human: And that is all?", name="t_1"),
    ]
    declared = declare("a.json", format="sharegpt")
    harvest, _ = read(tmp_path, place(tmp_path, {"share": declared}, share=json_array(rows)))
    assert chats(harvest) == [
        ("Be brief.", "Hello?", "Hi.", "Bye?", "Bye."),
        ("Why?", "Because."),
    ]
    assert ids(harvest.instructions) == ["share/t_0", "share/t_1"]
    assert harvest.instructions[0].messages[0].role == "system"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (talk("gpt: Hi.", "human: Hello?", "gpt: Hi."), "bad-alternation"),
        (talk("human: Hello?", "human: You?", "gpt: Hi."), "bad-alternation"),
        (talk("human: Hello?", "system: Be brief.", "gpt: Hi."), "bad-alternation"),
        (talk("human: Hello?", "tool: 42", "gpt: Hi."), "unknown-speaker"),
        (talk("human: Hello?"), "no-answer"),
        (talk(), "no-answer"),
        (talk("human: Hello?", "gpt: "), "empty-part"),
    ],
)
def test_a_conversation_out_of_order_is_counted_and_dropped(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    whole = talk("human: Why?", "gpt: Because.", name="t_1")
    declared = declare("a.json", format="sharegpt")
    harvest, _ = read(
        tmp_path, place(tmp_path, {"share": declared}, share=json_array([row, whole]))
    )
    assert chats(harvest) == [("Why?", "Because.")]
    assert reasons(harvest) == {"kept": 1, reason: 1}


def test_rows_without_turns_are_broken(tmp_path: Path) -> None:
    rows = [{"id": "a", "conversations": "Hello?"}]
    declared = declare("a.json", format="sharegpt")
    imports = place(tmp_path, {"share": declared}, share=json_array(rows))
    with pytest.raises(SourceError, match=r"1 of 1 rows are broken \(1 no-such-column\)"):
        read(tmp_path, imports)
    imports = place(tmp_path, {"o": declare("a.json", format="oasst")}, o=json_array(rows))
    with pytest.raises(SourceError, match=r"1 of 1 rows are broken \(1 no-such-column\)"):
        read(tmp_path, imports)
