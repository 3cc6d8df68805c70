"""One parse and one validation for every door; everything wrong is said at once; files are read and kept safely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.ask.answers import Layer, parse_value, read_file, resolve, to_toml
from advisor.ask.question import Measured
from advisor.ask.questions import BY_KEY, QUESTIONS
from advisor.base.errors import InputError
from tests.report.made_by_hand import dataset


def problems(*layers: Layer) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(*layers)
    return [f"{problem.what} | {problem.why} | {problem.fix}" for problem in caught.value.problems]


def test_the_first_layer_wins_and_origins_are_kept():
    answers = resolve(
        Layer("flag", {"task.count": "3"}), Layer("file", {"task.count": 5, "model": "m", "task.shift": "large"})
    )
    assert (answers.values["task.count"], answers.origins["task.count"]) == (3, "flag")
    assert (answers.values["task.shift"], answers.origins["task.shift"]) == ("large", "file")
    assert (answers.values["task.priority"], answers.origins["task.priority"]) == ("quality", "default")
    assert answers.explicit == {"model": "m", "task.count": 3, "task.shift": "large"}


def test_what_is_not_known_is_absent():
    answers = resolve(Layer("flag", {"model": "m"}))
    for key in ("task.shift", "data.examples", "storage.budget_bytes", "task.prompting_tried"):
        assert key not in answers.values


def test_measured_defaults_say_where_they_come_from():
    answers = resolve(Layer("flag", {"model": "m", "dataset": "d"}), measured=Measured(data=dataset()))
    assert (answers.values["data.kind"], answers.origins["data.kind"]) == ("chat", "dataset")


def test_everything_wrong_is_said_at_once_with_the_nearest_valid_value():
    flags = {"task.cuont": "3", "task.count": "0", "task.priority": "qualty", "storage.budget_bytes": "50"}
    said = problems(Layer("flag", flags), Layer("file", {"data": 3, "deploy.latency_critical": "perhaps"}, "a.toml"))
    assert len(said) == 7
    text = "\n".join(said)
    assert "--task-cuont is not a question" in text
    assert "did you mean --task-count?" in text
    assert "did you mean quality?" in text
    assert "write 50GiB" in text
    assert "[deploy] latency_critical cannot be 'perhaps'" in text
    assert "the smallest possible value is 1" in text
    assert "model is not given" in text


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("task.count", "1_000", 1000),
        ("data.total_tokens", "1.2M", 1_200_000),
        ("data.total_tokens", "5k", 5000),
        ("wish.max_seq_len", "4k", 4096),
        ("data.len_p95", "1.5k", 1536),
        ("storage.budget_bytes", "1.5GiB", 3 << 29),
        ("storage.budget_bytes", "2 TB", 2 * 10**12),
        ("storage.budget_bytes", 7, 7),
        ("task.switch_per_request", "Yes", True),
        ("task.switch_per_request", "off", False),
        ("data.kind", "long-cot", "long_cot"),
        ("deploy.weights", "16BIT", "16bit"),
        ("model", "  m ", "m"),
    ],
)
def test_spellings_that_are_understood(key, raw, value):
    assert parse_value(BY_KEY[key], raw) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("task.count", "1.5"),
        ("task.count", True),
        ("task.count", 2.0),
        ("task.count", "٣x"),
        ("task.count", "9" * 400),
        ("storage.budget_bytes", "-5GiB"),
        ("storage.budget_bytes", "0GiB"),
        ("storage.budget_bytes", "5iB"),
        ("storage.budget_bytes", "1e9GiB"),
        ("storage.budget_bytes", 2.5),
        ("task.switch_per_request", 1),
        ("model", ""),
        ("model", "   "),
        ("model", "a\x00b"),
        ("model", ["a"]),
        ("task.priority", None),
    ],
)
def test_values_that_are_refused(key, raw):
    with pytest.raises(ValueError):
        parse_value(BY_KEY[key], raw)


anything = st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text()))


@given(st.sampled_from(QUESTIONS), anything)
def test_any_value_is_either_understood_or_refused_with_a_reason(question, raw):
    try:
        value = parse_value(question, raw)
    except ValueError as error:
        assert str(error)
    else:
        assert parse_value(question, value) == value


@given(st.dictionaries(st.sampled_from(sorted(BY_KEY)) | st.text(max_size=12), anything, max_size=6))
def test_any_layer_gives_answers_or_problems_that_say_what_and_how(raw):
    try:
        resolve(Layer("flag", raw))
    except InputError as error:
        assert all(problem.what and problem.fix for problem in error.problems)


def test_a_file_is_read_as_it_was_written(tmp_path):
    values = {"model": "Qwen3-8B", "task.count": 3, "storage.budget_bytes": 5 << 30, "task.switch_per_request": True}
    path = tmp_path / "answers.toml"
    path.write_text(to_toml(values))
    assert resolve(read_file(path)).explicit == values
    assert "[task]" in to_toml(values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"model = 'Qwen", "not valid TOML"),
        (b"model = \xff\xfe", "is not UTF-8"),
        ("model = 'm'".encode("utf-16"), "is not UTF-8"),
        (b"schema = 'other/v9'\nmodel='m'", "its schema is 'other/v9'"),
        (b"#" * (2 << 20), "larger than any such file (1 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, content, said):
    path = tmp_path / "answers.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(path)
    assert said in caught.value.problems[0].why


def test_a_file_that_is_none(tmp_path):
    for path, said in ((tmp_path, "Is a directory"), (tmp_path / "none.toml", "No such file")):
        with pytest.raises(InputError) as caught:
            read_file(path)
        assert said in caught.value.problems[0].why


def test_wrong_shapes_inside_a_file_are_named(tmp_path):
    path = tmp_path / "answers.toml"
    path.write_text('model = 3\ntask = 5\n[deploy]\nengin = "vllm"\nweights = ["fp8"]\n[unknown]\na = 1\n')
    said = "\n".join(problems(read_file(path)))
    assert "model cannot be 3" in said
    assert "task is not a question" in said
    assert "did you mean [deploy] engine?" in said
    assert "[deploy] weights cannot be ['fp8']" in said
    assert "[unknown] a is not a question" in said


def test_a_byte_order_mark_is_no_problem(tmp_path):
    path = tmp_path / "answers.toml"
    path.write_bytes(b"\xef\xbb\xbfmodel = 'm'\n")
    assert read_file(path).raw == {"model": "m"}


def test_a_prompted_answer_is_dropped_when_it_no_longer_applies_a_flag_is_not():
    from advisor.ask.answers import Answers, complete

    values = {"model": "m", "task.count": 1, "task.switch_per_request": True}
    prompted = Answers(values=values, origins=dict.fromkeys(values, "prompt"))
    assert complete(prompted, Measured()).values["task.switch_per_request"] is False
    flagged = Answers(values=values, origins=dict.fromkeys(values, "flag"))
    assert complete(flagged, Measured()).values["task.switch_per_request"] is True
