"""Chats of people: each export is read as conversations, and the person whose words are learnt has to be named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainers.errors import ExamplesError
from trainers.examples.example import RowError
from trainers.examples.mapping import parse_mapping
from trainers.examples.reader import reader_for
from trainers.examples.rows import Row
from trainers.examples.source import open_source, reader_of

SAID = [("Ann", "Is it open?", 0), ("Bob", "Yes.", 1), ("Bob", "Until six.", 2), ("Ann", "Naïve question?", 120)]
SAID += [("Bob", "No.", 121), ("Ann", "Alone.", 600)]
"""Who says what, and when in minutes: two talks, and words that nobody answers."""


def clock(minutes: int) -> str:
    return f"{10 + minutes // 60:02d}:{minutes % 60:02d}"


def moment(minutes: int) -> str:
    return f"2024-01-31T{clock(minutes)}:00"


def phone(opening: str, closing: str) -> str:
    return "\n".join(f"{opening}{clock(when)}{closing}{who}: {what}" for who, what, when in SAID)


def telegram(who: str, what: str, when: int) -> dict[str, Any]:
    return {"type": "message", "from": who, "from_id": who, "text": [what], "date": moment(when)}


def facebook(who: str, what: str, when: int) -> dict[str, Any]:
    return {"sender_name": who, "content": what.encode().decode("latin-1"), "timestamp_ms": when * 60_000}


EXPORTS: dict[str, tuple[str, Any]] = {
    "Discord": (
        "a.json",
        {
            "guild": {"id": "1"},
            "channel": {"id": "2"},
            "messages": [
                {"content": what, "timestamp": moment(when), "author": {"name": who, "isBot": False}}
                for who, what, when in SAID
            ],
        },
    ),
    "Slack": (
        "a.json",
        [{"type": "message", "user": who, "text": what, "ts": f"{when * 60}.5"} for who, what, when in SAID],
    ),
    "Telegram": (
        "a.json",
        {"name": "Ann", "messages": [{"type": "service", "date": moment(0)}, *(telegram(*one) for one in SAID)]},
    ),
    "Messenger": (
        "a.json",
        {"participants": [{"name": "Ann"}], "messages": [facebook(*one) for one in reversed(SAID)]},
    ),
    "WhatsApp on Android": ("a.txt", phone("31/01/2024, ", " - ")),
    "WhatsApp on iOS": ("a.txt", phone("[31.01.24, ", ":00] ")),
}


@pytest.fixture(params=EXPORTS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, content = EXPORTS[request.param]
    made = tmp_path / name
    made.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return made


def test_the_one_whose_words_are_learnt_has_to_be_named(path: Path) -> None:
    with pytest.raises(ExamplesError) as refused:
        reader_of(open_source(str(path)))
    assert refused.value.why == "those who speak are Ann, Bob"
    assert refused.value.fix.endswith("--map assistant=Bob")
    with pytest.raises(ExamplesError, match="nobody called Eve speaks"):
        reader_of(open_source(str(path)), columns={"assistant": "Eve"})


def test_with_the_name_each_talk_is_a_conversation(path: Path) -> None:
    source = open_source(str(path))
    reader = reader_of(source, columns=parse_mapping("assistant=Bob"))
    made = [[(one["role"], one["content"]) for one in reader.example(row).messages] for row in source.rows()]
    assert made == [
        [("user", "Is it open?"), ("assistant", "Yes.\nUntil six.")],
        [("user", "Naïve question?"), ("assistant", "No.")],
    ]


def test_where_a_bot_takes_part_its_words_are_the_answers(tmp_path: Path) -> None:
    messages = [
        {"content": f"{number}", "timestamp": moment(number), "author": {"name": name, "isBot": name == "helper"}}
        for number, name in enumerate(("Ann", "Bob", "helper"))
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"guild": {}, "channel": {}, "messages": messages}))
    source = open_source(str(path))
    example = reader_of(source).example(next(iter(source.rows())))
    assert [one["role"] for one in example.messages] == ["user", "user", "assistant"]


def test_lines_of_a_role_play_are_one_conversation(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"user_name": "You", "character_name": "Mia"}]
    lines += [{"name": ("You", "Mia")[n % 2], "is_user": n % 2 == 0, "mes": f"words {n}"} for n in range(4)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    source = open_source(str(path))
    (row,) = source.rows()
    assert [one["role"] for one in reader_of(source).example(row).messages] == ["user", "assistant"] * 2


def test_people_in_any_turns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    turns = [{"speaker": "Watson", "text": "How?"}, {"speaker": "Holmes", "text": "By looking."}]
    path.write_text("\n".join([json.dumps({"dialogue": turns})] * 2))
    source = open_source(str(path))
    reader = reader_of(source, columns={"assistant": "Holmes"})
    assert [one["role"] for one in reader.example(next(iter(source.rows()))).messages] == ["user", "assistant"]
    with pytest.raises(RowError):
        reader.read({"dialogue": [{"speaker": "Watson", "text": "Alone."}]})


LOGS = {
    "columns of a dialogue system": ({"turns": {"speaker": [0, 1], "utterance": ["q", "a"]}}, "1"),
    "the system answers": (
        {"turns": [{"speaker": "USER", "utterance": "q"}, {"speaker": "SYSTEM", "utterance": "a"}]},
        "SYSTEM",
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_in_logs_of_dialogue_systems_the_one_who_answers_has_to_be_named(name: str) -> None:
    row, answering = LOGS[name]
    with pytest.raises(ExamplesError) as refused:
        reader_for([Row(1, row)], "rows")
    assert refused.value.fix.endswith(f"--map assistant={answering}")
    reader = reader_for([Row(1, row)], "rows", mapping={"assistant": answering})
    assert [(one["role"], one["content"]) for one in reader.read(row).messages] == [("user", "q"), ("assistant", "a")]
