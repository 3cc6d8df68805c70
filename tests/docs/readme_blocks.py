"""The blocks of the READMEs and docs/guide.md that are made from the code, and the command that writes them.

    python -m tests.docs.readme_blocks          rewrite them
    python -m tests.docs.readme_blocks --check  exit 1 when a block is stale

A block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. Figures that take minutes to measure are read
from tests/benchmarks/results/, where `make bench` and `make try` put them.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers.language import tr

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
PAGES = (README, CHINESE, ROOT / "docs" / "guide.md")
RESULTS = ROOT / "tests" / "benchmarks" / "results"
OWN = "advisor's plan"
EXAMPLE = (
    "--non-interactive",
    "--hardware",
    "RTX 4090",
    "--model",
    "Llama-3.1-8B",
    "--data-examples",
    "5000",
    "--data-completion-tokens",
    "2000000",
    "--data-total-tokens",
    "4000000",
    "--data-len-p95",
    "1500",
    "--data-kind",
    "chat",
    "--task-priority",
    "quality",
    "--task-prompting-tried",
    "yes",
    "--deploy-engine",
    "vllm",
    "--deploy-latency-critical",
    "yes",
)
PICKED = (
    '.headline, "\\(.memory.high_bytes / 1e9 | round) of \\(.memory.available_bytes / 1e9 | round) GB",\n'
    '             "learning rate \\(.plan.learning_rate)", .reasons[].message'
)
"""What jq shows of a first answer."""
SHOWN = ("verdict", "headline", "method", "memory", "time", "changes")
"""Fields of the document that the example picks with jq."""


def run(*arguments: str, width: int = 100) -> str:
    """What the command prints on stdout, in this process, at this width and without colour."""
    from advisor.commands.cli import main

    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as home:
        kept = {name: os.environ.get(name) for name in ("SFT_ADVISOR_HOME", "COLUMNS", "NO_COLOR")}
        os.environ.update(SFT_ADVISOR_HOME=home, COLUMNS=str(width), NO_COLOR="1")
        try:
            with contextlib.redirect_stdout(printed):
                main(arguments)
        finally:
            for name, value in kept.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
    return "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").splitlines())


def example() -> str:
    """The command of the JSON example with jq behind it, and what that prints."""
    answer = json.loads(run(*EXAMPLE))
    command = " ".join(f'"{word}"' if " " in word else word for word in EXAMPLE)
    wrapped = re.sub(r" --(?=data-examples|task-priority|deploy-engine)", r" \\\n    --", command)
    picked = json.dumps({name: answer[name] for name in SHOWN}, indent=2, ensure_ascii=False)
    asked = f"$ sft-advisor {wrapped} \\\n    | jq '{{{', '.join(SHOWN)}}}'"
    return f"```console\n{asked}\n{picked}\n```"


def first() -> str:
    """A first question and its answer, as short as they can be, in the language in use."""
    from advisor.base import language

    words = [
        "--json",
        "--model",
        "Qwen3-8B",
        "--hardware",
        "RTX 4090",
        "--data-examples",
        "5000",
        "--data-kind",
        "chat",
    ]
    if (lang := language.current()) != "en":
        words += ["--lang", lang]
    answer = json.loads(run(*words))
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    memory = answer["memory"]
    high, room = (round(memory[name] / 1e9) for name in ("high_bytes", "available_bytes"))
    lines = [answer["headline"], f"{high} of {room} GB", f"learning rate {answer['plan']['learning_rate']}"]
    shown = "\n".join([*lines, *(reason["message"] for reason in answer["reasons"])])
    return f"```console\n$ sft-advisor {command} \\\n    | jq -r '{PICKED}'\n{shown}\n```"


def in_chinese(block: Callable[[], str]) -> Callable[[], str]:
    """The same block for the Chinese page."""
    from advisor.base import language

    def said() -> str:
        language.use("zh_CN")
        try:
            return block()
        finally:
            language.use("en")

    return said


def estimate() -> str:
    """The estimate of one plan as the terminal shows it."""
    words = ("estimate", "--model", "Llama-3.1-8B", "--hardware", "RTX 4090", "--method", "qlora")
    text = run(*words, width=100)
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    return f"```console\n$ sft-advisor {command}\n{text}\n```"


def commands() -> str:
    """The commands and what they do."""
    from advisor.commands import GROUPS, UNDER

    rows = [f"| {tr('command')} | {tr('what it does')} |", "| --- | --- |"]
    for group, commands in GROUPS.items():
        rows.append(f"| **{tr(group)}** | |")
        for name, meaning in commands.items():
            rows.append(f"| `sft-advisor {name}` | {tr(meaning)} |")
            rows += [f"| `sft-advisor {words}` | {tr(UNDER[words])} |" for words in UNDER if words.split()[0] == name]
    return "\n".join(rows)


def documents() -> str:
    """What each command prints as JSON, and the name of its schema."""
    from advisor.report.documents import DOCUMENTS

    rows = [f"| `sft-advisor {each.printed_by}` | `{name}` |" for name, each in DOCUMENTS.items()]
    return "\n".join(["| command | name of its schema |", "| --- | --- |", *rows])


def questions() -> str:
    """The question table."""
    from advisor.ask.question import PAGES
    from advisor.ask.questions import QUESTIONS

    lines = ["| flag | question | answers |", "| --- | --- | --- |"]
    for page, title in PAGES.items():
        lines.append(f"| | **{title}** | |")
        for question in QUESTIONS:
            if question.page == page:
                allowed = ", ".join(question.choices) or question.kind
                lines.append(f"| `{question.flag}` | {question.prompt} | {allowed} |")
    return "\n".join(lines)


def exit_codes() -> str:
    """What each exit code says."""
    from trainers.exit_codes import MEANINGS

    rows = [f"| {code} | {tr(meaning)} |" for code, meaning in MEANINGS.items()]
    return "\n".join([f"| {tr('exit code')} | {tr('meaning')} |", "| --- | --- |", *rows])


def rules() -> str:
    """How large the book is."""
    from collections import Counter

    from rules.engine import load_rule_book

    book = load_rule_book()
    effects = Counter(rule.effect for rule in book.rules)
    counted = ", ".join(f"{effects[name]} {name}" for name in ("gate", "veto", "prefer", "avoid", "warn", "set"))
    cases = sum(len(rule.cases) for rule in book.rules)
    return (
        f"The book holds {len(book.rules)} rules ({counted}) with {cases} cases of their own, resting on "
        f"{len(book.sources)} sources."
    )


def tree() -> str:
    """The folders and the first line of each package's docstring."""
    lines = []
    for top in ("advisor", "rules", "trainers"):
        lines.append(f"{top + '/':<24} {_first_line(ROOT / top / '__init__.py')}")
        for package in sorted(path.parent for path in (ROOT / top).glob("*/__init__.py")):
            lines.append(f"  {package.name + '/':<22} {_first_line(package / '__init__.py')}")
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else None
    return (text or "").split("\n")[0]


