"""What a sentence names is there: each flag, command and rule id in strings of the source and of the rule book."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from advisor.base.errors import InputError
from advisor.commands import COMMANDS, OLD_NAMES, UNDER, find, module_of
from advisor.commands.arguments import Parser
from rules.engine import load_rule_book

HOUSE = Path(__file__).parents[2]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
RULE_ID = re.compile(r"\b(?:DATA|DEP|GATE|HW|HYP|PRE|QUA|STO)-\d+\b")

FOREIGN = {
    "amd-smi, nvidia-smi": "--gpu-reset",
    "docker": "--build-arg --device --filter --gpus --group-add --ipc --rm --shm-size",
    "jupyter": "--execute --inplace --to",
    "kubectl": "--api-group --filename --follow --for --from-file --from-literal --ignore-errors --ignore-not-found "
    "--max-log-requests --selector --stdin --tail --timeout --wait",
    "modal": "--detach",
    "ray": "--address --log-color --no-wait --runtime-env-json --submission-id --working-dir",
    "rsync, tar, tail": "--exclude --pid",
    "sky": "--cluster --detach-run --infra --secret --skip-finished --yes",
    "squeue": "--format --jobs --noheader",
    "tune": "--nproc_per_node --output-dir --rdzv_endpoint",
    "hf download": "--local-dir --repo-type",
    "llama.cpp": "--base --base-model-id --jinja --lora --model --outfile --outtype",
    "apt-get": "--no-install-recommends",
    "base64": "--decode",
    "pip": "--disable-pip-version-check --extra-index-url --find-links --force-reinstall --index-url --no-cache-dir "
    "--no-deps --quiet --trusted-host --upgrade",
    "sbatch, srun": "--cpus-per-task --gpus --gpus-per-node --job-name --mem --nodes --ntasks-per-node "
    "--open-mode --output --partition --requeue --signal --time",
    "SGLang": "--lora-paths --lora-target-modules --max-lora-rank --max-loras-per-batch --model-path "
    "--served-model-name",
    "systemd, ulimit": "--memory",
    "torchrun": "--launcher --master-addr --master-port --nnodes --node-rank --nproc-per-node --rdzv-backend "
    "--rdzv-endpoint --rdzv-id",
    "lm_eval": "--model_args --tasks",
    "transformers' examples": "--do_eval --do_train --train_file",
    "TRL": "--beta --config --dataset_name --learning_rate --lora_r --model_name_or_path --reward_funcs "
    "--teacher_model_name_or_path --use_peft --use_vllm",
    "vLLM": "--chat-template --enable-lora --lora-modules --max-cpu-loras --max-lora-rank --max-loras --quantization "
    "--tool-call-parser",
}
"""Flags of other programs that sentences and scripts name."""
EVERYWHERE = {"--debug", "--help", "--lang", "--network", "--version"}
AN_EXAMPLE = {"trainers/plan_fields.py": {"--its-name"}}
"""A flag that stands for any."""


class Sentence(NamedTuple):
    """One string, with the file that holds it; what is filled in stands as {}."""

    file: str
    text: str


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from flags_of(sub)


EVERY_COMMAND = ("advise", *COMMANDS, *UNDER)
"""At the top and under another; the bare `sft-advisor` is called advise."""


def module_name(command: str) -> str:
    found = find(command.split())
    return module_of(found.file if found else command)


def file_of(command: str) -> str:
    path = module_name(command).replace(".", "/")
    return f"{path}/__init__.py" if (HOUSE / path).is_dir() else f"{path}.py"


def parser_of(command: str) -> Parser:
    parser = Parser(prog=command)
    import_module(module_name(command)).add_arguments(parser)
    return parser


@cache
def own_flags() -> dict[str, frozenset[str]]:
    """Command -> its flags; the bare `sft-advisor` is called advise."""
    return {command: frozenset(flags_of(parser_of(command))) | EVERYWHERE for command in EVERY_COMMAND}


def flags_of_modules() -> dict[str, set[str]]:
    """File of trainers/ that is a program -> the flags that it takes."""
    return {
        file: {text for text in found if text.startswith("--")}
        for file, tree in sources()
        if (found := _added_arguments(tree)) and file.startswith("trainers/")
    }


def _added_arguments(tree: ast.AST) -> list[str]:
    return [
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


@cache
def sources() -> list[tuple[str, ast.AST]]:
    files = [file for room in ("advisor", "rules", "trainers") for file in sorted((HOUSE / room).rglob("*.py"))]
    return [(str(file.relative_to(HOUSE)), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


@cache
def sentences() -> list[Sentence]:
    found = [Sentence(file, text) for file, tree in sources() for text in _strings(tree)]
    for file in sorted((HOUSE / "rules").rglob("*.toml")):
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        found += [Sentence(str(file.relative_to(HOUSE)), text) for text in _texts(table)]
    assert len(found) > 10_000
    return found


def _strings(tree: ast.AST) -> Iterator[str]:
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def test_every_flag_that_a_sentence_names_exists() -> None:
    """Of the command that the sentence names; without one, of those that advise or start a run.

    A flag that is the whole text is a word of a command line, which the tests that paste commands look at.
    """
    foreign = {flag for flags in FOREIGN.values() for flag in flags.split()}
    own, of_modules = own_flags(), flags_of_modules()
    plain = own["advise"] | own["launch"] | own["train"] | own["data"]
    wrong = []
    for file, text in sentences():
        named = {name for name in EVERY_COMMAND if re.search(rf"\b{name}\b", text) or file == file_of(name)}
        known = plain.union(*(own[command] for command in named), foreign, AN_EXAMPLE.get(file, set()))
        if file.startswith(("trainers/", "advisor/commands")):
            known = known.union(*of_modules.values())
        wrong += [f"{file}: {flag} in {text[:90]!r}" for flag in FLAG.findall(text) if flag not in {*known, text}]
    assert not wrong, "no such flag:\n" + "\n".join(sorted(set(wrong)))


def test_no_flag_is_called_foreign_that_nothing_names() -> None:
    named = {flag for _, text in sentences() for flag in FLAG.findall(text)}
    listed = {flag for flags in FOREIGN.values() for flag in flags.split()}
    assert not listed - named


STOPS = re.compile(r"  +|, then | lists | shows | trains | on every |, or ")
"""Where the command line ends and the sentence goes on."""


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """(file, words behind `sft-advisor`) of every command line that a sentence shows."""
    for file, text in sentences():
        for match in re.finditer(r"(?<![\w\[/.~'-])sft-advisor\b(?![\[/'\"_-])([^\n`;()|>]*)", text):
            shown = STOPS.split(match[1].strip(), maxsplit=1)[0].rstrip(".,:")
            if "[" not in shown:  # a usage line
                yield file, shlex.split(shown)


def is_command_line(words: list[str]) -> bool:
    """Whether it is one: the name of the program also begins sentences and stands for the package."""
    return bool(words) and (words[0].startswith("-") or words[0] in EVERY_COMMAND)


def test_every_command_that_a_fix_names_exists() -> None:
    """In backquotes, and where the whole text is a command line, nothing else can be meant."""
    wrong = []
    for file, text in sentences():
        quoted = re.findall(r"`sft-advisor ([a-z][a-z-]*)", text) + re.findall(r"^sft-advisor ([a-z][a-z-]*)", text)
        wrong += [f"{file}: sft-advisor {word}" for word in quoted if word not in EVERY_COMMAND]
    assert not wrong, "no such command:\n" + "\n".join(sorted(set(wrong)))


def test_no_sentence_names_a_command_by_its_old_name() -> None:
    """Whoever pastes it would be told the new one."""
    old = re.compile(rf"sft-advisor ({'|'.join(OLD_NAMES)})\\b")
    pages = [
        HOUSE / "README.md",
        HOUSE / "README.zh-CN.md",
        *(HOUSE / "docs").glob("*.md"),
        *(HOUSE / "rules").rglob("*.md"),
    ]
    printed = [*sentences(), *(Sentence(page.name, page.read_text(encoding="utf-8")) for page in pages)]
    wrong = sorted({f"{file}: {found[0]}" for file, text in printed for found in old.finditer(text)})
    assert not wrong, "\n".join(wrong)


def test_every_command_line_that_a_sentence_shows_can_be_pasted() -> None:
    shown = [(file, words) for file, words in command_lines() if is_command_line(words)]
    assert len(shown) > 40
    wrong = []
    for file, words in shown:
        values = [word.replace("{}", "x") for word in words]
        found = None if values[0].startswith("-") else find(values)
        command, rest = (found.words, found.arguments) if found else ("advise", values)
        problem = _cannot_be_parsed(command, [word for word in rest if word not in EVERYWHERE])
        if problem and not (len(words) <= 2 and "arguments are required" in problem):  # a command that is only named
            wrong.append(f"{file}: sft-advisor {' '.join(words)}: {problem}")
    assert not wrong, "cannot be pasted:\n" + "\n".join(sorted(set(wrong)))


def _cannot_be_parsed(command: str, words: list[str]) -> str:
    """Why the command refuses these words; "" when it takes them."""
    try:
        parser_of(command).parse(words)
    except InputError as error:
        return "; ".join(problem.what for problem in error.problems)
    return ""


def test_every_rule_that_a_sentence_names_exists() -> None:
    known = {rule.id for rule in load_rule_book().rules}
    named = {(rule_id, file) for file, text in sentences() for rule_id in RULE_ID.findall(text)}
    wrong = sorted(f"{file}: {rule_id}" for rule_id, file in named if rule_id not in known)
    assert len(named) > 200
    assert not wrong, "no such rule:\n" + "\n".join(wrong)
