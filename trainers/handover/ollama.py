"""An Ollama Modelfile with the chat template that the model was trained on, and the tokens that end an answer.

Ollama takes Go templates, not Jinja. The form of each turn is read off the trained template by rendering it with
placeholders; the Go text built from that is then held against the trained template on several conversations. Where
they differ (reasoning that is removed, say) there is no Modelfile but a reason: a template that is nearly right is
how answers turn to gibberish.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from trainers.foreign.text import Unsayable, go
from trainers.foreign.text import comment as one_line
from trainers.foreign.text import modelfile as quoted
from trainers.language import tr

_CHECKS = (
    (("user", "one"),),
    (("user", "one"), ("assistant", "two"), ("user", "three")),
    (("system", "be brief"), ("user", "one")),
    (("system", "be brief"), ("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), ("user", "5")),
)


class NoModelfile(ValueError):  # noqa: N818  a finding, shown to the user as it stands
    """The trained template cannot be written as an Ollama template; the text is the reason."""


class TurnForm(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around each turn, and what opens the answer."""

    around: dict[str, tuple[str, str]]
    """Role -> text before and after its content. Without `system` where the template refuses that role."""
    opening: str
    """What stands at the very start of every conversation."""
    without_system: str
    """What stands there in place of a system turn that is not given."""
    generation: str
    """What asks for the answer."""


def modelfile(source: str, model_folder: Path, *, system: str | None = None, adapter: str | None = None) -> str:
    """The Modelfile for `FROM source` (a GGUF file or a folder), with template and stop tokens of `model_folder`.

    Raises NoModelfile when there is no chat template, or none that Go can express.
    """
    template = chat_template(model_folder)
    if template is None:
        raise NoModelfile(tr("the model has no chat template"))
    special = special_tokens(model_folder)
    form = turn_form(template, special)
    lines = [f"FROM {one_line(source)}"]
    lines += [f"ADAPTER {one_line(adapter)}"] if adapter else []
    try:
        text = go_template(form, added_by_runtime(model_folder, special))
        lines.append(f'TEMPLATE """{quoted(text)}"""')
    except Unsayable as problem:
        raise NoModelfile(tr("its chat template cannot stand in one: {problem}", problem=problem)) from problem
    lines += [f"PARAMETER stop {json.dumps(token)}" for token in stop_tokens(form, special)]
    lines += [f"SYSTEM {json.dumps(system)}"] if system else []
    return "\n".join(lines) + "\n"


