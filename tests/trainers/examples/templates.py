"""Chat templates and conversations that labels are proven on, and code that judges labels by other means."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import trl

from trainers.examples.example import Example
from trainers.examples.spans import Marker, Rendered
from trainers.examples.template import ChatTemplate
from trainers.plan import LossOn

SHIPPED = Path(trl.__file__).parent / "chat_templates"
FAMILIES = Path(__file__).parents[2] / "fixtures" / "templates"

ENDS = {
    "qwen": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma4": "<turn|>",
    "diffusion_gemma": "<turn|>",
    "phi3": "<|end|>",
    "gptoss": "<|return|>",
    "glm4": "<|user|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "lfm2": "<|im_end|>",
    "nemotron": "<|im_end|>",
    "smolvlm": "<end_of_utterance>",
    "idefics3": "<end_of_utterance>",
    "muse": "<|eot|>",
    "exaone": "[|endofturn|]",
    "kimi": "<|im_end|>",
    "granite": "<|end_of_text|>",
    "internlm": "<|im_end|>",
}
MORE_ENDS = {
    "gptoss": ("<|call|>", "<|end|>"),
    "glm4": ("<|observation|>",),
    "gemma4": ("<|tool_response>",),
    "diffusion_gemma": ("<|tool_response>",),
}


def base_templates() -> list[Path]:
    """Every template that TRL ships for a model as published, without its own variants for training."""
    return [path for path in sorted(SHIPPED.glob("*.jinja")) if not path.stem.endswith("_training")]


def family_templates() -> list[Path]:
    """Templates built as those of further model families are."""
    return sorted(FAMILIES.glob("*.jinja"))


def end_tokens(name: str) -> tuple[str, ...]:
    """What stops generation in the family of a template, its end-of-sequence token first."""
    found = next((ENDS[key] for key in sorted(ENDS, key=len, reverse=True) if name.startswith(key)), "</s>")
    more = [token for key, tokens in MORE_ENDS.items() if name.startswith(key) for token in tokens]
    return (found, *more)


@cache
def _template_of(path: Path) -> ChatTemplate:
    tokens = {"bos_token": "<s>", "eos_token": end_tokens(path.stem)[0]}
    return ChatTemplate(path.read_text(encoding="utf-8"), tokens)


@cache
def marker_of(path: Path) -> Marker:
    """A marker for a template, kept for the length of one test: see `conftest.py`."""
    return Marker(_template_of(path), end_tokens(path.stem))


def user(text: str) -> dict[str, Any]:
    """A question."""
    return {"role": "user", "content": text}


def answer(text: str, **more: Any) -> dict[str, Any]:
    """An answer."""
    return {"role": "assistant", "content": text, **more}


def calls(*cities: str) -> list[dict[str, Any]]:
    """Calls of one tool, one for each city."""
    return [
        {"type": "function", "id": f"c{place}", "function": {"name": "get_weather", "arguments": {"city": city}}}
        for place, city in enumerate(cities)
    ]


def result(text: str, place: int = 0) -> dict[str, Any]:
    """What a tool returned."""
    return {"role": "tool", "content": text, "name": "get_weather", "tool_call_id": f"c{place}"}


def system(text: str) -> dict[str, Any]:
    """A system message."""
    return {"role": "system", "content": text}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "its name"}},
                "required": ["city"],
            },
        },
    }
]

PLAIN: dict[str, list[dict[str, Any]]] = {
    "two turns": [user("What colour is the sky?"), answer("It looks blue."), user("And grass?"), answer("Green.")],
    "answer stands in the question": [
        user("Is it good or bad? Answer good or bad."),
        answer("good"),
        user("And this one, bad or good?"),
        answer("bad"),
    ],
    "copied from the question": [
        user("Extract the city: I live in Paris."),
        answer("Paris"),
        user("Extract the city: She left Rome."),
        answer("Rome"),
    ],
    "one turn": [user("Is it good or bad?"), answer("good")],
    "one letter": [user("a or b? assistant"), answer("a")],
    "the same answer twice": [user("Is water wet?"), answer("yes"), user("Is ice?"), answer("yes")],
    "answer equal to the question": [user("yes"), answer("yes"), user("yes"), answer("yes")],
    "system": [system("Be brief."), user("Well?"), answer("Be brief.")],
    "last turn by the user": [user("a"), answer("b"), user("b")],
    "an empty answer": [user("a"), answer(""), user("c"), answer("d")],
    "whitespace at the edges": [user(" a\n"), answer("  b\n\n"), user("c"), answer("\nd ")],
    "words of the template": [user("assistant user model"), answer("user"), user("x"), answer("assistant model")],
}
ODD: dict[str, list[dict[str, Any]]] = {
    "system in the middle": [user("a"), answer("b"), system("Be brief."), user("c"), answer("d")],
    "an answer first": [answer("hello"), user("c"), answer("d")],
    "two questions": [user("a"), user("c"), answer("d")],
    "two answers": [user("a"), answer("c"), answer("d")],
}
REASONING: dict[str, list[dict[str, Any]]] = {
    "reasoning in the answer": [
        user("2+2?"),
        answer("<think>\nadd them\n</think>\n\n4"),
        user("3+3?"),
        answer("<think>\nadd again\n</think>\n\n6"),
    ],
    "reasoning apart": [user("2+2?"), answer("4", reasoning_content="2+2 is 4"), user("x"), answer("y")],
    "reasoning in one turn": [user("2+2?"), answer("4", reasoning_content="add them")],
}
TOOL_USE: dict[str, list[dict[str, Any]]] = {
    "call": [user("Weather in Oslo?"), answer("", tool_calls=calls("Oslo")), result("20C"), answer("It is 20C.")],
    "call in the end": [user("Weather in Oslo?"), answer("", tool_calls=calls("Oslo"))],
    "parallel calls": [
        user("Oslo or Rome?"),
        answer("", tool_calls=calls("Oslo", "Rome")),
        result("20C"),
        result("30C", 1),
        answer("Rome"),
    ],
    "call with words": [user("Weather?"), answer("I look.", tool_calls=calls("Oslo")), result("9C"), answer("9C")],
    "two calls in a row": [
        user("Oslo, then Rome?"),
        answer("", tool_calls=calls("Oslo")),
        result("20C"),
        answer("", tool_calls=calls("Rome")),
        result("30C"),
        answer("Both warm."),
        user("Thanks, Oslo"),
        answer("Oslo"),
    ],
    "call with reasoning": [
        user("Weather?"),
        answer("", tool_calls=calls("Oslo"), reasoning_content="need to look"),
        result("20C"),
        answer("It is 20C.", reasoning_content="got it"),
    ],
}
CONVERSATIONS = {**PLAIN, **ODD, **REASONING, **TOOL_USE}


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


TWO_TURNS = (user("q"), answer("first"), user("r"), answer("second"))


def of_template(written: str, loss_on: LossOn = "assistant") -> Marker:
    """A marker of a template that writes one turn after the other: `written` between the heads and ends of ChatML."""
    text = "{% for m in messages %}<|im_start|>{{ m.role }}\n" + written + "<|im_end|>\n{% endfor %}"
    opening = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    return Marker(ChatTemplate(text + opening, {"eos_token": "<|im_end|>"}), ["<|im_end|>"], loss_on)


def marked(path: Path, messages: list[dict[str, Any]]) -> Rendered:
    """A conversation marked under a template, with tools where it uses them and the template shows them."""
    marker = marker_of(path)
    uses_tools = any("tool_calls" in message for message in messages)
    return marker.mark(Example(tuple(messages), tools=TOOLS if uses_tools and marker.card.tools else None))


def with_own_words(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The same conversation with a word in place of each text that stands nowhere else, and word -> text."""
    meant: dict[str, str] = {}

    def put(text: str) -> str:
        core = text.strip()
        if not core:
            return text
        meant[word := f"WORD{len(meant)}W"] = core
        return text.replace(core, word, 1) if text != core else word

    made = []
    for message in messages:
        copy = dict(message)
        if copy["content"].startswith("<think>"):
            thought, _, said = copy["content"].removeprefix("<think>").partition("</think>")
            copy["content"] = f"<think>{put(thought)}</think>{put(said)}"
        else:
            copy["content"] = put(copy["content"])
        if "reasoning_content" in copy:
            copy["reasoning_content"] = put(copy["reasoning_content"])
        if "tool_calls" in copy:
            copy["tool_calls"] = [_with_own_arguments(call, put) for call in copy["tool_calls"]]
        made.append(copy)
    return made, meant


