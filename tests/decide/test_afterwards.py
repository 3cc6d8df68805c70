"""What comes after the run: sizes that tell two models apart, by the formula that is stated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.decide.afterwards import difference_told, items_to_tell_apart
from tests.decide.conftest import Advise


def test_two_points_take_about_two_thousand_questions() -> None:
    assert items_to_tell_apart(0.02) == 1_921
    assert items_to_tell_apart(0.02, disagreeing=0.5) == 4_802


@given(difference=st.floats(0.005, 0.5))
def test_the_number_of_questions_tells_the_difference_that_it_was_chosen_for(difference: float) -> None:
    assert difference_told(items_to_tell_apart(difference)) <= difference * 1.0001


@pytest.mark.parametrize(
    ("examples", "said"), [(100, "tell nothing for sure"), (40_000, "The 2,000 kept back tell 2.0")]
)
def test_what_is_kept_back_is_judged(recommend: Advise, examples: int, said: str) -> None:
    assert said in recommend("RTX 4090", "Qwen3-8B", data__examples=examples).afterwards[0].what


def test_the_command_loads_an_adapter_over_its_base_and_a_whole_model_alone(recommend: Advise) -> None:
    lora, full = (recommend("H100", "Qwen3-0.6B", wish__method=method).afterwards[1] for method in ("lora", "full"))
    assert "peft=RESULT" in lora.command
    assert "pretrained=RESULT" in full.command


def test_feedback_leads_to_its_own_stage(recommend: Advise) -> None:
    best = recommend("RTX 4090", "Qwen3-8B", task__feedback="pairs").best
    assert best is not None
    fix = next(trace.fix for trace in best.warnings if trace.rule_id == "GATE-05")
    assert "trl dpo" in fix
