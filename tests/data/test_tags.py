"""Tags that answers write again and again: a warning where a machine means them, a note where a person may."""

from __future__ import annotations

import pytest

from advisor.data.sampling import Sampled
from advisor.data.tags import judge_tags
from trainers.examples.example import Example


def sample(*answers: str) -> list[Sampled]:
    return [
        Sampled(line, Example(({"role": "user", "content": "q"}, {"role": "assistant", "content": answer})))
        for line, answer in enumerate(answers, 1)
    ]


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ("<|action|>find(1)", "warn"),
        ("[RUN_PLUGIN] find 1", "warn"),
        ("<api>find</api>", "warn"),
        ("Well <invoke>find</invoke>", "warn"),
        ('Well <toolbox use="find">boats</toolbox>', "warn"),
        ('<a href="x">boats</a>', None),
        ("<solution>4</solution>", "note"),
        ("<think>two and two</think> 4", None),
        ("<b>4</b> and <br>", None),
        ("`<|action|>` is a mark", None),
        ("List<String> a", None),
        ("a < b and c > d", None),
        ("a [NOTE] of mine", "note"),
    ],
)
def test_tags_are_told_by_what_their_names_say(answer: str, level: str | None) -> None:
    found = list(judge_tags(sample(answer, answer, answer, "no tag")))
    assert [one.level for one in found] == ([level] if level else [])


def test_a_tag_in_few_rows_is_not_told_and_lines_are_named() -> None:
    assert not list(judge_tags(sample("<api>", "<api>", *["no tag"] * 90)))
    (found,) = judge_tags(sample("no tag", "<api>", "<api>", "<tool>", "<api>"))
    assert found.lines == (2, 3, 5)
    assert found.rows == 3
