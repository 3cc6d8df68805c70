"""Text in which each line says who speaks is a chat; records, prose and subtitles without names are text."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.errors import ExamplesError
from trainers.examples.files import read_file
from trainers.examples.scripts import is_script
from trainers.examples.source import open_source, reader_of

QA = "".join(f"Q: question {n}?\nA: answer {n}.\ngoes on\n\n" for n in range(4))
SCRIPTS = {
    "questions and answers": ("a.txt", QA),
    "with blank lines between": ("a.txt", QA.replace("\nA:", "\n\nA:")),
    "Customer and Agent": ("a.txt", QA.replace("Q:", "Customer:").replace("A:", "Agent:")),
    "Ann and Bob": ("a.txt", QA.replace("Q:", "Ann:").replace("A:", "Bob:") + "Ann: again\nBob: yes\n" * 2),
    "IRC": (
        "a.log.txt",
        QA.replace("Q:", "[12:01] <Ann>").replace("A:", "[12:01:03] <@Bob>") + 3 * "[12:02] <Ann> so\n",
    ),
}
NAMED = {"Ann and Bob", "IRC"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_part_of_a_script_is_a_conversation(tmp_path: Path, name: str) -> None:
    path = tmp_path / SCRIPTS[name][0]
    path.write_text(SCRIPTS[name][1])
    source = open_source(str(path))
    if name in NAMED:
        with pytest.raises(ExamplesError, match="does not say whose words are answers"):
            reader_of(source)
    reader = reader_of(source, columns={"assistant": "Bob"} if name in NAMED else None)
    first = reader.example(next(iter(source.rows()))).messages
    assert [one["role"] for one in first] == ["user", "assistant"]
    assert first[0]["content"] == "question 0?"
    assert first[1]["content"].startswith("answer 0.\n")
    assert sum(1 for _ in source.rows()) in (4, 5)


CUES = "".join(
    f"{n + 1}\n00:00:{n:02d}.000 --> 00:00:{n:02d}.900\n<v {who}>words {n}</v>\n\n"
    for n, who in enumerate(("Ann", "Bob") * 4)
)


def test_subtitles_with_names_are_one_talk(tmp_path: Path) -> None:
    path = tmp_path / "meeting.vtt"
    path.write_text(f"WEBVTT\n\n{CUES}")
    [row] = read_file(path)
    assert row.value
    assert [turn["role"] for turn in row.value["messages"]] == ["Ann", "Bob"] * 4
    assert row.value["messages"][0]["content"] == "words 0"


def test_subtitles_without_names_are_text_without_their_times(tmp_path: Path) -> None:
    path = tmp_path / "film.srt"
    path.write_text("".join(f"{n + 1}\n00:00:{n:02d},000 --> 00:00:{n:02d},900\nWords {n}.\n\n" for n in range(9)))
    [row] = read_file(path)
    assert row.value == {"text": "\n".join(f"Words {n}." for n in range(9))}


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"Name: Person {n}\nAge: {n}\nCity: Rome\n\n" for n in range(9)),
        "".join(f"Chapter {n} began. It went on for long.\nThen it ended: badly.\n" for n in range(9)),
        "".join(f"https://a.example/{n}\n" for n in range(9)),
        "",
    ],
    ids=["records", "prose", "addresses", "nothing"],
)
def test_other_text_is_no_script(text: str) -> None:
    assert not is_script(text)
