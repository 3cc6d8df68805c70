"""The ledger: what is written, what is read back, and what corrects."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from advisor.decide.pace import corrected
from advisor.estimate.ledger import Entry, Ledger, device_key, entry_from_run, record_run
from advisor.estimate.result import TimeEstimate
from tests.estimate.shapes import model, plan
from trainers.plan import ModelRef, save_plan


def entry(measured=120, predicted=110, static=100, **fields):
    values = {
        "when": "2026-01-01T00:00:00+00:00",
        "device": "NVIDIA L4",
        "stack": "trl",
        "method": "lora",
        "model": "m",
    }
    values |= {"counter": "device", "predicted_bytes": predicted, "measured_bytes": measured, "static_bytes": static}
    return Entry(**values | fields)


def test_an_empty_or_missing_ledger_corrects_nothing(tmp_path):
    assert Ledger(tmp_path / "none.jsonl").calibration("NVIDIA L4", "trl", "lora") is None


def test_only_what_moves_is_scaled(tmp_path):
    ledger = Ledger(tmp_path / "deep" / "ledger.jsonl")
    ledger.record(entry(measured=115))
    found = ledger.calibration("NVIDIA L4", "trl", "lora")
    assert found is not None
    assert found.factor == 1.5
    assert found.runs == 1
    assert "1 run of lora with trl on NVIDIA L4" in found.basis


def test_other_devices_and_stacks_do_not_count_but_other_methods_may(tmp_path):
    ledger = Ledger(tmp_path / "l")
    ledger.record(entry(device="NVIDIA A100", measured=119))
    ledger.record(entry(stack="other", measured=119))
    assert ledger.calibration("NVIDIA L4", "trl", "lora") is None
    ledger.record(entry(method="full", measured=112))
    found = ledger.calibration("NVIDIA L4", "trl", "lora")
    assert found is not None
    assert "other methods" in found.basis


def test_the_median_of_recent_runs_counts_and_nonsense_does_not(tmp_path):
    ledger = Ledger(tmp_path / "l")
    for measured in (111, 112, 119):
        ledger.record(entry(measured=measured))
    ledger.record(entry(measured=90))
    found = ledger.calibration("NVIDIA L4", "trl", "lora")
    assert found is not None
    assert found.factor == 1.2
    wild = Ledger(tmp_path / "wild")
    wild.record(entry(measured=500))
    assert wild.calibration("NVIDIA L4", "trl", "lora") is None


def test_broken_lines_are_left_alone(tmp_path):
    path = tmp_path / "l"
    path.write_bytes(b'{"schema": "other"}\nnot json\n')
    ledger = Ledger(path)
    ledger.record(entry())
    assert len(list(ledger.entries())) == 1
    assert path.read_bytes().startswith(b'{"schema": "other"}\nnot json\n')


def test_two_runs_that_end_at_once_both_arrive(tmp_path):
    ledger = Ledger(tmp_path / "l")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.record(entry(measured=111 + n % 5)), range(200)))
    assert len(list(ledger.entries())) == 200


def test_a_run_without_a_measured_peak_is_not_recorded():
    assert entry_from_run({}, plan(), model("Llama-3.1-8B"), device="x") is None
    assert (
        entry_from_run({"memory": {"measured_peak_bytes": None}}, plan(), model("Llama-3.1-8B"), device="x") is None
    )


def test_a_run_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path / "home"))
    run = tmp_path / "run"
    chosen = plan("lora", model=ModelRef(name="HuggingFaceTB/SmolLM2-135M"), accelerator="cpu", compute_dtype="fp32")
    run.mkdir()
    save_plan(chosen, run / "plan.toml")
    (run / "run.json").write_text(json.dumps({"memory": {"measured_peak_bytes": 3 * 2**30}}))
    recorded = record_run(run)
    assert recorded is not None
    assert (recorded.device, recorded.counter, recorded.measured_bytes) == ("cpu", "resident", 3 * 2**30)
    assert list(Ledger.open().entries()) == [recorded]
    assert record_run(tmp_path / "nothing") is None


def test_the_prediction_is_for_the_longest_batch_that_the_data_held(tmp_path):
    chosen = plan("lora", model=ModelRef(name="HuggingFaceTB/SmolLM2-135M"), accelerator="cpu", compute_dtype="fp32")
    save_plan(chosen, tmp_path / "plan.toml")
    (tmp_path / "run.json").write_text(json.dumps({"memory": {"measured_peak_bytes": 2 * 2**30}}))
    ledger = Ledger(tmp_path / "ledger")
    at_the_cap = record_run(tmp_path, ledger=ledger)
    (tmp_path / "preflight.json").write_text(json.dumps({"measured": {"longest_tokens": 64}}))
    as_it_was = record_run(tmp_path, ledger=ledger)
    assert at_the_cap is not None
    assert as_it_was is not None
    assert as_it_was.predicted_bytes < at_the_cap.predicted_bytes


def test_device_names():
    assert device_key("cuda", "NVIDIA L4") == "NVIDIA L4"
    assert device_key("cpu", None) == "cpu"


def test_a_line_torn_inside_a_letter_costs_itself_and_nothing_else(tmp_path: Path) -> None:
    torn = (Path(__file__).parents[1] / "fixtures" / "security" / "ledger_torn_utf8.jsonl").read_bytes()
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.path.write_bytes(torn.rstrip(b"\n") + b"\n" + b"[" * 100_000)
    before = len(list(ledger.entries()))
    entry = Entry(
        when="2026-01-01T00:00:00+00:00", device="NVIDIA L4", stack="ours", method="lora", model="m",
        counter="device", predicted_bytes=10, measured_bytes=12,
    )  # fmt: skip
    ledger.record(entry)
    ledger.record(entry)
    assert list(ledger.entries())[before:] == [entry, entry]


def test_speed_is_corrected_by_the_runs_of_a_method_and_says_how_many(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for rate in (40.0, 50.0, 60.0):
        ledger.record(entry(predicted_rate=100.0, measured_rate=rate))
    ledger.record(entry(method="full", predicted_rate=100.0, measured_rate=1.0))
    found = ledger.pace("NVIDIA L4", "trl", "lora")
    assert found is not None
    assert (found.factor, found.runs) == (0.5, 3)
    assert "Measured on this machine: 3 runs of lora" in found.basis
    assert ledger.pace("NVIDIA L4", "trl", "full") is None, "a hundred times slower is another fault"
    before = TimeEstimate(
        tokens_per_second=100.0,
        step_seconds=2.0,
        num_steps=10,
        total_seconds=20.0,
        low_seconds=10.0,
        high_seconds=40.0,
        gpu_hours=1.0,
        basis="a model of the device",
    )
    after = corrected(before, found)
    assert (after.tokens_per_second, after.step_seconds, after.total_seconds) == (50.0, 4.0, 40.0)
    assert after.low_seconds is not None and after.high_seconds is not None
    assert 10.0 < after.low_seconds < 40.0 < after.high_seconds
    assert after.basis == found.basis
    assert corrected(before, None) == before
