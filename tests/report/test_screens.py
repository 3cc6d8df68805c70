"""The other screens: estimates, comparison, preflight, doctor, data verdict, rules."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from advisor.data.verdict import DataVerdict, Finding, Piece, ShownRow
from advisor.probe.diagnosis import Check, Diagnosis, Readiness
from advisor.report.data import data_verdict
from advisor.report.doctor import diagnosis
from advisor.report.estimates import Largest, PlanEstimate, comparison, estimate
from advisor.report.preflight import verdict
from advisor.report.rules import coverage, policy, rule_list
from advisor.report.tasks import comparison as tasks_compared
from rules.cases import CaseResult
from rules.coverage import Coverage
from rules.policy import PolicyReport, RuleRow
from tests.report import made_by_hand as made
from trainers.supervision.checks import Check as Tried
from trainers.supervision.checks import Measured
from trainers.supervision.preflight import Preflight


def printed(what: RenderableType, width: int = 100) -> str:
    screen = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    screen.print(what)
    assert all(len(line) <= width for line in screen.file.getvalue().splitlines())
    return " ".join(screen.file.getvalue().split())


def shows(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, part


def plan_estimate(method: str = "lora", fits: bool = True, available: int | None = 23 * made.GIB) -> PlanEstimate:
    candidate = made.candidate(method, 15.3, 0.3)
    return PlanEstimate(
        model="Qwen3-8B",
        plan=candidate.plan,
        memory=candidate.memory,
        time=candidate.time,
        storage=candidate.storage,
        available_bytes=available,
        fits=fits,
        largest=Largest(micro_batch_size=8, max_seq_len=8192, lora_rank=256),
    )


@pytest.mark.parametrize("width", [50, 80, 140])
def test_an_estimate_shows_phases_counters_files_and_limits(width):
    text = printed(estimate(plan_estimate()), max(width, 50))
    if width >= 80:
        shows(
            text,
            "LoRA of Qwen3-8B",
            "allocated 17.3 GiB",
            "fits",
            "2 h 36 min",
            "adapter 84 MiB exact",
            "checkpoints 504 MiB exact, while it runs",
            "micro-batch 8",
            "sequence 8,192 tokens",
            "rank 256",
            "Stack: transformers 5 + peft + TRL",
            "Assumed: sdpa picks",
            "Not modelled: fragmentation",
        )
    shows(text, "load", "backward")


def test_an_estimate_without_a_device_says_so():
    shows(printed(estimate(plan_estimate(available=None))), "free memory is not known")


def test_a_comparison_sets_methods_side_by_side():
    text = printed(comparison([plan_estimate("full", fits=False), plan_estimate("lora"), plan_estimate("qlora")]))
    shows(text, "full fine-tuning", "does not fit", "LoRA", "QLoRA", "peak in backward backward backward")


def measured() -> Measured:
    return Measured(
        peak_bytes=2 * made.GIB,
        limit_bytes=24 * made.GIB,
        kind="device",
        allocated_peak_bytes=made.GIB,
        longest_tokens=1900,
        micro_batch_size=4,
        forward_passes=2,
        step_seconds=0.5,
        eval_seconds=0.2,
        save_seconds=0.3,
        checkpoint_bytes=252 * made.MIB,
        total_steps=939,
        total_seconds_at_most=470.0,
        loss=2.5,
    )


def test_a_preflight_sets_measured_beside_predicted():
    found = Preflight(
        outcome="ready",
        checks=(Tried(name="run_folder", passed=True, said="runs can be written"),),
        predicted_peak_bytes=int(2.2 * made.GIB),
        measured=measured(),
        measured_over_predicted=0.91,
    )
    shows(
        printed(verdict(found)),
        "Ready: the longest batch fits",
        "ok run folder runs can be written",
        "peak 2.0 GiB measured, 2.2 GiB predicted (0.91 of it)",
        "longest example 1,900 tokens, micro-batch 4",
        "939 steps take at most 8 min",
    )


def test_a_preflight_that_fails_says_what_to_change():
    found = Preflight(
        outcome="does_not_fit", checks=(), predicted_peak_bytes=None, advice="halve the micro-batch", exit_code=76
    )
    shows(printed(verdict(found)), "does not fit", "halve the micro-batch")


def test_the_doctor_names_methods_and_what_to_run():
    found = Diagnosis(
        device="cuda",
        checks=(
            Check(name="torch", outcome="ok", what="torch 2.13.0"),
            Check(
                name="bitsandbytes", outcome="failed", what="not installed", why="QLoRA needs it", blocks=("qlora",)
            ),
        ),
        methods=(
            Readiness(method="lora", verdict="works"),
            Readiness(method="qlora", verdict="works_after", why="x", commands=("pip install bitsandbytes",)),
            Readiness(method="full", verdict="cannot", why="no torch for this card"),
        ),
        seconds=3.0,
    )
    text = printed(diagnosis(found))
    shows(
        text,
        "torch computes on: cuda",
        "LoRA works",
        "QLoRA works after pip install bitsandbytes",
        "full fine-tuning cannot no torch for this card",
        "no bitsandbytes not installed QLoRA needs it",
        "To run",
    )


def test_the_data_verdict_shows_findings_lengths_and_what_trains():
    found = DataVerdict(
        profile=made.dataset(),
        max_seq_len=1024,
        counted_rows=5000,
        is_projected=True,
        truncated_examples=1200,
        supervised_share=0.5,
        has_distinct_pad=False,
        shown_rows=(
            ShownRow(
                kind="one turn",
                line=7,
                pieces=(Piece(text="Hi\n", trained=False), Piece(text="Hello there", trained=True)),
            ),
        ),
        length_histogram={500: 1000, 1000: 3000, 4000: 1000},
        findings=(
            Finding(code="duplicates", level="warn", what="20 rows repeat", lines=(3, 9)),
            Finding(code="truncation", level="block", what="24 % are cut", why="lost", fix="--max-seq-len 2048"),
        ),
    )
    text = printed(data_verdict(found))
    shows(
        text,
        "1 finding would stop a run",
        "blocks truncation 24 % are cut lost --max-seq-len 2048",
        "warning duplicates 20 rows repeat (lines 3, 9)",
        "cut 1,200 examples at 1,024 tokens (projected from a sample)",
        "distinct pad token no",
        "kind chat: 80 % have more than one answer",
        "<= 4,000",
        "the longest 4,000",
        "[Hello there]",
    )
    assert text.index("truncation") < text.index("duplicates")
    allowed = printed(data_verdict(found.allowing({"truncation"})))
    shows(allowed, "Can be trained on; accepted with --allow: truncation", "accepted truncation 24 %")


def test_rules_by_group_with_their_weight():
    row = RuleRow(
        rule_id="QUA-22",
        title="A small set",
        group="quality",
        effect="avoid",
        strength="measured",
        weight=-2,
        sets=(),
        path="x",
    )
    shows(printed(rule_list([row])), "quality", "QUA-22 avoid -2 measured A small set")
    failed = CaseResult(rule_id="QUA-22", case="one", passed=False, detail="expected fires")
    report = PolicyReport(rules=(row,), replaced=("QUA-01",), failed=(failed,), num_cases=3, conflicts=(), notes=())
    shows(printed(policy(report)), "QUA-22: one: expected fires", "1 rules, 2 of 3 cases hold, QUA-01 replaced")


def test_gaps_of_the_book():
    found = Coverage(
        never_fires=("A-01",), never_wins=(), unread_facts=("x.y",), conflicts=(), blind_spots=({"a": 1},), tried=400
    )
    shows(printed(coverage(found)), "400 fact sets tried", "Never fires", "A-01", "x.y", "{'a': 1}")


def test_adapters_are_shown_on_every_task():
    losses = {"chat": {"base": 2.0, "chat": 1.0, "sql": 0.5}, "sql": {"base": None, "chat": None, "sql": None}}
    found = {
        "base": "org/model",
        "method": "lora",
        "adapters": {"chat": "tasks/chat/result", "sql": "tasks/sql/result"},
        "losses": losses,
        "serve": {"vllm": {"command": None, "refused": "it takes no DoRA", "notes": []}},
    }
    shows(
        printed(tasks_compared(found)),
        "2 lora adapters over org/model",
        "chat is answered better by sql than by its own adapter",
        "sql has no evaluation examples",
        "task base chat sql",
        "chat 2.0000 1.0000 0.5000",
        "sql - - -",
        "tasks/sql/result",
        "not as they are: it takes no DoRA",
    )
