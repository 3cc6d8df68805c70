import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.commands.demo.dataset import KEYS, form_text, make_examples
from advisor.commands.demo.score import read_form, said, score_forms

FORM = '{"hardware": "2x RTX 3090", "data.examples": 1, "task.switch_per_request": true}'


def test_a_perfect_answer_is_exact_in_any_key_order():
    shuffled = json.dumps(dict(reversed(json.loads(FORM).items())))
    score = score_forms([(FORM, FORM), (FORM, f"  {shuffled}\n")])
    assert (score.exact, score.of, score.exact_share, score.field_share) == (2, 2, 1.0, 1.0)


def test_null_and_left_out_are_the_same():
    score = score_forms(
        [(FORM, FORM.replace("}", ', "model": null}')), (FORM.replace("}", ', "model": null}'), FORM)]
    )
    assert (score.exact, score.field_share) == (2, 1.0)


def test_text_around_the_form_is_readable_but_not_exact():
    score = score_forms([(FORM, f"Sure! {FORM} Anything else?")])
    assert (score.exact, score.readable) == (0, 1)
    assert score.field_share == 1.0


@pytest.mark.parametrize("text", ["", "I am glad to help.", '{"hardware": "2x RTX 30', "[1, 2]", "{not json}"])
def test_a_text_without_a_form_gets_no_field_right(text):
    score = score_forms([(FORM, text)])
    assert (score.exact, score.readable, score.field_share) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ('{"hardware": "2x RTX 3090", "data.examples": 2, "task.switch_per_request": true}', "data.examples"),
        ('{"hardware": "2x RTX 3090", "data.examples": true, "task.switch_per_request": true}', "data.examples"),
        ('{"hardware": "2x RTX 3090", "data.examples": 1, "task.switch_per_request": 1}', "task.switch_per_request"),
        ('{"hardware": "2x RTX 3090", "data.examples": 1}', "task.switch_per_request"),
        (
            '{"hardware": "2x RTX 3090", "data.examples": 1, "task.switch_per_request": true, "model": "x"}',
            "model",
        ),
    ],
)
def test_one_wrong_field_costs_exactly_that_field(written, wrong):
    score = score_forms([(FORM, written)])
    assert score.exact == 0
    assert [key for key, right in score.fields.items() if not right] == [wrong]


def test_a_key_that_is_no_field_spoils_the_exact_match_only():
    written = FORM.replace("{", '{"colour": "red", ', 1)
    score = score_forms([(FORM, written)])
    assert score.exact == 0
    assert score.field_share == 1.0


@given(st.text(max_size=200))
def test_no_text_can_upset_the_reader(text):
    found, alone = read_form(text)
    assert found is None or isinstance(found, dict)
    assert alone is False or found is not None


@given(st.integers(0, 10_000), st.sampled_from(["train", "unseen"]))
def test_every_made_form_scores_itself_as_exact(seed, part):
    (example,) = make_examples(1, part, seed)
    text = form_text(example.form)
    assert score_forms([(text, text)]).exact == 1
    assert list(json.loads(text)) == list(KEYS)
    assert said(json.loads(text)) == example.form
