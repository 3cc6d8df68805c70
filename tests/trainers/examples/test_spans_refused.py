"""What a template does with a conversation that must not be trained on is said, with the message that it befalls."""

from __future__ import annotations

import pytest

from tests.trainers.examples import templates
from tests.trainers.examples.templates import (
    CHATML,
    CONVERSATIONS,
    TOOLS,
    TWO_TURNS,
    answer,
    marked,
    marker_of,
    of_template,
    result,
    user,
)
from trainers.examples.example import Example, RowError
from trainers.examples.proof import Unproven
from trainers.examples.spans import Marker, _holds, _not_shown, _stretches
from trainers.examples.template import ChatTemplate, Piece, Trace


@pytest.mark.parametrize(
    ("template", "title", "kind"),
    [
        ("llama3", "call", "calls"),
        ("phi3", "call", "calls"),
        ("deepseek_r1_distill", "reasoning in one turn", "reasoning"),
        ("llama3_1", "call with words", "words"),
        ("llama3_1", "call with reasoning", "reasoning"),
    ],
)
def test_what_a_template_does_not_show_is_said(template: str, title: str, kind: str) -> None:
    with pytest.raises(Unproven) as refusal:
        marked(templates.SHIPPED / f"{template}.jinja", CONVERSATIONS[title])
    assert refusal.value.kind == kind


@pytest.mark.parametrize(
    ("role", "kind", "what", "named"),
    [
        ("assistant", "tool_calls", "calls", "a tool call"),
        ("assistant", "reasoning_content", "reasoning", "the reasoning"),
        ("assistant", "content", "words", "the words"),
        ("tool", "content", "results", "what a tool returned"),
        ("system", "content", "system", "the system message"),
        ("user", "content", "template", "the words"),
    ],
)
def test_what_a_template_does_not_show_is_named_with_its_message(role: str, kind: str, what: str, named: str) -> None:
    missing = _not_shown(role, kind, 2)
    assert (missing.kind, str(missing)) == (what, f"the chat template does not show {named} of message 3")


def test_a_template_that_hides_the_tools_is_named() -> None:
    marker = Marker(ChatTemplate(CHATML, {"eos_token": "<|im_end|>"}), ["<|im_end|>"])
    with pytest.raises(RowError, match="does not show the tools"):
        marker.mark(Example((user("q"), answer("a")), tools=TOOLS))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "{% if m.role == 'user' or loop.last %}{{ m.content }}{% endif %}",
            "the chat template does not show the words of message 2",
        ),
        (
            "{{ m.content }}{% if m.role == 'assistant' %} to {{ messages[loop.index0 - 1].content }}{% endif %}",
            "the chat template writes words of the user into an answer",
        ),
        (
            "{% if m.role == 'assistant' %}{{ messages[loop.index0 - 1].content }}: {% endif %}{{ m.content }}",
            "the chat template writes words of the user into an answer",
        ),
        (
            "{% if m.role == 'user' or messages|length < 4 %}{{ m.content }}{% endif %}"
            "{% if m.role == 'user' and loop.previtem %} (you said {{ loop.previtem.content }}){% endif %}",
            "the chat template does not show the words of message 2",
        ),
    ],
)
def test_what_is_wrong_with_an_answer_of_a_template_is_named(written: str, message: str) -> None:
    with pytest.raises(Unproven) as refusal:
        of_template(written).mark(Example(TWO_TURNS))
    assert (refusal.value.kind in ("template", "words"), str(refusal.value)) == (True, message)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("messages[0::2] + messages[3:]", "the chat template leaves out the words of message 2"),
        ("messages + messages[1:2]", "the chat template repeats the words of message 2"),
        ("messages[2:] + messages[:2]", "the chat template moves the words of message 3"),
    ],
)
def test_a_template_that_builds_its_own_messages_is_told_what_became_of_them(order: str, message: str) -> None:
    text = (
        "{% set ns = namespace(all=[]) %}{% for m in (" + order + " if messages|length > 3 else messages) %}"
        "{% set ns.all = ns.all + [m.role ~ ': ' ~ m.content ~ '</s>'] %}{% endfor %}{{ ns.all|join }}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(Unproven) as refusal:
        Marker(ChatTemplate(text, {"eos_token": "</s>"}), ["</s>"]).mark(Example(TWO_TURNS))
    assert (refusal.value.kind, str(refusal.value)) == ("template", message)


def test_a_template_that_passes_over_a_text_of_the_data_is_refused_for_it() -> None:
    marker = Marker(ChatTemplate(CHATML.replace("%}<|", "if m.content != 'skip' %}<|", 1), {}), ["<|im_end|>"])
    assert marker.mark(Example(TWO_TURNS)).answers
    with pytest.raises(Unproven, match="treats this text differently from other texts") as refusal:
        marker.mark(Example((user("skip"), answer("a"))))
    assert refusal.value.kind == "template"


def test_an_answer_whose_words_a_template_changes_is_named_with_its_message() -> None:
    marker = of_template("{{ m.content|replace('second', '2nd') }}")
    assert marker.mark(Example(TWO_TURNS[:2])).answers
    with pytest.raises(Unproven, match=r"^the chat template changes the words of message 4$") as refusal:
        marker.mark(Example(TWO_TURNS))
    assert refusal.value.kind == "template"


def showing_calls_below(messages: int) -> Marker:
    """Of a template that shows calls in conversations of fewer messages alone."""
    shows_calls = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}" + CHATML.replace(
        "{{ m.content }}",
        f"{{{{ m.content }}}}{{% for c in m.tool_calls or [] if messages|length < {messages} %}}"
        "{{ c.function.name }}({{ c.function.arguments }}){% endfor %}",
    )
    return Marker(ChatTemplate(shows_calls, {}), ["<|im_end|>"])


