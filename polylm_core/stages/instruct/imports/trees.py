"""OpenAssistant's trees: people wrote questions and answers below one another, and ranked them.

In: trees (`{"prompt": {..., "replies": [...]}}`), or messages that name their parent. Out:
conversations, and what became of every answer: `deleted`, `unreviewed` (nobody approved it),
`below-a-message-left-out`, `not-the-best-reply`, `inside-a-conversation` (an earlier answer of one
that is kept). A tree without an answer is counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from polylm_core.records import Message, Role
from polylm_core.stages.instruct.imports.columns import NO_ANSWER, Numbered
from polylm_core.stages.instruct.imports.config import TreeSet
from polylm_core.stages.instruct.imports.reading import (
    EMPTY_PART,
    FILTERED,
    NO_COLUMN,
    NOT_TEXT,
    UNKNOWN_LABEL,
    Columns,
    Conversation,
    Found,
    Left,
    clean,
    language_of_label,
    passes,
)
from polylm_core.stages.instruct.imports.rows import Row

DELETED = "deleted"
UNREVIEWED = "unreviewed"
BELOW = "below-a-message-left-out"
NOT_BEST = "not-the-best-reply"
INSIDE = "inside-a-conversation"
OTHER_STATE = "tree-in-another-state"
ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant"}
PARTS = ("message_id", "role", "text")


@dataclass(eq=False)
class _Node:
    """One message of a tree."""

    content: Row
    replies: list[_Node] = field(default_factory=list)

    @property
    def is_answer(self) -> bool:
        return bool(self.content.get("role") == "assistant")

    @property
    def rank(self) -> float:
        """Best first; those that nobody ranked come last."""
        rank = self.content.get("rank")
        return float("inf") if rank is None else float(rank)


def conversations(rows: Numbered, declared: TreeSet, columns: Columns) -> Iterator[Found]:
    """Yield the conversations of all trees, in the order of the trees."""
    for tree in _trees(rows):
        if isinstance(tree, Left):
            yield tree
            continue
        state = tree.content.get("tree_state")
        answers = sum(node.is_answer for node in _walk(tree))
        if not passes(tree.content, declared.where, columns):
            yield Left(FILTERED, amount=max(1, answers), is_item=False)
        elif state is not None and state not in declared.tree_states:
            yield Left(OTHER_STATE, _label(tree), max(1, answers), is_item=False)
        elif not answers:
            yield Left(NO_ANSWER, _label(tree), is_item=False)
        else:
            yield from _of_tree(tree, declared)


def _trees(rows: Numbered) -> Iterator[_Node | Left]:
    """Whole trees as they come; of messages, those that have no parent, in their order."""
    nodes: dict[str, _Node] = {}
    for _, _, row in rows:
        if isinstance(row.get("prompt"), dict):
            root = row["prompt"]
            yield _nested({**root, "tree_state": row.get("tree_state", root.get("tree_state"))})
        elif all(row.get(part) is not None for part in PARTS):
            nodes[str(row["message_id"])] = _Node(row)
        else:
            yield Left(NO_COLUMN)
    roots = []
    for node in nodes.values():
        parent = node.content.get("parent_id")
        if parent is None:
            roots.append(node)
        elif parent in nodes:
            nodes[parent].replies.append(node)
        else:
            yield Left(BELOW, _label(node), is_item=False)
    yield from roots


def _nested(content: Row) -> _Node:
    replies = content.get("replies") or []
    below = [_nested(reply) for reply in replies if isinstance(reply, dict)]
    return _Node({name: cell for name, cell in content.items() if name != "replies"}, below)


def _walk(node: _Node) -> Iterator[_Node]:
    yield node
    for reply in node.replies:
        yield from _walk(reply)


def _label(node: _Node) -> str:
    return language_of_label(node.content.get("lang"), {}) or ""


def _why_not(node: _Node, languages: dict[str, str]) -> str:
    """Why a message is left out; empty if it is not."""
    content = node.content
    text = clean(content.get("text"))
    if content.get("deleted"):
        return DELETED
    if content.get("review_result") is not True:
        return UNREVIEWED
    if text is None or content.get("role") not in ROLES:
        return NOT_TEXT
    if not text:
        return EMPTY_PART
    known = language_of_label(content.get("lang"), languages)
    return "" if known else UNKNOWN_LABEL


def _of_tree(root: _Node, declared: TreeSet) -> Iterator[Found]:
    languages = dict(declared.languages)
    lefts: Counter[tuple[str, str]] = Counter()
    paths: list[tuple[_Node, ...]] = []
    is_best = declared.conversations == "best-path"

    def leave(nodes: Iterable[_Node], reason: str) -> None:
        for node in nodes:
            lefts[reason, _label(node)] += node.is_answer

    def visit(node: _Node, before: tuple[_Node, ...]) -> None:
        reason = _why_not(node, languages) or _out_of_turn(node, before)
        if reason:
            leave([node], reason)
            leave((each for reply in node.replies for each in _walk(reply)), BELOW)
            return
        path = (*before, node)
        if node.is_answer:
            paths.append(path)
        ordered = sorted(node.replies, key=lambda reply: reply.rank)
        usable = [reply for reply in ordered if not _why_not(reply, languages)]
        for reply in ordered:
            if is_best and reply in usable[1:]:
                leave(_walk(reply), NOT_BEST)
            else:
                visit(reply, path)

    visit(root, ())
    kept = paths[-1:] if is_best else paths
    leave((path[-1] for path in paths[: len(paths) - len(kept)]), INSIDE)
    for (reason, language), amount in sorted(lefts.items()):
        if amount:
            yield Left(reason, language, amount, is_item=False)
    for path in kept:
        yield _conversation(path, languages)
    if not kept and not sum(lefts.values()):
        yield Left(NO_ANSWER, _label(root), is_item=False)


def _out_of_turn(node: _Node, before: tuple[_Node, ...]) -> str:
    """`bad-alternation` for a message that follows one of the same role, or an answer first."""
    if node.is_answer == (len(before) % 2 == 1):
        return ""
    return "bad-alternation"


def _conversation(path: tuple[_Node, ...], languages: dict[str, str]) -> Conversation:
    codes = [_known(node.content, languages) for node in path]
    return Conversation(
        key=str(path[-1].content["message_id"]),
        language=codes[-1],
        prompt_language=codes[-2],
        messages=tuple(
            Message(ROLES[node.content["role"]], clean(node.content["text"]) or "") for node in path
        ),
    )


def _known(content: Any, languages: dict[str, str]) -> str:
    code = language_of_label(content.get("lang"), languages)
    assert code is not None, "judged before"
    return code