def accuracy() -> str:
    """How far the memory and time models are from published measurements."""
    memory, time = _result("memory_accuracy"), _result("time_accuracy")
    if memory is None or time is None:
        return "Run `make bench` to measure."
    lines = [
        "| published runs | counter | rows measured | median error | 90th percentile | bias | upper end covers |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(line for name, title in ACCURACY.items() for line in _accuracy_rows(title, memory[name])),
    ]
    good = memory["grades_a_and_b"]
    ran, oom = good["ran"], good["oom"]
    speed, unsaid = time["all"], memory["not_stated"]
    lines.append(
        f"\n{memory['expressed']} of {memory['rows']} rows can be expressed; {unsaid} leave out what a prediction "
        f"needs (most of them the length), {len(memory['not_expressed']) - unsaid} state what the model cannot say. "
        f"Of {sum(oom.values())} well-specified runs that ran out of memory, {oom.get('safe', 0)} are called a "
        f"safe fit; of {sum(ran.values())} that ran, {ran.get('impossible', 0)} is called impossible. The "
        f"constants were fitted on these rows: expect larger errors on new ones. Speed: "
        f"{speed['within_1.3']:.0%} of {speed['rows']} published runs within 1.3 times, "
        f"{speed['within_2']:.0%} within twice."
    )
    return "\n".join(lines)


