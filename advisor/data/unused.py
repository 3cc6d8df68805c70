"""Findings from the row ledger: what stands in the rows and would not reach the model as it is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from advisor.base.language import later, tr
from advisor.data.content.examiner import rows_said
from advisor.data.verdict import Finding
from trainers.examples.ledger import Entry
from trainers.examples.mapping import as_flag, misfit

SHOWN = 6


class _Meaning(NamedTuple):
    """What a column of some name usually holds."""

    holds: str
    target: str = ""
    """What --map calls it; "" for what no mapping can say."""
    fix: str = ""
    """What to do where no mapping helps."""


_MESSAGE = _Meaning(
    later("who speaks: each row is one message"),
    fix=later("give each row the id of its conversation (conversation_id), or join the messages into one row"),
)
_PASSAGE = _Meaning(later("the passage that a question is about"), "context", later("write it into the question"))
_GAP = _Meaning(later("what stands before or behind a gap that is to be filled"), "context", _PASSAGE.fix)
_ANSWER = _Meaning(later("an answer"), "completion")
_CLASS = _Meaning(later("the class that is to be told"), "completion", later("write it as the answer"))
_TOLD_CLASS = _Meaning(later("the class that a text was given"), _CLASS.target, _CLASS.fix)
"""Beside an answer that is learnt it is a note; labels without more of a name may judge the answer."""
_REASONING = _Meaning(
    later("how an answer is reached"),
    "reasoning_content",
    later("write it as reasoning_content of the answering message"),
)
_TOOLS = _Meaning(later("the tools that may be called"), "tools")
_SYSTEM = _Meaning(later("the system prompt"), "system", later("write it as a message of the role system"))
_CONVERSATION = _Meaning(later("a conversation"), "messages")
_SWITCHES = _Meaning(
    later("what the chat template is told: whether to think, which tools there are"),
    fix=later("write the tools into a column tools, and leave the rest out knowingly"),
)
_FLAG = _Meaning(
    later("what is to be learnt and what is not"),
    fix=later("write it as weight 0 or 1 in each turn, or remove the rows"),
)
_NOT_TEXT = later("nothing but text and pictures can be trained on yet: the rows that need it have to go")
_OTHER_THAN_TEXT = tuple(
    _Meaning(name, fix=fix)
    for name, fix in (
        (later("pictures"), later("write them into a column images, beside messages or a question and its answer")),
        (later("films"), _NOT_TEXT),
        (later("sounds"), _NOT_TEXT),
    )
)
_LEFT_OUT = later("where it does not matter, leave it out knowingly")

_CARRIES_THE_TASK = {
    **dict.fromkeys(("role", "speaker", "from"), _MESSAGE),
    **dict.fromkeys(("images", "image"), _OTHER_THAN_TEXT[0]),
    **dict.fromkeys(("videos", "video"), _OTHER_THAN_TEXT[1]),
    **dict.fromkeys(("audios", "audio"), _OTHER_THAN_TEXT[2]),
    **dict.fromkeys(
        (
            "context",
            "passage",
            "document",
            "input",
            "documents",
            "docs",
            "passages",
            "retrieved_passages",
            "contexts",
            "story",
            "paragraph",
            "paragraphs",
            "background",
            "knowledge",
            "evidence",
            "premise",
            "schema",
            "persona",
            "personality",
        ),
        _PASSAGE,
    ),
    **dict.fromkeys(("prefix", "suffix"), _GAP),
    **dict.fromkeys(("chat_template_kwargs", "template_kwargs"), _SWITCHES),
    "truncated_cells": _Meaning(
        later("the cells that the hub's viewer has cut"),
        fix=later("fetch the dataset itself, which holds them whole"),
    ),
    **dict.fromkeys(("attachments", "files"), _Meaning(later("files that are spoken of"), fix=_NOT_TEXT)),
    **dict.fromkeys(("choices", "options"), _Meaning(later("the choices that an answer stands among"), "context")),
    "history": _Meaning(later("earlier turns"), "history", later("write them as messages before the question")),
    **dict.fromkeys(("system", "system_prompt", "system_message", "system_instruction", "instructions"), _SYSTEM),
    **dict.fromkeys(("tools", "functions"), _TOOLS),
    **dict.fromkeys(("label", "labels"), _CLASS),
    **dict.fromkeys(("class", "sentiment", "intent", "label_text"), _TOLD_CLASS),
    **dict.fromkeys(("answer", "answers", "completion", "response", "output", "chosen", "summary"), _ANSWER),
    **dict.fromkeys(("solution", "solutions", "generations", "responses"), _ANSWER),
    **dict.fromkeys(("messages", "conversations"), _CONVERSATION),
    **dict.fromkeys(("reasoning", "reasoning_content", "thinking", "rationale", "explanation"), _REASONING),
    **dict.fromkeys(
        ("weight", "deleted", "desirable", "is_bad", "train_on_turn", "is_trainable", "loss_weight", "ignore"), _FLAG
    ),
    **dict.fromkeys(("mask", "masked", "loss_mask", "train_detail", "sample_weight", "example_weight"), _FLAG),
}
"""Names that usually carry the task: what they mean, and the way out."""
_JUDGED = _Meaning(
    later("whether an answer is right or good"),
    fix=later(
        "keep the rows that it speaks for, and remove the column; such as: "
        "jq -c 'select(.COLUMN == true or .COLUMN == 1) | del(.COLUMN)' rows.jsonl > kept.jsonl"
    ),
)
_RATED = _Meaning(
    later("how good an answer is"),
    fix=later(
        "keep the rows with good answers, and remove the column; such as: "
        "jq -c 'select(.COLUMN >= 4) | del(.COLUMN)' rows.jsonl > kept.jsonl"
    ),
)
_JUDGEMENT_NAMES = """
correct is_correct verified resolved passed success accepted approved valid is_valid keep train use
"""
_RATING_NAMES = """
reward helpfulness correctness coherence honesty truthfulness harmlessness instruction_following
"""
_JUDGEMENTS = {
    **dict.fromkeys(_JUDGEMENT_NAMES.split(), _JUDGED),
    **dict.fromkeys(_RATING_NAMES.split(), _RATED),
}
_NAME = _Meaning(later("the name of a speaker"), fix=later("write it into the content of the turn"))
_ABOUT = _Meaning(
    later("how much reasoning is wanted, or of which kind"),
    fix=later("where answers depend on it, write it into the system prompt or the question"),
)
_MAYBE_CLASS = _Meaning(later("what a text is about, or the class that is to be told"), "completion", _CLASS.fix)
_MAYBE_CLASS_NAMES = frozenset(
    {"category", "categories", "topic", "topics", "tag", "tags", "subject", "type", "domain"}
)
"""Beside a plain text; beside a question and its answer they are notes."""
_WEAK = (_NAME, _JUDGED, _RATED, _ABOUT, _MAYBE_CLASS)
_WEAK_KEYS = {"name": _NAME}
"""Keys of a turn that may be left out, which a person should know."""

_ASKS_VALUES = (None, _JUDGED, _RATED, _ABOUT, _ANSWER)
"""Columns of which the values can say that nothing is lost: all right, or a result that the answer states."""

_REASONING_WORDS = ("thinking", "reasoning", "rationale", "chain_of_thought")
_SHORT_FOR_REASONING = frozenset({"cot", "think", "thoughts"})
_ABOUT_REASONING_NAMES = """
budget chars count effort format enabled enable language lang length level mode model num quality score source split
style tokens type use used with has no
"""
_ABOUT_REASONING = frozenset(_ABOUT_REASONING_NAMES.split())
"""Words in a name beside those of reasoning: how much of it there is or in which language, not the reasoning."""
_WHETHER = frozenset({"is", "complete", "completed", "correct", "valid", "verified", "finished", "truncated"})
_ABOUT_NAMES = """
path repo repo_name file filename file_name file_path size sha stars
__index_level_0__ annotations author categories category conversation_id created created_at data_source
dataset datasource date difficulty domain from_model frozenset generator hash id ids idx index info
lang language length level license line link message_id messages_id meta metadata model model_name name
num_tokens num_turns origin parent_id prompt_id quality rank rating ratings refusal row_id score scores seed
source split src_dataset subject tag tags task task_name task_type text_length time timestamp title token_count
tokens topic topics turns_count type uid unnamed:_0 url user_id uuid version partition synthetic
thread_id chat_id session_id conv_id dialog_id dialogue_id message_tree_id tree_state review_count
redacted toxic hashed_ip country turn_identifier header additional_kwargs response_metadata usage_metadata lc example
custom_id method conversation_template_id gizmo_id create_time update_time is_archived safe_urls
default_model_slug plugin_ids conversation_origin
run_type trace_id dotted_order parent_run_id start_time end_time first_token_time total_tokens prompt_tokens
completion_tokens session_name reference_example_id feedback_stats events serialized
annotation_id completed_by lead_time predictions drafts file_upload inner_id total_annotations
schemaversion generationconfig safetysettings parallel_tool_calls tool_choice used_in max_tokens temperature top_p
subcategory language_code
cancelled_annotations total_predictions comment_count unresolved_comment_count last_comment_updated_at
project updated_by comment_authors turn n_turns account usage object kind latency trace_id span_id spend
"""
_ABOUT_THE_ROW = frozenset(_ABOUT_NAMES.split())
"""Names that usually say something about a row and are rightly not learnt."""
_ENDINGS = """
_id _ids _idx _index _hash _uuid _source _type _model _by _at _date _time _url _path _version _count _len _length
_tokens _score _scores _rating _license
"""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z])(?=I[Dd]s?\b)")
"""Where a name in camel case has a new word."""
_ABOUT_ENDINGS = tuple(_ENDINGS.split())
"""Words found in such a column all the same are told (advisor/data/unseen.py)."""
_ABOUT_TURN_NAMES = """
id uuid message_id timestamp created created_at created_date create_time update_time language lang country hashed_ip
header turn_identifier user_id model redacted toxic lc models_usage
"""
_ABOUT_THE_TURN = frozenset(_ABOUT_TURN_NAMES.split())
"""Keys of a turn that say when, where and in what it was said."""


def judge_unused(
    entries: Sequence[Entry], mapped: bool = False, harmless: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """Findings about columns and keys that hold something and are not used, or are no text.

    `mapped`: the user chose the columns. What is left out is then a decision, and a warning where its name says that
    it usually carries the task. `harmless`: columns whose values say that nothing is lost with them.
    """
    about, rest = _sorted_out(entries, mapped, harmless)
    for entry in rest[:SHOWN]:
        yield _finding(entry, mapped)
    if len(rest) > SHOWN:
        listed = ", ".join(entry.name for entry in rest[SHOWN:])
        yield Finding(
            code="unused-columns",
            level="warn",
            what=tr(
                "{num_rest} more columns or keys are not used: {listed}", num_rest=len(rest) - SHOWN, listed=listed
            ),
            why=tr("What stands there reaches the model neither as a question nor as an answer."),
            fix=tr("Map what matters (--map), or remove what does not."),
        )
    if about:
        listed = ", ".join(entry.name or tr("a column without a name") for entry in about)
        why = tr("The columns were chosen by --map.") if mapped else tr("They usually say something about a row.")
        yield Finding(code="unused-notes", level="note", what=tr("not used: {listed}", listed=listed), why=why)
    yield from (_no_text(entry) for entry in entries if entry.no_text)


def spoken_of(
    entries: Sequence[Entry], mapped: bool = False, harmless: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Columns and keys that `judge_unused` warns of, or that the user left out by a mapping."""
    about, rest = _sorted_out(entries, mapped, harmless)
    return frozenset(entry.name for entry in (*rest, *(about if mapped else ())))


