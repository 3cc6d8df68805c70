"""The Modelfile says the trained template: held against Jinja for templates of the shapes that models really have."""

import json
from pathlib import Path

import pytest

from trainers.ollama import NoModelfile, go_template, modelfile, render, stop_tokens, turn_form

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
