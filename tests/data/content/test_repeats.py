"""What rows show only together: answers that repeat, contradictions, near duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.data.content import near
from advisor.data.content.check import ContentCheck
from advisor.data.marked import as_series, marked
from advisor.data.verdict import Finding
from tests.data.content.examples import said
from trainers.examples.example import Example


def findings(examples: Sequence[Example]) -> dict[str, Finding]:
    content = ContentCheck()
    for line, example in enumerate(examples, 1):
        content.add(line, example, marked(example))
    return {finding.code: finding for finding in content.findings()}


def different(count: int) -> list[Example]:
    """Rows that share neither question nor answer, nor many words."""
    words = ["lamp", "shed", "river", "stone", "apple", "green", "seven", "cloud", "paper", "horse", "salt"]
    return [
        said(
            f"{words[i % 11]} {words[i % 7]} {i}?",
            f"{i} {words[i % 5]} {i * 3} {words[i % 9]} {i * 7} {words[i % 11]} {i * 11} {words[i % 8]} {i * 13}",
        )
        for i in range(count)
    ]


REFUSAL = "I am not sure what you mean by that, could you say it again?"


def test_different_rows_show_nothing() -> None:
    assert findings(different(500)) == {}


def test_an_answer_to_many_questions_is_a_habit() -> None:
    rows = [*different(400), *(said(f"question {i}?", REFUSAL) for i in range(100))]
    found = findings(rows)["repeated-answers"]
    assert found.level == "warn"
    assert found.lines == (401, 402, 403, 404, 405)
    assert "100 rows (20.0 %)" in found.what
    assert "I am not sure" in found.what
    assert findings([*different(50), *rows[400:]])["repeated-answers"].level == "block"


def test_the_same_question_with_the_same_answer_is_a_duplicate_and_no_habit() -> None:
    assert "repeated-answers" not in findings([*different(100), *([said("again?", REFUSAL)] * 50)])


def test_labels_repeat_by_their_nature_until_one_is_nearly_all() -> None:
    texts = [f"{example.messages[0]['content']} it was" for example in different(400)]
    even = [said(text, ("good", "bad")[i % 2]) for i, text in enumerate(texts)]
    assert findings(even) == {}
    skewed = [said(text, "bad" if i % 20 else "good") for i, text in enumerate(texts)]
    assert findings(skewed)["one-answer"].level == "warn"
    same = [said(text, "bad") for text in texts]
    assert findings(same)["one-answer"].level == "block"


def test_one_question_with_two_answers_is_a_contradiction() -> None:
    rows = [*different(100), said("Is it safe?", "Yes"), said("is it safe? ", "No"), said("Is it safe?", "yes")]
    found = findings(rows)["contradictions"]
    assert (found.level, found.lines) == ("note", (101, 102))
    assert "3 rows" in found.what
    assert findings(rows[90:])["contradictions"].level == "warn"


def test_the_turns_before_belong_to_the_question() -> None:
    rows = [said("a", "b", "and?", "c"), said("x", "y", "and?", "z"), said("a", "b")]
    assert "contradictions" not in findings([*different(100), *rows])


def test_calls_under_the_same_words_differ() -> None:
    def call(number: int) -> Example:
        calls = [{"type": "function", "function": {"name": "find", "arguments": {"item": number}}}]
        return Example(
            ({"role": "user", "content": f"do {number}"}, {"role": "assistant", "content": "", "tool_calls": calls})
        )

    assert len({marked(call(number)) for number in range(60)}) == 60
    assert {"repeated-answers", "one-answer"}.isdisjoint(findings([call(number) for number in range(60)]))


def test_ids_of_calls_make_no_difference() -> None:
    def call(name: str) -> Example:
        calls = [{"id": name, "type": "function", "function": {"name": "find", "arguments": {"id": 3}}}]
        return Example(
            (
                {"role": "assistant", "content": "", "tool_calls": calls},
                {"role": "tool", "content": "x", "tool_call_id": name},
            )
        )

    assert marked(call("a")) == marked(call("b"))
    assert '"id":3' in marked(call("a")), "an argument of this name is learnt"


def test_rows_that_differ_in_a_word_are_near_duplicates() -> None:
    text = "the lamp stands in the shed behind the house where the old horse used to sleep in winter, "
    text += "which nobody who lives in the village by the river remembers any more, as is said in note"
    rows = [*different(90), *(said("Where?", f"{text} {i}") for i in range(40))]
    found = findings(rows)["near-duplicates"]
    assert found.level == "warn"
    assert found.what.startswith("39 rows (30.0 %)")
    assert found.lines[0] == 92


def test_a_system_prompt_and_tools_in_common_make_no_near_duplicate() -> None:
    system = {"role": "system", "content": "You are the assistant of a shop that sells lamps. " * 20}
    rows = [Example((system, *example.messages), tools=[{"name": "find"}]) for example in different(100)]
    assert findings(rows) == {}


def test_many_rows_are_compared_by_a_sample_that_is_said(monkeypatch: object) -> None:
    class Few(near.NearDuplicates):
        pass

    compared = near.ROWS_COMPARED
    try:
        near.ROWS_COMPARED = 100
        finder = Few()
        texts = [
            marked(said("q", f"the same words in all of the rows but for the last of them {i}")) for i in range(900)
        ]
        finder.look(range(1, 901), texts, as_series(texts))
        (found,) = finder.findings()
    finally:
        near.ROWS_COMPARED = compared
    assert "chosen at random, at least" in found.what