def _sorted_out(entries: Sequence[Entry], mapped: bool, harmless: frozenset[str]) -> tuple[list[Entry], list[Entry]]:
    """(what rightly is not used, what may have to be), of all that is not used."""
    about: list[Entry] = []
    rest: list[Entry] = []
    for entry in entries:
        if entry.unused and entry.what != "turn" and not _is_inner(entry):
            is_harmless = entry.name in harmless and _meaning(entry) in _ASKS_VALUES
            (about if is_harmless or _is_rightly_unused(entry, mapped) else rest).append(entry)
    return about, rest


def _is_rightly_unused(entry: Entry, mapped: bool) -> bool:
    if entry.what == "key":
        return _folded(entry.name) in _ABOUT_THE_TURN
    if not mapped and _meaning(entry) is _MAYBE_CLASS:
        return False
    return _is_about_the_row(_folded(entry.name)) or (mapped and not _meaning(entry))


def _is_inner(entry: Entry) -> bool:
    """A place inside a column whose name says nothing: the column's own finding is enough."""
    outer, dot, _ = entry.name.partition(".")
    return (
        entry.what == "column" and bool(dot) and (not _meaning(entry) or bool(_CARRIES_THE_TASK.get(_folded(outer))))
    )


def _folded(name: str) -> str:
    return _HUMP.sub("_", name.strip()).lower().replace(" ", "_").replace("-", "_")


