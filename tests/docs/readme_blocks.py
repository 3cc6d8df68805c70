"""The blocks of README.md that are made from the code, and the command that writes them.

    python -m tests.docs.readme_blocks          rewrite README.md
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

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
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
SHOWN_FIELDS = (
    "lora_rank",
    "lora_alpha",
    "lora_targets",
    "learning_rate",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "max_seq_len",
    "num_epochs",
    "gradient_checkpointing",
    "optimizer",
)


def run(*arguments: str, width: int = 100) -> str:
    """What the command prints on stdout, in this process, at this width and without colour."""
    from advisor.cli import main

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
    """The command of the JSON example, and the parts of its answer that matter first."""
    answer = json.loads(run(*EXAMPLE))
    best = answer["best"]
    shown = {
        "verdict": answer["verdict"],
        "headline": answer["headline"],
        "method": best["method"],
        "needs_bytes": best["memory"]["device"]["high"],
        "available_bytes": best["available_bytes"],
        "plan": {name: best["plan"][name] for name in SHOWN_FIELDS},
        "artifact": best["plan"]["delivery"]["artifact"],
        "reasons": [f"{trace['rule_id']} ({trace['weight']:+d}) {trace['message']}" for trace in best["reasons"]],
        "changes": [f"{change['what']} -> {change['method'] or change['verdict']}" for change in answer["changes"]],
    }
    command = " ".join(f'"{word}"' if " " in word else word for word in EXAMPLE)
    wrapped = re.sub(r" --(?=data-examples|task-priority|deploy-engine)", r" \\\n    --", command)
    picked = json.dumps(shown, indent=2, ensure_ascii=False)
    return f"```console\n$ sft-advisor {wrapped}\n```\n\nThe parts that matter first:\n\n```json\n{picked}\n```"


def estimate() -> str:
    """The estimate of one plan as the terminal shows it."""
    words = ("estimate", "--model", "Llama-3.1-8B", "--hardware", "RTX 4090", "--method", "qlora")
    text = run(*words, width=100)
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    return f"```console\n$ sft-advisor {command}\n{text}\n```"


def commands() -> str:
    """The commands and what they do."""
    from advisor.cli import COMMANDS

    rows = [f"| `sft-advisor {name}` | {meaning} |" for name, meaning in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def questions() -> str:
    """The question table."""
    from advisor.questions import PAGES, QUESTIONS

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
    meanings = {
        0: "a recommendation, or a finished run",
        2: "bad input: every problem at once, each with the nearest valid value",
        3: "nothing fits: the JSON still carries each rejected plan and the smallest change that would help",
        4: "do not fine-tune: a gate fired, and says what to do instead",
        5: "the environment cannot do it: a package, a driver, a permission or disk space",
        1: "a bug of ours",
        130: "interrupted; nothing is lost",
    }
    rows = [f"| {code} | {meaning} |" for code, meaning in meanings.items()]
    return "\n".join(["| exit code | meaning |", "| --- | --- |", *rows])


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
    text = ast.get_docstring(ast.parse(path.read_text())) if path.exists() else None
    return (text or "").split("\n")[0]


def accuracy() -> str:
    """How far the memory and time models are from published measurements."""
    memory, time = _result("memory_accuracy"), _result("time_accuracy")
    if memory is None or time is None:
        return "Run `make bench` to measure."
    lines = [
        "| published runs | rows measured | median error | 90th percentile | upper end covers |",
        "| --- | --- | --- | --- | --- |",
        _accuracy_row("well specified (grades A and B)", memory["grades_a_and_b"]),
        *(_accuracy_row(f"grade {grade}", figures) for grade, figures in memory["by_grade"].items()),
    ]
    good = memory["grades_a_and_b"]
    ran, oom = good["ran"], good["oom"]
    speed = time["all"]
    lines.append(
        f"\n{memory['expressed']} of {memory['rows']} rows can be expressed; the others are named with the reason. "
        f"Of {sum(oom.values())} well-specified runs that ran out of memory, {oom.get('safe', 0)} are called a "
        f"safe fit; of {sum(ran.values())} that ran, {ran.get('impossible', 0)} is called impossible. Constants were "
        f"set on these rows, so this is no held-out test. Speed: {speed['within_1.3']:.0%} of {speed['rows']} "
        f"published runs within 1.3 times, {speed['within_2']:.0%} within twice."
    )
    return "\n".join(lines)


def _accuracy_row(name: str, figures: dict[str, Any]) -> str:
    error, tail, covered = (figures[key] for key in ("median_abs_error", "p90_abs_error", "upper_band_covers"))
    return f"| {name} | {figures['measured']} | {error:.1%} | {tail:.1%} | {covered:.1%} |"


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


def demo() -> str:
    """What `make try` showed when it was last recorded."""
    result = _result("demo")
    return "```text\n" + str(result["text"]).rstrip() + "\n```" if result else "Run `make try`."


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


BLOCKS: dict[str, Callable[[], str]] = {
    "example": example,
    "estimate": estimate,
    "commands": commands,
    "questions": questions,
    "exit-codes": exit_codes,
    "rules": rules,
    "tree": tree,
    "accuracy": accuracy,
    "speed": speed,
    "demo": demo,
}


def rendered(text: str) -> str:
    """The README with every block made anew. Raises KeyError for a block that nobody makes."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- begin {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- end {match[1]} -->"

    return re.sub(r"<!-- begin ([a-z-]+) -->.*?<!-- end \1 -->", fill, text, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write the blocks, or with --check say whether they are fresh."""
    before = README.read_text()
    after = rendered(before)
    if "--check" in arguments:
        return int(before != after)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
