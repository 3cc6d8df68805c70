"""Reasoning is learnt with its answer, or the answer is only shown; and what opens an answer is never learnt."""

from __future__ import annotations

import pytest

from tests.trainers.examples import templates
from tests.trainers.examples.templates import CONVERSATIONS, TOOLS, answer, marked, user
from trainers.examples.example import Example
from trainers.examples.proof import Unproven
from trainers.examples.spans import Marker
from trainers.examples.template import ChatTemplate
from trainers.plan import LossOn

THINKING = (user("q"), answer("first", reasoning_content="why"), user("r"), answer("second", reasoning_content="so"))

# As Qwen3's: reasoning of the last answer alone, and an empty block where another has none.
LAST_ALONE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n{{ m.reasoning_content if loop.last }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def last_alone(loss_on: LossOn = "assistant", written: str = LAST_ALONE) -> Marker:
    return Marker(ChatTemplate(written, {"eos_token": "<|im_end|>"}), ["<|im_end|>"], loss_on)


def test_reasoning_of_an_earlier_turn_that_the_template_drops_leaves_that_answer_unlearnt() -> None:
    rendered = marked(templates.SHIPPED / "qwen3.jinja", CONVERSATIONS["reasoning in the answer"])
    assert rendered.without_reasoning == (1,)
    assert [one.place for one in rendered.answers] == [3]
    assert rendered.words(rendered.answers[0]) == "<think>\nadd again\n</think>\n\n6<|im_end|>"


def test_an_answer_says_whether_its_reasoning_is_learnt() -> None:
    rendered = last_alone().mark(Example(THINKING))
    assert (rendered.without_reasoning, rendered.shown) == ((1,), (1,))
    assert [(one.place, one.has_reasoning) for one in rendered.answers] == [(3, True)]
    assert rendered.words(rendered.answers[0]) == "<think>\nso\n</think>\n\nsecond<|im_end|>"
    plain = last_alone().mark(Example((user("q"), answer("first"))))
    assert [(one.place, one.has_reasoning) for one in plain.answers] == [(1, False)]
    inline = Marker(ChatTemplate(templates.CHATML, {}), ["<|im_end|>"])
    written_out = inline.mark(Example((user("q"), answer("<think>why</think>first"))))
    assert written_out.answers[0].has_reasoning


def test_an_empty_block_that_the_template_writes_is_not_learnt() -> None:
    rendered = last_alone().mark(Example(templates.TWO_TURNS))
    assert rendered.without_reasoning == ()
    assert [rendered.words(one) for one in rendered.answers] == ["first<|im_end|>", "second<|im_end|>"]


def test_with_the_loss_on_everything_an_answer_is_learnt_without_the_reasoning_it_had() -> None:
    rendered = last_alone("all").mark(Example(THINKING))
    assert (rendered.without_reasoning, rendered.shown) == ((1,), ())
    assert [(one.place, one.has_reasoning) for one in rendered.answers] == [(1, False), (3, True)]
    assert rendered.words(rendered.answers[0]) == "first<|im_end|>"
    assert rendered.spans == ((0, len(rendered.text)),)


def test_reasoning_that_the_last_answer_loses_is_named() -> None:
    hides = LAST_ALONE.replace("if loop.last", "if loop.last and messages|length < 4")
    with pytest.raises(Unproven, match=r"^the chat template does not show the reasoning of message 4$") as refusal:
        last_alone(written=hides).mark(Example(THINKING))
    assert refusal.value.kind == "reasoning"


def test_what_stands_behind_dropped_reasoning_is_proven_too() -> None:
    hides = LAST_ALONE.replace("{{ m.content }}", "{{ m.content if loop.index0 != 1 or loop.length < 4 }}")
    with pytest.raises(Unproven, match=r"^the chat template does not show the words of message 2$") as refusal:
        last_alone(written=hides).mark(Example(THINKING))
    assert refusal.value.kind == "words"


# What opens an answer changes from one to the next. As Mistral's, it shows the system message with the last question
# alone: a conversation up to an answer is not how the whole one begins.
NUMBERED = (
    "{% set said = messages|selectattr('role', 'equalto', 'assistant')|list|length %}"
    "{% set asked = messages|selectattr('role', 'equalto', 'user')|list|last %}"
    "{% set ns = namespace(number=0) %}{{ tools or '' }}{% for m in messages %}"
    "{% if m.role == 'user' %}[Q]"
    "{% if messages[0].role == 'system' and m == asked %}{{ messages[0].content }} {% endif %}{{ m.content }}"
    "{% elif m.role == 'assistant' %}{% set ns.number = ns.number + 1 %}[A{{ ns.number }}]{{ m.content }}</s>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}[A{{ said + 1 }}]{% endif %}"
)


@pytest.mark.parametrize("behind", ["", "{% if not add_generation_prompt %}[END]{% endif %}"])
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_each_answer_is_learnt_behind_its_own_opening(behind: str, tools: object) -> None:
    marker = Marker(ChatTemplate(NUMBERED + behind, {"eos_token": "</s>"}), ["</s>"])
    rendered = marker.mark(Example(templates.TWO_TURNS, tools=tools))
    assert [rendered.words(one) for one in rendered.answers] == ["first</s>", "second</s>"]


@pytest.mark.parametrize("tools", [None, TOOLS])
def test_an_opening_is_known_where_the_text_before_it_is_another_than_in_the_conversation(tools: object) -> None:
    marker = Marker(ChatTemplate(NUMBERED, {"eos_token": "</s>"}), ["</s>"])
    turns = (templates.system("Be brief."), *templates.TWO_TURNS, user("s"), answer("third"))
    rendered = marker.mark(Example(turns, tools=tools))
    assert [rendered.words(one) for one in rendered.answers] == ["first</s>", "second</s>", "third</s>"]


def test_an_answer_is_learnt_where_the_mark_that_opens_it_closes_it_too() -> None:
    written = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}\n{% else %}**{{ m.content }}**\n{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}**{% endif %}"
    )
    rendered = Marker(ChatTemplate(written, {}), ["**"]).mark(Example(templates.TWO_TURNS))
    assert [rendered.words(one) for one in rendered.answers] == ["first**", "second**"]


def test_an_empty_answer_is_learnt_as_the_end_that_a_server_waits_for() -> None:
    marker = Marker(ChatTemplate(NUMBERED, {"eos_token": "</s>"}), ["</s>"])
    rendered = marker.mark(Example((user("q"), answer(""), user("r"), answer("second"))))
    assert [rendered.words(one) for one in rendered.answers] == ["</s>", "second</s>"]


INLINE = Example((user("q"), answer("first", reasoning_content="why")))


def test_a_template_without_a_place_for_reasoning_gets_it_written_into_the_answer() -> None:
    rendered = Marker(ChatTemplate(templates.CHATML, {}), ["<|im_end|>"]).mark(INLINE)
    assert "why" in rendered.words(rendered.answers[0]) and rendered.answers[0].has_reasoning


@pytest.mark.parametrize("written", [templates.CHATML, LAST_ALONE], ids=["inline", "apart"])
def test_reasoning_that_is_left_out_is_nowhere(written: str) -> None:
    rendered = Marker(ChatTemplate(written, {}), ["<|im_end|>"], leave_out=["reasoning"]).mark(INLINE)
    assert "why" not in rendered.text
    assert (rendered.words(rendered.answers[0]), rendered.answers[0].has_reasoning) == ("first<|im_end|>", False)