def _is_about_the_row(name: str) -> bool:
    return (
        not name
        or name in _ABOUT_THE_ROW
        or name.startswith(("score", "rating", "_", "num_", "model_", "annotat", "used_in"))
        or name.endswith(_ABOUT_ENDINGS)
    )


def _meaning(entry: Entry) -> _Meaning | None:
    """What a column of this name usually carries, and the way out; None where the name says nothing."""
    name = _folded(entry.name)
    if entry.what == "key" and name in _WEAK_KEYS:
        return _WEAK_KEYS[name]
    if name in _MAYBE_CLASS_NAMES and "text" in entry.read:
        return _MAYBE_CLASS
    # Inside a column of notes a short word proves little.
    inner = name.rpartition(".")[2]
    found = _CARRIES_THE_TASK.get(inner)
    if inner != name:
        return found if found in (_SYSTEM, _TOOLS) else None
    found = found or _JUDGEMENTS.get(name)
    return found or _about_reasoning(name)


def _about_reasoning(name: str) -> _Meaning | None:
    """What a column holds whose name speaks of reasoning: the reasoning, or something about it."""
    words = set(name.split("_"))
    if not any(word in name for word in _REASONING_WORDS) and not words & _SHORT_FOR_REASONING:
        return None
    if words & _WHETHER:
        return _JUDGED
    return _ABOUT if words & _ABOUT_REASONING else _REASONING


