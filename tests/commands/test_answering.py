"""The commands that advise, as a user meets them: one document on stdout, remarks on stderr, the right exit code."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.commands.calling import ASK, left_behind
from tests.report import made_by_hand as made
from trainers.plan import load_plan, save_plan


def test_one_json_document_and_nothing_else(run):
    code, out, err = run(*ASK)
    document = json.loads(out)
    assert code == 0
    assert err == ""
    assert document["schema"] == "sft-advisor/recommendation/v2"
    assert document["verdict"] == "recommended"
    assert document["answers"]["model"] == "Qwen3-8B"
    assert document["answers"]["task.count"] == 1
    assert document["trace"] is None
    assert len(out) < 15_000
    traced = json.loads(run(*ASK, "--trace")[1])["trace"]
    assert traced["answers"]["model"] == {"value": "Qwen3-8B", "origin": "flag"}
    assert traced["answers"]["task.count"] == {"value": 1, "origin": "default"}


def test_the_same_inputs_give_the_same_document(run):
    assert run(*ASK)[1] == run(*ASK)[1]


def test_nothing_fits_is_an_answer_with_its_own_exit_code(run):
    code, out, _ = run("--non-interactive", "--model", "Llama-3.1-70B", "--hardware", "1x 8GiB")
    document = json.loads(out)
    assert code == 3
    assert document["method"] is None
    assert document["plan"] is None
    assert document["remedies"]
    assert all(method["standing"] == "rejected" and method["why_not"] for method in document["methods"])


def test_do_not_fine_tune_is_an_answer_with_its_own_exit_code(run):
    code, out, _ = run(*ASK, "--data-kind", "facts", "--data-has-facts-that-change")
    document = json.loads(out)
    assert code == 4
    assert document["verdict"] == "do_not_fine_tune"
    assert document["gates"][0]["fix"]


def test_flags_and_file_give_the_same_answer(run, tmp_path):
    Path("answers.toml").write_text(
        'model = "Qwen3-8B"\nhardware = "RTX 4090"\n[data]\nexamples = 5000\n', encoding="utf-8"
    )
    by_file = json.loads(run("--non-interactive", "--answers", "answers.toml", "--trace")[1])["trace"]
    by_flag = json.loads(run(*ASK, "--trace")[1])["trace"]
    origins = {view.pop("origin") for document in (by_flag, by_file) for view in document["answers"].values()}
    assert origins == {"flag", "file", "default"}
    assert by_flag == by_file


def test_flags_may_be_abbreviated_and_win_over_the_file(run):
    Path("answers.toml").write_text(
        'model = "Qwen3-8B"\nhardware = "RTX 4090"\n[task]\ncount = 2\n', encoding="utf-8"
    )
    code, out, _ = run("--non-interactive", "--answers", "answers.toml", "--task-c", "7", "--storage-budget", "1TB")
    answers = json.loads(out)["answers"]
    assert code == 0
    assert answers["task.count"] == 7
    assert answers["storage.budget_bytes"] == 10**12


def test_files_are_written_on_request(run):
    code, _, _ = run(*ASK, "--save-answers", "a.toml", "--save-plan", "p.toml", "--html", "r.html")
    assert code == 0
    assert tomllib.loads(Path("a.toml").read_text(encoding="utf-8"))["data"] == {"examples": 5000}
    assert load_plan(Path("p.toml")).model.name
    assert "<!doctype html>" in Path("r.html").read_text(encoding="utf-8")
    assert left_behind() == ["a.toml", "p.toml", "r.html"]


def test_the_last_answer_is_explained_again(run):
    run(*ASK)
    code, out, _ = run("explain", "last")
    assert code == 0
    assert "Fine-tune Qwen3-8B with" in out


def test_without_a_last_answer_it_says_so(run):
    code, out, err = run("explain", "last")
    assert (code, out) == (2, "")
    assert "there is no last recommendation" in err


def test_estimates_of_flags_and_of_a_file_agree(run):
    run(*ASK, "--save-plan", "plan.toml")
    code, out, _ = run("estimate", "plan.toml", "--hardware", "RTX 4090", "--json")
    [by_file] = json.loads(out)["estimates"]
    assert code == 0
    assert by_file["fits"] is True
    assert by_file["memory"]["device"]["high"] == load_plan(Path("plan.toml")).predicted_peak_bytes
    assert by_file["largest"]["micro_batch_size"] >= by_file["plan"]["micro_batch_size"]


def test_estimates_side_by_side(run):
    code, out, _ = run("estimate", "--model", "Llama-3.1-8B", "--hardware", "1x A100-80GB", "--compare")
    assert code == 0
    for method in ("full fine-tuning", "LoRA", "QLoRA"):
        assert method in out


def test_an_estimate_that_does_not_fit_says_so_by_its_exit_code(run):
    code, out, _ = run("estimate", "--model", "Llama-3.1-8B", "--hardware", "1x 8GiB", "--method", "full")
    assert code == 3
    assert "does not fit" in out


def test_a_dry_run_shows_everything_and_writes_nothing(run):
    save_plan(made.plan(), Path("plan.toml"))
    code, out, _ = run("launch", "plan.toml", "--dry-run", "--run-dir", "there")
    assert code == 0
    assert "trainers.training.run" in out
    assert 'method = "lora"' in out
    assert left_behind() == ["plan.toml"]


def test_a_described_machine_can_be_shown_and_saved(run):
    code, out, _ = run("probe", "--hardware", "2x RTX 4090", "--json")
    assert code == 0
    Path("machine.json").write_text(out, encoding="utf-8")
    again = json.loads(run("probe", "--hardware", "machine.json", "--json")[1])
    assert [gpu["name"] for gpu in again["gpus"]] == [gpu["name"] for gpu in json.loads(out)["gpus"]]
    assert "2x RTX 4090" in run("probe", "--hardware", "machine.json")[1]


@pytest.mark.parametrize(
    "given",
    [
        ["--data-examples", "2000", "--data-completion-tokens", "20M", "--data-total-tokens", "40M"],
        ["--dataset", "chats.jsonl"],
    ],
)
def test_the_flags_of_a_change_in_the_data_give_the_answer_that_it_names(run, given):
    row = {
        "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it is. " * 30}]
    }
    Path("chats.jsonl").write_text((json.dumps(row) + "\n") * 2000, encoding="utf-8")
    ask = ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "8x H100-80GB", "--data-kind", "chat", *given]
    changes = [change for change in json.loads(run(*ask)[1])["changes"] if "examples like these" in change["what"]]
    assert changes
    for change in changes:
        flags = shlex.split(change["flag"])
        assert flags[::2] == ["--data-examples", "--data-completion-tokens", "--data-total-tokens"]
        again = json.loads(run(*ask, *flags)[1])
        assert again["verdict"] == change["verdict"]
        assert again["method"] == change["method"]


def test_a_policy_of_ones_own(run):
    assert run("rules", "new", "ACME-01", "A tune that nobody asked for", "--in", "policy")[0] == 0
    code, out, _ = run("rules", "check", "policy")
    assert code == 0
    assert "3 of 3 cases hold" in out
    assert "ACME-01" in run("rules", "list", "policy")[1]
    assert run("rules", "test", "policy")[:2] == (0, "3 cases hold, 0 do not\n")
    code, out, _ = run(*ASK, "--rules", "policy", "--trace")
    assert code == 0
    assert "ACME-01" in {trace["rule_id"] for trace in json.loads(out)["trace"]["traces"]}


def test_pages_that_are_explained(run):
    assert "low" in run("explain", "lora")[1]
    assert "Sources" in run("explain", "hyp-01")[1]
    assert run("explain", "flow", "--format", "mermaid")[1].startswith("flowchart TD")
    assert run("explain", "qlora", "--format", "markdown")[1].startswith("# ")
