"""The commands as a user meets them: one document on stdout, remarks on stderr, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from advisor import __version__
from advisor.cli import COMMANDS, main
from tests.report import made_by_hand as made
from trainers.plan import load_plan, save_plan

ROOT = Path(__file__).resolve().parents[2]
ASK = ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "RTX 4090", "--data-examples", "5000"]


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run a command in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def left_behind() -> list[str]:
    """Names of the files in the working folder."""
    return sorted(file.name for file in Path().iterdir())


def started(*arguments: str, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "advisor.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False, **options
    )


def test_one_json_document_and_nothing_else(run):
    code, out, err = run(*ASK)
    document = json.loads(out)
    assert code == 0
    assert err == ""
    assert document["schema"] == "sft-advisor/recommendation/v1"
    assert document["verdict"] == "recommended"
    assert document["answers"]["model"] == {"value": "Qwen3-8B", "origin": "flag"}
    assert document["answers"]["task.count"] == {"value": 1, "origin": "default"}


def test_the_same_inputs_give_the_same_document(run):
    assert run(*ASK)[1] == run(*ASK)[1]


def test_nothing_fits_is_an_answer_with_its_own_exit_code(run):
    code, out, _ = run("--non-interactive", "--model", "Llama-3.1-70B", "--hardware", "1x 8GiB")
    document = json.loads(out)
    assert code == 3
    assert document["best"] is None
    assert document["remedies"]
    assert all(candidate["why_not"] for candidate in document["rejected"])


def test_do_not_fine_tune_is_an_answer_with_its_own_exit_code(run):
    code, out, _ = run(*ASK, "--data-kind", "facts", "--data-has-facts-that-change")
    document = json.loads(out)
    assert code == 4
    assert document["verdict"] == "do_not_fine_tune"
    assert document["gates"][0]["fix"]


def test_flags_and_file_give_the_same_answer(run, tmp_path):
    Path("answers.toml").write_text('model = "Qwen3-8B"\nhardware = "RTX 4090"\n[data]\nexamples = 5000\n')
    by_flag, by_file = json.loads(run(*ASK)[1]), json.loads(run("--non-interactive", "--answers", "answers.toml")[1])
    origins = {view.pop("origin") for document in (by_flag, by_file) for view in document["answers"].values()}
    assert origins == {"flag", "file", "default"}
    assert by_flag == by_file


def test_flags_may_be_abbreviated_and_win_over_the_file(run):
    Path("answers.toml").write_text('model = "Qwen3-8B"\nhardware = "RTX 4090"\n[task]\ncount = 2\n')
    code, out, _ = run("--non-interactive", "--answers", "answers.toml", "--task-c", "7", "--storage-budget", "1TB")
    answers = json.loads(out)["answers"]
    assert code == 0
    assert answers["task.count"] == {"value": 7, "origin": "flag"}
    assert answers["storage.budget_bytes"]["value"] == 10**12


def test_files_are_written_on_request(run):
    code, _, _ = run(*ASK, "--save-answers", "a.toml", "--save-plan", "p.toml", "--html", "r.html")
    assert code == 0
    assert tomllib.loads(Path("a.toml").read_text())["data"] == {"examples": 5000}
    assert load_plan(Path("p.toml")).model.name
    assert "<!doctype html>" in Path("r.html").read_text()
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--non-interactive"], ["model is not given", "--model Qwen3-8B"]),
        (["--mdel", "x"], ["--mdel is not a flag", "did you mean --model?"]),
        (["--non-interactive", "--model"], ["expected one argument"]),
        (["--non-interactive", "--model", ""], ["--model cannot be ''"]),
        (
            ["--non-interactive", "--model", "Qwen3-8C", "--hardware", "cpu"],
            ["no model is called 'Qwen3-8C'", "Qwen3-8B"],
        ),
        (["--non-interactive", "--model", "Qwen3-8B", "--hardware", "RTX 4099"], ["4099", "RTX 4090"]),
        (["--non-interactive", "--answers", "none.toml"], ["none.toml", "No such file"]),
        (["--non-interactive", "--answers", "."], ["Is a directory"]),
        (["--task-count", "none", "--non-interactive", "--model", "Qwen3-8B"], ["--task-count cannot be 'none'"]),
        (["prob"], ["'prob' is not a command", "sft-advisor probe"]),
        (["launch"], ["required: PLAN.toml"]),
        (["launch", "none.toml"], ["none.toml"]),
        (["launch", "."], ["Is a directory"]),
        (["resume", "none"], ["none holds no plan.toml"]),
        (["merge", "none", "--base-name", "org/base"], ["--base-name is of no use", "--deliver"]),
        (["preflight", "none.toml"], ["none.toml"]),
        (["train", "lroa"], ["did you mean lora?"]),
        (["train", "lora", "--model", "Qwen3-8B", "--hardware", "cpu"], ["a run needs a dataset"]),
        (["train", "lora", "--model", "Qwen3-8B", "--dataset", "none.jsonl"], ["none.jsonl"]),
        (["schema", "plans"], ["did you mean plan?"]),
        (["explain", "HYP-0"], ["nothing is called 'HYP-0'"]),
        (["explain", "lora", "--format", "mermaid"], ["lora has no diagram"]),
        (["rules", "check", "none"], ["none"]),
        (["rules", "new", "x", "Title"], ["'x' is no rule id"]),
        (["rules", "scenario", "none.toml"], ["none.toml"]),
        (["estimate"], ["model is not given"]),
        (["estimate", "--model", "Qwen3-8B", "--hardware", "cpu", "--lora-rank", "x"], ["--lora-rank cannot be 'x'"]),
        (
            ["estimate", "--model", "Qwen3-8B", "--hardware", "cpu", "--method", "qlroa"],
            ["--method cannot be 'qlroa'"],
        ),
        (["estimate", "none.toml"], ["none.toml"]),
        (["probe", "--hardware", "none.json"], ["none.json"]),
    ],
)
def test_bad_input_is_explained(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    for part in said:
        assert part in err
    assert err.startswith("error: ")
    assert left_behind() == []


@pytest.mark.parametrize("flag", ["--save-answers", "--save-plan", "--html"])
def test_a_place_that_cannot_be_written_is_explained(run, tmp_path, flag):
    for place in (tmp_path, "/proc/none/file", "/dev/null/file"):
        code, out, err = run(*ASK, flag, str(place))
        assert (code, out) == (2, "")
        assert f"cannot write {place}" in err
    assert left_behind() == []


def test_an_output_folder_that_is_a_file_is_refused(run):
    Path("runs").write_text("")
    assert "--output runs is a file" in run(*ASK)[2]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"model = ", b"[[", b"model = 1\n", b"\x00" * 100, b'{"model": "x"}']
)
def test_nonsense_in_files_is_explained(run, content):
    Path("file.toml").write_bytes(content)
    for arguments in (
        ["--non-interactive", "--answers", "file.toml"],
        ["launch", "file.toml"],
        ["preflight", "file.toml"],
        ["estimate", "file.toml"],
        ["probe", "--hardware", "file.toml"],
        ["rules", "scenario", "file.toml"],
        ["--non-interactive", "--model", "file.toml", "--hardware", "cpu"],
        ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "cpu", "--dataset", "file.toml"],
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.startswith("error: "), arguments
    assert left_behind() == ["file.toml"]


def test_everything_wrong_is_reported_at_once(run):
    _, _, err = run("--non-interactive", "--model", "Qwen3-8C", "--hardware", "RTX 4099", "--task-count", "0")
    assert err.count("error: ") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [
                *ASK[:3],
                "--hardware",
                "RTX 4099",
                "--task-coutn",
                "2",
                "--task-count",
                "none",
                "--deploy-engin",
                "vlm",
            ],
            [
                "--task-coutn is not a flag",
                "--task-count cannot be 'none'",
                "--deploy-engine cannot be 'vlm'",
                "4099",
            ],
        ),
        (
            ["train", "lroa", "--lora-rnak", "8", "--lora-alpha", "x", "--packing", "perhaps", "--model", "Qwen3-8C"],
            ["did you mean lora?", "did you mean --lora-rank?", "--lora-alpha", "--packing", "Qwen3-8C"],
        ),
        (["launch", "--dryrun"], ["did you mean --dry-run?", "required: PLAN.toml"]),
        (["launch", "--dryrun", "--run-dir"], ["did you mean --dry-run?", "expected one argument"]),
        (
            ["data", "check", "x", "--max-seq-len", "long", "--modle", "m"],
            ["did you mean --model?", "invalid int value: 'long'"],
        ),
        (["merge", "runs/x", "--dtype", "bf61", "--delivr"], ["did you mean bf16?", "did you mean --deliver?"]),
        (["estimate", "--answers", "none.toml", "--lora-rank", "x"], ["none.toml", "--lora-rank cannot be 'x'"]),
        (["rules", "chekc", "--xyz"], ["did you mean check?", "--xyz is not a flag"]),
    ],
)
def test_unknown_flags_and_wrong_values_are_reported_together(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    for part in said:
        assert part in err, part
    assert err.count("error: ") == len(said), err
    assert left_behind() == []


def test_a_bug_is_reported_without_a_traceback(run, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("advisor.commands.schema.json_schema", broken)
    code, out, err = run("schema", "plan")
    assert (code, out) == (1, "")
    assert "this is a bug of sft-advisor: RuntimeError: first line in " in err
    assert "sft-advisor schema plan --debug" in err
    with pytest.raises(RuntimeError):
        main(["schema", "plan", "--debug"])


def test_a_missing_package_names_the_install_line(run, monkeypatch):
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")

    monkeypatch.setattr("advisor.commands.schema.json_schema", missing)
    code, _, err = run("schema", "plan")
    assert code == 5
    assert "the package 'torch' is not installed" in err
    assert 'pip install "sft-advisor[train]"' in err


def test_interruption_has_its_own_exit_code(run, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("advisor.commands.schema.json_schema", interrupted)
    assert run("schema", "plan")[0] == 130


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command):
    found = started(*command.split(), "--help")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("usage: sft-advisor")
    assert found.stderr == ""


def test_the_version(run):
    assert run("--version") == (0, f"sft-advisor {__version__}\n", "")


def test_the_wizard_without_a_terminal_says_what_to_do():
    found = started(stdin=subprocess.DEVNULL)
    assert found.returncode == 2
    assert "the wizard needs a terminal" in found.stderr
    assert "--non-interactive" in found.stderr


def test_a_reader_that_leaves_is_no_error():
    first_line = f"{sys.executable} -m advisor.cli schema recommendation | head -1; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        ["bash", "-c", first_line], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert found.stdout.splitlines() == ["{", "0"]
    assert found.stderr == ""


def test_text_that_the_terminal_cannot_show_is_no_error():
    found = started("explain", "flow", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert found.returncode == 0
    assert found.stderr == ""


def test_advice_needs_no_torch_and_no_terminal_library(tmp_path):
    """Blocked at import: whatever reaches for one of them fails."""
    blocker = tmp_path / "sitecustomize.py"
    heavy = [
        "torch",
        "transformers",
        "peft",
        "datasets",
        "numpy",
        "pandas",
        "rich",
        "questionary",
        "polars",
        "jinja2",
    ]
    blocker.write_text(f"import sys\nfor name in {heavy}: sys.modules[name] = None\n")
    found = started(*ASK, env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "SFT_ADVISOR_HOME": str(tmp_path)})
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["verdict"] == "recommended"


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
    assert "trainers.run" in out
    assert 'method = "lora"' in out
    assert left_behind() == ["plan.toml"]


@pytest.mark.parametrize(
    "command", [["launch", "plan.toml"], ["launch", "plan.toml", "--dry-run"], ["preflight", "plan.toml"]]
)
def test_a_run_without_a_dataset_says_so_before_anything_else(run, command):
    save_plan(made.plan(dataset=None, num_nodes=2, num_gpus=2, sharding="ddp"), Path("plan.toml"))
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err.startswith("error: the plan names no dataset\n")
    assert err.count("error: ") == 1
    assert "--dataset" in err
    assert left_behind() == ["plan.toml"]


def test_a_described_machine_can_be_shown_and_saved(run):
    code, out, _ = run("probe", "--hardware", "2x RTX 4090", "--json")
    assert code == 0
    Path("machine.json").write_text(out)
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
    Path("chats.jsonl").write_text((json.dumps(row) + "\n") * 2000)
    ask = ["--non-interactive", "--model", "Qwen3-8B", "--hardware", "8x H100-80GB", "--data-kind", "chat", *given]
    changes = [change for change in json.loads(run(*ask)[1])["changes"] if "examples like these" in change["what"]]
    assert changes
    for change in changes:
        flags = shlex.split(change["flag"])
        assert flags[::2] == ["--data-examples", "--data-completion-tokens", "--data-total-tokens"]
        again = json.loads(run(*ask, *flags)[1])
        assert again["verdict"] == change["verdict"]
        assert again["best"]["method"] == change["method"]


def test_a_policy_of_ones_own(run):
    assert run("rules", "new", "ACME-01", "A tune that nobody asked for", "--in", "policy")[0] == 0
    code, out, _ = run("rules", "check", "policy")
    assert code == 0
    assert "3 of 3 cases hold" in out
    assert "ACME-01" in run("rules", "list", "policy")[1]
    assert run("rules", "test", "policy")[:2] == (0, "3 cases hold, 0 do not\n")
    code, out, _ = run(*ASK, "--rules", "policy")
    assert code == 0
    assert "ACME-01" in {trace["rule_id"] for trace in json.loads(out)["traces"]}


def test_pages_that_are_explained(run):
    assert "low" in run("explain", "lora")[1]
    assert "Sources" in run("explain", "hyp-01")[1]
    assert run("explain", "flow", "--format", "mermaid")[1].startswith("flowchart TD")
    assert run("explain", "qlora", "--format", "markdown")[1].startswith("# ")