def accuracy_line() -> str:
    """The figures of Hugging Face stacks in a sentence, with what they do not show."""
    memory = _result("memory_accuracy")
    if memory is None:
        return "Run `make bench` to measure."
    names = {"allocated": "tensors", "reserved": "the allocator", "device": "nvidia-smi"}
    parts = ", ".join(
        f"{name} {figures['median_abs_error']:.1%} ({figures['p90_abs_error']:.1%}) of {figures['measured']}"
        for counter, name in names.items()
        if (figures := memory["hugging_face"].get(counter))
    )
    other = memory["never_fitted"]["reserved"]
    return (
        f"Memory of published runs on Hugging Face stacks, each predicted as its row states it: median error (90th "
        f"percentile) for {parts}. The constants were fitted on these runs; on {other['measured']} of them with "
        f"methods that nothing was fitted to it is "
        f"{other['median_abs_error']:.1%} ({other['p90_abs_error']:.1%}). No "
        f"run of today's TRL is among them: the first run on your machine corrects the estimate."
    )


ACCURACY = {
    "hugging_face": "Hugging Face stacks, well specified (grades A and B)",
    "never_fitted": "those of them whose method no constant was fitted to (peft's other adapters)",
    "default_profile": "those of them that never held all logits, as if our own trainer had run them",
    "other_stacks": "other stacks, well specified",
    "grade_c_hugging_face": "Hugging Face stacks, grade C",
    "grade_c_other_stacks": "other stacks, grade C",
    "length_is_a_cap": "length stated only as a cap, predicted at the cap",
}
"""Groups of tests/benchmarks/memory_accuracy.py as the README calls them."""


def _accuracy_rows(title: str, counters: dict[str, dict[str, Any]]) -> list[str]:
    keys = ("median_abs_error", "p90_abs_error", "bias", "upper_band_covers")
    return [
        f"| {title} | {counter} | {figures['measured']} | {' | '.join(f'{figures[key]:.1%}' for key in keys)} |"
        for counter, figures in counters.items()
    ]


def speed() -> str:
    """Our launch against a plain TRL script, as last recorded."""
    found = _result("train_speed")
    if found is None:
        return "Run `python tests/benchmarks/train_speed.py` to measure."
    rates, losses = found["tokens_per_second"], found["evaluation_loss"]
    plain = rates["plain TRL"]
    return (
        f"On short conversations, two CPU cores and the embedded model a launch with TRL's default settings ran at "
        f"{rates['same settings'] / plain:.2f} times the speed of a plain TRL script, with the advisor's own plan at "
        f"{rates[OWN] / plain:.2f} times, to an evaluation loss of {losses[OWN]:.2f} instead of "
        f"{losses['plain TRL']:.2f} after the same examples (`tests/benchmarks/train_speed.py`)."
    )


def data_speed() -> str:
    """What `data check` takes for many rows, as last recorded."""
    found = _result("data_check")
    if found is None:
        return "Run `python tests/benchmarks/data_check.py` to measure."
    most = found[-1]
    return (
        f"{most['rows']:,} rows ({most['file_bytes'] / 2**20:,.0f} MiB) took {most['cpu_seconds']:.0f} s of CPU time "
        f"on two cores and {most['peak_rss_bytes'] / 2**20:,.0f} MiB of memory (`tests/benchmarks/data_check.py`)."
    )


def demo() -> str:
    """What `make try` showed when it was last recorded."""
    result = _result("demo")
    return "```text\n" + str(result["text"]).rstrip() + "\n```" if result else "Run `make try`."


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


BLOCKS: dict[str, Callable[[], str]] = {
    "first": first,
    "example": example,
    "estimate": estimate,
    "commands": commands,
    "documents": documents,
    "questions": questions,
    "exit-codes": exit_codes,
    "rules": rules,
    "tree": tree,
    "accuracy": accuracy,
    "accuracy-line": accuracy_line,
    "speed": speed,
    "data-speed": data_speed,
    "demo": demo,
    "first-zh": in_chinese(first),
    "commands-zh": in_chinese(commands),
    "exit-codes-zh": in_chinese(exit_codes),
}


def rendered(text: str) -> str:
    """A page with every block made anew. Raises KeyError for a block that nobody makes."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- begin {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin ([a-z-]+) -->.*?<!-- end \1 -->", fill, text, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write the blocks, or with --check say whether they are fresh."""
    stale = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = rendered(before)
        stale += before != after
        if "--check" not in arguments:
            page.write_text(after, encoding="utf-8")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