def chat_template(folder: Path) -> str | None:
    """The Jinja template saved with a tokenizer; None when there is none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _tokenizer_config(folder).get("chat_template")
    return template if isinstance(template, str) else None


def special_tokens(folder: Path) -> dict[str, str]:
    """`bos_token` and `eos_token` as text, as far as the tokenizer names them."""
    config = _tokenizer_config(folder)
    texts = {}
    for name in ("bos_token", "eos_token"):
        value = config.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            texts[name] = text
    return texts


def added_by_runtime(folder: Path, special: dict[str, str]) -> str:
    """The beginning-of-sequence token where the tokenizer puts it in front of every text by itself, else "".

    llama.cpp's converter writes `add_bos_token` by the same: tokenizer_config.json if it says so, else what the
    post-processor of tokenizer.json does. Chat templates mostly write the token whether it is added or not, and some
    (SmolLM2) open a turn with it, where leaving it out would cut the turn's own opening off.
    """
    bos = special.get("bos_token", "")
    stated = _tokenizer_config(folder).get("add_bos_token")
    if not bos or isinstance(stated, bool):
        return bos if stated else ""
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("").tokens
    except Exception:  # noqa: BLE001  the Rust side raises bare Exception, for a missing file too
        return bos  # a SentencePiece model alone: llama.cpp adds the token
    return bos if tokens[:1] == [bos] else ""


def turn_form(template: str, special: dict[str, str]) -> TurnForm:
    """Read the form of the turns off a Jinja template. Raises NoModelfile when it is not the same everywhere."""

    bos = special.get("bos_token", "")
    opening = bos if bos and render(template, [("user", "one")], special, answer=False).startswith(bos) else ""

    def pieces(*turns: tuple[str, str], answer: bool = True) -> list[str]:
        text = render(template, list(turns), special, answer=answer)
        return _split(text.removeprefix(opening), [content for _, content in turns])

    first, asked = pieces(("user", "\x02"), answer=False)
    generation = pieces(("user", "\x02"))[1].removeprefix(asked)
    # after one answer: what ends it and opens the next question; a question ends as it did alone
    _, before_answer, between, _ = pieces(("user", "\x02"), ("assistant", "\x03"), ("user", "\x04"))
    before_user = _common_end(first, between).removeprefix(asked)
    around = {
        "user": (before_user, asked),
        "assistant": (before_answer.removeprefix(asked), between.removesuffix(before_user)),
    }
    without_system = ""
    try:
        before_system, after_system, _ = pieces(("system", "\x01"), ("user", "\x02"))
    except NoModelfile:
        opening += first.removesuffix(before_user)
    else:
        without_system = first.removesuffix(before_user)
        around["system"] = (before_system, after_system.removesuffix(before_user))
    form = TurnForm(around=around, opening=opening, without_system=without_system, generation=generation)
    for conversation in _CHECKS:
        known = all(role in around for role, _ in conversation)
        if known and _said_by(form, conversation) != render(template, list(conversation), special, answer=True):
            raise NoModelfile(
                tr("its chat template treats turns differently by their place, which Ollama cannot express")
            )
    return form


def go_template(form: TurnForm, added: str = "") -> str:
    """The form as Ollama's template, without `added`: what the runtime puts in front of the text by itself."""
    opening = form.opening.removeprefix(added)
    around, without_system = dict(form.around), opening + form.without_system
    if "system" in around:
        around["system"] = (opening + around["system"][0], around["system"][1])
    missing = f'{{{{- if ne (index .Messages 0).Role "system" }}}}{go(without_system)}{{{{ end }}}}'
    branches: list[str] = []
    for role, (before, after) in around.items():
        word = "else if" if branches else "if"
        branches.append(f'{{{{ {word} eq .Role "{role}" }}}}{go(before)}{{{{ .Content }}}}{go(after)}')
    turns = f"{{{{- range .Messages }}}}{''.join(branches)}{{{{ end }}}}{{{{- end }}}}"
    return (missing if without_system else "") + turns + go(form.generation)


def stop_tokens(form: TurnForm, special: dict[str, str]) -> list[str]:
    """What ends an answer: the mark after an assistant turn, and the end-of-sequence token. Without repeats."""
    marks = [form.around["assistant"][1].strip(), special.get("eos_token", "")]
    return list(dict.fromkeys(token for token in marks if token))


def render(template: str, turns: list[tuple[str, str]], special: dict[str, str], *, answer: bool) -> str:
    """A conversation through the Jinja template, as transformers renders it; `answer` asks for the next one.

    Raises NoModelfile when the template refuses the conversation.
    """
    from trainers.examples.example import RowError
    from trainers.examples.template import ChatTemplate

    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        # a Modelfile is used on later days than this one, so a template that prints the date prints none
        return ChatTemplate(template, special).render(messages, ask=answer, strftime_now=lambda form: "").text
    except RowError as error:
        raise NoModelfile(tr("its chat template cannot render a plain conversation: {error}", error=error)) from error


def _said_by(form: TurnForm, conversation: tuple[tuple[str, str], ...]) -> str:
    turns = (f"{form.around[role][0]}{content}{form.around[role][1]}" for role, content in conversation)
    start = form.opening + (form.without_system if conversation[0][0] != "system" else "")
    return start + "".join(turns) + form.generation


def _split(text: str, marks: list[str]) -> list[str]:
    parts = []
    for mark in marks:
        if text.count(mark) != 1:
            raise NoModelfile(tr("its chat template leaves turns out or repeats them"))
        before, text = text.split(mark)
        parts.append(before)
    return [*parts, text]


def _common_end(first: str, second: str) -> str:
    length = 0
    while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
        length += 1
    return first[len(first) - length :]


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