def _finding(entry: Entry, mapped: bool) -> Finding:
    known = _meaning(entry)
    sentences = {
        "column": tr("the column {name!r} is filled in {rows} and not used"),
    }
    sentence = sentences.get(entry.what, tr("the key of a turn {name!r} is filled and not used, {unused:,} times"))
    fix = _fix(entry, known or _Meaning(later("nothing that is known by its name")))
    is_weak = known is None or known in _WEAK or _is_beside_answer(entry, known)
    blocks = not is_weak and not mapped
    return Finding(
        code="unused-columns" if is_weak else "unused-content",
        level="block" if blocks else "warn",
        what=sentence.format(name=entry.name, unused=entry.unused, rows=rows_said(entry.unused)),
        why=(
            tr("It usually holds {holds}; what trains would lack it.", holds=tr(known.holds))
            if known
            else tr("Its name says nothing of it.")
        ),
        fix=tr("{sentence}.", sentence=f"{fix[0].upper()}{fix[1:]}") if not fix.startswith("--") else fix,
        lines=entry.lines,
        rows=0 if entry.what == "key" else entry.unused,
    )


def _is_beside_answer(entry: Entry, meaning: _Meaning) -> bool:
    """Whether it is a class that was told beside an answer which is learnt: a note then."""
    return meaning is _TOLD_CLASS and "text" not in entry.read


def _either(wanted: dict[str, str], read: dict[str, str]) -> str:
    """The mapping that learns this column in the place of what is learnt now, and the one that keeps that."""
    return tr(
        "{flag} (then it is learnt in the place of the other); {left_out}: {kept}",
        flag=as_flag(wanted),
        left_out=tr(_LEFT_OUT),
        kept=as_flag(read),
    )


def _fix(entry: Entry, meaning: _Meaning) -> str:
    """The mapping that would read it, else what to do by hand, with the mapping that leaves it out knowingly."""
    if entry.read and meaning.target and not _is_beside_answer(entry, meaning):
        wanted = {**entry.read, meaning.target: entry.name}
        if "text" in wanted:
            wanted = {"prompt": entry.read["text"], "completion": entry.name}
        if (meaning.target in ("completion", "context") or "text" not in entry.read) and not misfit(wanted):
            is_other = "text" not in entry.read and meaning.target in entry.read
            return _either(wanted, entry.read) if is_other else as_flag(wanted)
    by_hand = tr(meaning.fix).replace("COLUMN", entry.name) or tr(
        "remove {name}, or write it where it belongs", name=entry.name
    )
    if (
        entry.what == "column"
        and entry.read
        and not misfit(entry.read)
        and meaning not in (_MESSAGE, *_OTHER_THAN_TEXT)
    ):
        return tr("{by_hand}; {left_out}: {flag}", by_hand=by_hand, left_out=tr(_LEFT_OUT), flag=as_flag(entry.read))
    return by_hand


def _no_text(entry: Entry) -> Finding:
    kinds = [kind for kind in entry.no_text if kind != "number"]
    listed = ", ".join(
        tr("{kind} in {rows}", kind=tr(kind), rows=rows_said(rows)) for kind, rows in entry.no_text.items()
    )
    how = tr("as digits") if not kinds else tr("as True and False") if kinds == ["true or false"] else tr("as JSON")
    return Finding(
        code="no-text",
        level="warn" if kinds else "note",
        what=tr(
            "the column {name!r} holds no text ({listed}); it is trained {how}",
            name=entry.name,
            listed=listed,
            how=how,
        ),
        why=tr("The model reads and learns what is written, not what it stands for."),
        fix=tr(
            "Write the words that are meant into the column; --map can name a place inside an "
            "object, as in --map prompt=question,completion=answer.text"
        ),
        lines=entry.lines,
    )
