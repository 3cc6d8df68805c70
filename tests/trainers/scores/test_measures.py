from pathlib import Path

import pytest

from trainers.scores.classes import OTHER, classes
from trainers.scores.measures import MEASURES, choose, compare, measure_named
from trainers.scores.structured import matches_schema


@pytest.mark.parametrize(
    ("measure", "reference", "answer", "score"),
    [
        ("exact", "Yes", " Yes\n", 1),
        ("exact", "Yes", "yes", 0),
        ("normalised", "The Cat!", "cat", 1),
        ("token_f1", "a red cat", "the red dog", 0.5),
        ("token_f1", "", "", 1),
        ("number", "so it is 1,200", "= 1200.0 in all", 1),
        ("number", "-3", "3", 0),
        ("number", "none", "none", 0),
        ("json", '{"a": 1, "b": [2]}', '```json\n{"b": [2.0], "a": 1}\n```', 1),
        ("json", '{"a": 1}', '{"a": true}', 0),
        ("json", '{"a": NaN}', '{"a": NaN}', 0),
        ("json_shape", '{"a": 1, "b": "x"}', '{"b": "y", "a": 7}', 1),
        ("json_shape", '{"a": 1}', '{"a": "1"}', 0),
        ("json_valid", "", "[1]", 1),
        ("json_valid", "", "Sure: [1]", 0),
        ("tool_calls", '{"name": "f", "arguments": {"x": 1}}',
         '<tool_call>{"name":"f","arguments":"{\\"x\\":1}"}</tool_call>', 1),
        ("tool_calls", '{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "arguments": {"x": 2}}', 0),
        ("tool_names", '{"name": "f", "arguments": {"x": 1}}', '{"name": "f", "arguments": {"x": 2}}', 1),
        ("tool_calls", "no call", "no call", 0),
        ("python_parses", "", "```python\ndef f():\n    return 1\n```", 1),
        ("python_parses", "", "def f(:", 0),
        ("python_parses", "", "", 0),
        ("label", "Spam", " spam", 1),
    ],
)  # fmt: skip
def test_a_measure_gives_what_its_definition_says(measure: str, reference: str, answer: str, score: float) -> None:
    assert MEASURES[measure](reference, answer) == pytest.approx(score)


@pytest.mark.parametrize(
    ("references", "measure"),
    [
        (['{"name": "f", "arguments": {}}'] * 5, "tool_calls"),
        (['{"a": 1}', "[1, 2]"], "json"),
        (["12", "3.5 kg", "$7"], "number"),
        (["spam", "ham", "spam", "Ham", "spam", "ham", "ham"], "label"),
        (["def f():\n    return 1", "import os\nprint(os)"], "python_parses"),
        (["Paris", "Rome", "Bern"], "normalised"),
        (["The town lies on a river, and has two bridges.", "No one knows how old the church is."], "token_f1"),
        (["今天天气很好我们去公园散步吧", "他昨天买了一本新书"], "chrf"),
        ([], "exact"),
    ],
)  # fmt: skip
def test_the_measure_is_picked_from_the_references(references: list[str], measure: str) -> None:
    assert choose(references).measure == measure


def test_a_pattern_and_a_file_of_ones_own_are_measures(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text("def score(reference, answer):\n    return len(answer) / 10\n")
    assert measure_named(str(own))("", "12345") == 0.5
    assert measure_named(r"regex:^\d+$")("", "12") == 1
    for wrong in ("nonsense", "regex:(", str(tmp_path / "none.py")):
        with pytest.raises(ValueError, match=r"measure|expression"):
            measure_named(wrong)


def test_a_schema_judges_the_answer() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    assert matches_schema('{"a": 1}', schema) == 1
    assert matches_schema('{"a": "1"}', schema) == 0


def test_an_answer_that_is_no_label_is_shown_as_such() -> None:
    assert classes(["a", "b"], ["a", "perhaps"]).confusion == {"a": {"a": 1}, "b": {OTHER: 1}}


def test_two_models_are_compared_on_the_same_rows() -> None:
    references = [str(number) for number in range(20)]
    found = compare(choose(references), references, ["no"] * 20, references)
    assert found is not None
    assert found.base is not None
    assert found.gain is not None
    assert (found.measure, found.base.value, found.tuned.value, found.gain.is_sure) == ("number", 0, 1, True)
    assert compare(choose([]), [], [], []) is None
