"""What a race has shown becomes facts, and facts become advice; only where it could be told."""

from __future__ import annotations

from pathlib import Path

from advisor.estimate.ledger import Ledger
from advisor.estimate.raced import raced_facts, record_race
from rules.engine import load_rule_book
from rules.facts import BY_PATH
from tests.trainers.plans import lora_plan
from trainers.scores.intervals import Interval
from trainers.supervision.verdict import Ranked, Verdict

SURE = Interval(value=0.05, low=0.02, high=0.08, rows=60)
UNSURE = Interval(value=0.05, low=-0.02, high=0.08, rows=60)


def ranked(name: str, method: str, over: Interval | None = None, **setting: object) -> Ranked:
    return Ranked(
        name=name,
        setting=dict(setting),
        method=method,
        loss=1.0,
        over_best=over,
        seeds=1,
        seconds=1.0,
        steps=10,
        memory_bytes=None,
        predicted_bytes=None,
        folder="runs/race/trials/x",
    )


def remembered(ledger: Ledger, *trials: Ranked, over_plan: Interval | None = None, data: str = "abc") -> dict:
    found = Verdict(
        ranked=trials, base_loss=None, over_base=None, over_plan=over_plan, task=None, dropped=(), seconds=9.0
    )
    plan = lora_plan(dataset={"source": "/home/me/secret-customers.jsonl", "sha256": data})
    record_race(found, plan, "cpu", ledger)
    return raced_facts(device="cpu", model="some-model", data=data, ledger=ledger)


def test_a_rate_that_surely_won_is_advised_from_then_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    lower = Interval(value=-0.05, low=-0.08, high=-0.02, rows=60)
    facts = remembered(
        ledger,
        ranked("learning_rate-0.0009", "lora", learning_rate=9e-4),
        ranked("plan", "lora", SURE),
        over_plan=lower,
    )
    assert facts == {
        "trial.rate_method": "lora",
        "trial.learning_rate": 9e-4,
        "trial.rate_gain": 0.05,
        "trial.count": 2,
    }
    assert facts.keys() <= BY_PATH.keys()
    given = {"plan.method": "lora", "plan.lr_for_model": 2e-4, "plan.num_steps": 50}
    values, traces = load_rule_book().fill({**given, **facts})
    assert values["learning_rate"] == 9e-4
    assert "0.05 nats" in next(trace.message for trace in traces if trace.rule_id == "HYP-39")
    assert "secret" not in ledger.path.read_text()
    assert raced_facts(device="cpu", model="some-model", data="other", ledger=ledger) == {}
    assert raced_facts(device="NVIDIA L4", model="some-model", data="abc", ledger=ledger) == {}
    assert raced_facts(device="cpu", model="some-model", data="", ledger=ledger) == {}


def test_a_method_counts_only_where_every_other_is_surely_behind(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    won = ranked("method-full", "full")
    facts = remembered(ledger, won, ranked("plan", "lora", SURE), ranked("method-qlora", "qlora", SURE))
    assert facts["trial.method"] == "full"
    assert any(
        trace.rule_id == "QUA-38"
        for trace in load_rule_book().judge({"plan.method": "full", **facts}, only_fired=True)
    )
    facts = remembered(ledger, won, ranked("plan", "lora", UNSURE), ranked("method-qlora", "qlora", SURE))
    assert facts == {}


def test_lines_that_are_no_races_are_passed_by(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_text('{"schema": "sft-advisor/ledger/v1"}\nbroken\n')
    assert raced_facts(device="cpu", model="m", data="d", ledger=ledger) == {}
    assert list(ledger.entries()) == []