def _with_own_arguments(call: dict[str, Any], put: Callable[[str], str]) -> dict[str, Any]:
    function = call["function"]
    arguments = {key: put(value) for key, value in function["arguments"].items()}
    return {**call, "function": {**function, "arguments": arguments}}


def label_faults(
    messages: list[dict[str, Any]], text: str, marks: list[bool], ends: tuple[str, ...], shown: set[int]
) -> list[str]:
    """What is wrong with the labels of a conversation in words of its own. Knows nothing of templates."""
    found: list[str] = []
    for place, message in enumerate(messages):
        learns = message["role"] == "assistant" and place not in shown
        behind = 0
        for words in _said(message):
            start = text.find(words)
            if start < 0:
                found += [f"{words} of message {place} is not in the text"] if place not in shown else []
                continue
            held = marks[start : start + len(words)]
            if learns and not all(held):
                found.append(f"{words} of message {place} is not learnt")
            if not learns and any(held):
                found.append(f"{words} of message {place} is learnt")
            behind = max(behind, start + len(words))
        if learns and behind and _lacks_end(text, marks, behind, ends):
            found.append(f"the end of message {place} is not learnt")
    return found


def _said(message: dict[str, Any]) -> list[str]:
    written = [message["content"], message.get("reasoning_content", "")]
    for call in message.get("tool_calls", ()):
        written += call["function"]["arguments"].values()
    return [word for text in written for word in re.findall(r"WORD\d+W", text)]


def _lacks_end(text: str, marks: list[bool], behind: int, ends: tuple[str, ...]) -> bool:
    """Whether the first end token behind an answer comes before any other word, and is not learnt."""
    found = [(place, end) for end in ends if (place := text.find(end, behind)) >= 0]
    if not found:
        return False
    place, end = min(found)
    return "WORD" not in text[behind:place] and not all(marks[place : place + len(end)])