def test_a_call_that_a_template_drops_from_long_conversations_is_named_with_its_message() -> None:
    marker = showing_calls_below(6)
    called = CONVERSATIONS["call with words"]
    assert marker.mark(Example(tuple(called), tools=TOOLS)).answers[0].calls
    with pytest.raises(Unproven, match=r"^the chat template does not show a tool call of message \d$") as refusal:
        marker.mark(Example((*TWO_TURNS, *called), tools=TOOLS))
    assert refusal.value.kind == "calls"


def test_a_call_without_arguments_that_a_template_drops_is_named_with_its_message() -> None:
    marker = showing_calls_below(5)
    call = {"type": "function", "id": "c0", "function": {"name": "get_weather", "arguments": {}}}
    asked = (user("Weather?"), answer("I look.", tool_calls=[call]), result("9C"), answer("9C"))
    assert marker.mark(Example(asked, tools=TOOLS)).answers[0].calls
    with pytest.raises(Unproven, match=r"^the chat template does not show a tool call of message 2$") as refusal:
        marker.mark(Example((*asked, user("Thanks")), tools=TOOLS))
    assert refusal.value.kind == "calls"


def test_tools_that_a_template_drops_from_long_conversations_are_named() -> None:
    marker = Marker(ChatTemplate("{{ tools if messages|length < 3 else '' }}" + CHATML, {}), ["<|im_end|>"])
    assert marker.mark(Example((user("q"), answer("a")), tools=TOOLS)).answers
    with pytest.raises(Unproven, match=r"^the chat template does not show the tools that may be called$") as refusal:
        marker.mark(Example(TWO_TURNS, tools=TOOLS))
    assert refusal.value.kind == "tools"


def test_an_answer_that_a_template_takes_for_the_question_is_named_with_its_message() -> None:
    marker = marker_of(templates.SHIPPED / "llama3_1.jinja")  # it puts the tools in front of whatever comes first
    with pytest.raises(Unproven, match=r"^the chat template writes nothing for the answer in message 1$") as refusal:
        marker.mark(Example((answer("hi "),), tools=TOOLS))
    assert refusal.value.kind == "template"


@pytest.mark.parametrize(
    "turn",
    [
        "<|{{ 'bot' if 'second' in m.content else m.role }}|>{{ m.content }}<|end|>",
        "<|{{ m.role }}|>{{ m.content }}<|{{ 'stop' if 'second' in m.content else 'end' }}|>",
    ],
)
def test_an_answer_that_a_template_frames_by_its_words_is_named_with_its_message(turn: str) -> None:
    opening = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    marker = Marker(ChatTemplate("{% for m in messages %}" + turn + "{% endfor %}" + opening, {}), ["<|end|>"])
    assert marker.mark(Example(TWO_TURNS[:2])).answers
    with pytest.raises(Unproven, match=r"^the chat template writes message 4 in an unexpected way$") as refusal:
        marker.mark(Example(TWO_TURNS))
    assert refusal.value.kind == "template"


@pytest.mark.parametrize(
    ("learnt", "said", "holds"),
    [
        (["one answer"], " one answer\n", True),
        (["one", " answer"], "one answer", True),
        (["one answer"], "one\n\n  answer", True),
        (["one  answer"], "one answer", True),
        (["one answer"], "another answer", False),
    ],
)
def test_an_answer_is_held_however_its_whitespace_was_changed(learnt: list[str], said: str, holds: bool) -> None:
    assert _holds(learnt, said) == holds


def test_whose_stretches_follow_each_other_is_told_without_the_empty_ones() -> None:
    turns = [(0, 3, 0), (3, 3, 1), (3, 5, 0), (5, 9, 1), (9, 9, 0), (9, 10, 1), (10, 12, 0)]
    trace = Trace("x" * 12, tuple(Piece(start, end, turn, False) for start, end, turn in turns))
    assert _stretches(trace) == (0, 1, 0)
