"""The Modelfile says the trained template: held against Jinja for templates of the shapes that models really have."""

import json
import re
from pathlib import Path

import pytest

from trainers.handover.ollama import (
    NoModelfile,
    added_by_runtime,
    go_template,
    modelfile,
    render,
    stop_tokens,
    turn_form,
)

SECURITY = Path(__file__).parents[2] / "fixtures" / "security"
EACH = "{% for m in messages %}"
CHATML = (
    EACH + "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}" + CHATML
)
HEADERS = (
    "{{ bos_token }}"
    + EACH
    + "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + EACH
    + "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' }}"
    "{{ m['content'] + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
INSTRUCTION = (
    "{{ bos_token }}" + EACH + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}{% else %}{{ raise_exception('') }}{% endif %}"
    "{% endfor %}"
)
OPENS_WITH_BOS = CHATML.replace("'<|im_start|>' + m['role']", "bos_token + m['role']")
"""As SmolLM2's: the token that begins a sequence also opens each turn, and the tokenizer adds none."""
LAST_ONLY = (
    EACH + "{{ m['role'] + ': ' + m['content'] + ('!' if loop.index > 3 else '') + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize(
    ("template", "stop"),
    [
        (CHATML, ["<|im_end|>", "</s>"]),
        (DEFAULT_SYSTEM, ["<|im_end|>", "</s>"]),
        (HEADERS, ["<|eot_id|>", "</s>"]),
        (NO_SYSTEM, ["<end_of_turn>", "</s>"]),
        (INSTRUCTION, ["</s>"]),
    ],
)
def test_the_form_rebuilds_what_jinja_renders(template: str, stop: list[str]) -> None:
    form = turn_form(template, SPECIAL)
    turns = [("user", "how?"), ("assistant", "so."), ("user", "thanks")]
    rebuilt = "".join(form.around[role][0] + content + form.around[role][1] for role, content in turns)
    expected = render(template, turns, SPECIAL, answer=True)
    assert form.opening + form.without_system + rebuilt + form.generation == expected
    assert stop_tokens(form, SPECIAL) == stop
    assert form.opening in ("", "<s>")


def said_by_go(template: str, turns: list[tuple[str, str]]) -> str:
    """What Ollama would send: exactly the Go forms that a Modelfile of ours holds, interpreted."""
    head, loop, generation = re.fullmatch(
        r"(.*?)\{\{- range \.Messages \}\}(.*)\{\{ end \}\}\{\{- end \}\}(.*)", template, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    missing = head.removeprefix('{{- if ne (index .Messages 0).Role "system" }}').removesuffix("{{ end }}")
    parts = re.split(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}', loop)[1:]
    branches = dict(zip(parts[::2], parts[1::2], strict=True))
    text = missing if turns[0][0] != "system" else ""
    for role, content in turns:
        text += branches.get(role, "").replace("{{ .Content }}", content)
    return (text + generation).replace('{{"{{"}}', "{{")


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", [CHATML, DEFAULT_SYSTEM, HEADERS, NO_SYSTEM, INSTRUCTION, OPENS_WITH_BOS])
def test_what_ollama_sends_is_what_was_trained(template: str, adds_bos: bool) -> None:
    special = SPECIAL | ({"bos_token": "<|im_start|>"} if template == OPENS_WITH_BOS else {})
    added = special["bos_token"] if adds_bos and template != OPENS_WITH_BOS else ""
    text = go_template(turn_form(template, special), added)
    conversations = [[("user", "how?")], [("user", "how?"), ("assistant", "so."), ("user", "thanks")]]
    if template not in (NO_SYSTEM, INSTRUCTION):
        conversations.append([("system", "be brief"), ("user", "how?")])
    for turns in conversations:
        sent = added + said_by_go(text, turns)
        trained = render(template, turns, special, answer=True)
        assert sent == (trained if trained.startswith(added) else added + trained)


def test_the_go_text_of_chatml() -> None:
    assert go_template(turn_form(CHATML, SPECIAL)) == (
        '{{- range .Messages }}{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        "{{ end }}{{- end }}<|im_start|>assistant\n"
    )
    assert go_template(turn_form(DEFAULT_SYSTEM, SPECIAL)).startswith(
        '{{- if ne (index .Messages 0).Role "system" }}<|im_start|>system\nYou help.<|im_end|>\n{{ end }}'
    )


def test_a_template_that_depends_on_the_place_is_refused() -> None:
    with pytest.raises(NoModelfile, match="by their place"):
        turn_form(LAST_ONLY, SPECIAL)


def test_the_modelfile_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NoModelfile, match="no chat template"):
        modelfile("./m.gguf", tmp_path)
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|im_end|>"}}))
    lines = modelfile("./m.gguf", tmp_path, adapter="./a.gguf").splitlines()
    assert lines[:2] == ["FROM ./m.gguf", "ADAPTER ./a.gguf"]
    assert lines[-1] == 'PARAMETER stop "<|im_end|>"'


def test_a_template_cannot_leave_its_block_of_the_modelfile(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes((SECURITY / "template_modelfile_injection.jinja").read_bytes())
    with pytest.raises(NoModelfile, match="three quotes"):
        modelfile("./m.gguf", tmp_path)


def test_what_a_template_prints_is_not_run_by_go(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes((SECURITY / "template_go_injection.jinja").read_bytes())
    made = modelfile("./m.gguf\nSYSTEM evil", tmp_path)
    assert '{{"{{"}} .System }}' in made
    assert not [line for line in made.splitlines() if line.startswith("SYSTEM")]


def tokenizer_in(folder: Path, adds_bos: bool) -> None:
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "word": 1}, unk_token="word"))
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("adds_bos", [True, False])
def test_the_token_that_begins_a_sequence_is_left_out_only_where_the_tokenizer_adds_it(
    tmp_path: Path, adds_bos: bool
) -> None:
    tokenizer_in(tmp_path, adds_bos)
    assert added_by_runtime(tmp_path, SPECIAL) == ("<s>" if adds_bos else "")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": not adds_bos}))
    assert added_by_runtime(tmp_path, SPECIAL) == ("" if adds_bos else "<s>")
