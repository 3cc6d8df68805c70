"""What cannot be used is named, with the way out, all of it at once, and nothing is written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.commands.calling import ASK, left_behind
from tests.report import made_by_hand as made
from trainers.plan import save_plan


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--non-interactive"], ["model is not given", "--model Qwen3-8B"]),
        (["--mdel", "x"], ["--mdel is not a flag", "did you mean --model?"]),
        (["--non-interactive", "--model"], ["--model needs a value", "try: --model Qwen3-8B"]),
        (
            ["--storage-budget-bytes", "-1GiB"],
            ["--storage-budget-bytes needs a value", "try: --storage-budget-bytes 500GiB"],
        ),
        (["map", "--lengths", "4k,x"], ["--lengths cannot be '4k,x'", "'x': a whole number of tokens is expected"]),
        (["\u2014json", "--model", "Qwen3-8B"], ["a dash that is no hyphen", "try: --json"]),
        (["estimate", "\u2013-model", "Qwen3-8B"], ["a dash that is no hyphen", "try: --model"]),
        (["Qwen3-8B"], ["did you mean: sft-advisor --model Qwen3-8B"]),
        (
            ["Qwen3-8B", "chats.jsonl", "RTX 4090", "--json", "--data-kind", "chat"],
            ["sft-advisor --model Qwen3-8B --dataset chats.jsonl --hardware 'RTX 4090' --json --data-kind chat"],
        ),
        (["explain", "--data-kind"], ["try: sft-advisor explain data-kind"]),
        (["estimate", "Qwen3-8B"], ["try: sft-advisor estimate --model Qwen3-8B"]),
        (["where", "Qwen3-8B", "H100"], ["try: sft-advisor where --model Qwen3-8B H100"]),
        (["map", "RTX 4090"], ["try: sft-advisor map --hardware 'RTX 4090'"]),
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
        (["versoin"], ["did you mean: sft-advisor --version"]),
        (["completion", "zsh"], ["did you mean: sft-advisor --completion bash"]),
        (["launch"], ["required: PLAN.toml"]),
        (["launch", "none.toml"], ["none.toml"]),
        (["launch", "none.toml", "--on", "mars:1"], ["--on cannot be 'mars:1'", "choose one of ssh", "none.toml"]),
        (["data", "check", "x.jsonl", "--max-seq-len", "4.3k"], ["4096, or 4k for the same", "x.jsonl"]),
        (["launch", "."], ["Is a directory"]),
        (["runs", "resume", "none"], ["none is no run folder", "it holds no plan.toml"]),
        (["runs", "merge", "none", "--base-name", "org/base"], ["--base-name is of no use", "--deliver"]),
        (["launch", "preflight", "none.toml"], ["none.toml"]),
        (["train", "lroa"], ["did you mean lora?"]),
        (["train", "lora", "--model", "Qwen3-8B", "--hardware", "cpu"], ["a run needs a dataset"]),
        (["train", "lora", "--model", "Qwen3-8B", "--dataset", "none.jsonl"], ["none.jsonl"]),
        (["rules", "schema", "plans"], ["did you mean plan?"]),
        (["explain", "HYP-0"], ["nothing is called 'HYP-0'"]),
        (["explain", "lora", "--format", "mermaid"], ["lora has no diagram"]),
        (["rules", "check", "none"], ["none"]),
        (["rules", "new", "x", "Title"], ["'x' is not a rule id"]),
        (["rules", "scenario", "none.toml"], ["none.toml"]),
        (["estimate"], ["model is not given"]),
        (["estimate", "--model", "Qwen3-8B", "--hardware", "cpu", "--lora-rank", "x"], ["--lora-rank cannot be 'x'"]),
        (
            ["estimate", "--model", "Qwen3-8B", "--hardware", "cpu", "--method", "qlroa"],
            ["--method cannot be 'qlroa'"],
        ),
        (["estimate", "none.toml"], ["none.toml"]),
        (["probe", "--hardware", "none.json"], ["none.json"]),
        (["probe", "models", "--fits", "toaster"], ["the machine 'toaster'", "(--fits)"]),
        (["runs", "chat", ".", "--new-tokens", "0"], ["--new-tokens cannot be '0'", "try: --new-tokens 1"]),
        (["runs", "resume", ".", "--num-gpus", "-1"], ["--num-gpus cannot be '-1'", "1 or more"]),
        (["try", "--minutes", "nan"], ["--minutes cannot be 'nan'", "above 0"]),
        (["--non-interactive", "--model", "Qwen3-8B", "--hardware", ""], ["try: --hardware '2x RTX 4090'"]),
        (
            [*ASK, "--data-completion-tokens", "1M", "--data-total-tokens", "2k"],
            ["--data-completion-tokens 1000000 is more than --data-total-tokens 2000"],
        ),
        (
            ["--non-interactive", "--model", "Qwen3-8C", "--rules", "none"],
            ["no model is called", "none is not a folder of rules"],
        ),
        (["where", "--model", "Qwen3-8B", "--budget", "-5", "--by", "3q"], ["try: --budget 1", "try: --by 12h"]),
        (["map", "--lengths", "4,x"], ["'4': a length is 16", "'x': a whole number"]),
        (["launch", "none.toml", "--on", "kubernets"], ["try: --on kubernetes"]),
        (["launch", "none.toml", "--on", "ssh"], ["try: --on ssh:me@gpu-box"]),
        (["race", "none.toml", "--minutes", "9", "--steps", "5"], ["not allowed with", "required: --run-dir"]),
        (["data", "check", "-"], ["not read from standard input", "data.jsonl"]),
        (["train", "lora"], ["model is not given", "a run needs a dataset"]),
        (["explain", "QUA-99"], ["try: sft-advisor explain QUA-"]),
        (
            ["estimate", *ASK[1:], "--method", "qlora", "--quantization", "none"],
            ["method qlora needs quantization = 'nf4'"],
        ),
        (
            ["estimate", *ASK[1:3], "--hardware", "RTX 4090", "--num-gpus", "3", "--sharding", "ddp"],
            ["--num-gpus 3 is more than the machine has (1)", '--hardware "3x RTX 4090"'],
        ),
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
    Path("runs").write_text("", encoding="utf-8")
    assert "--output runs is a file" in run(*ASK)[2]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"model = ", b"[[", b"model = 1\n", b"\x00" * 100, b'{"model": "x"}']
)
def test_nonsense_in_files_is_explained(run, content):
    Path("file.toml").write_bytes(content)
    for arguments in (
        ["--non-interactive", "--answers", "file.toml"],
        ["launch", "file.toml"],
        ["launch", "preflight", "file.toml"],
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
        (["launch", "--dryrun", "--run-dir"], ["did you mean --dry-run?", "--run-dir needs a value"]),
        (
            ["data", "check", "x.jsonl", "--max-seq-len", "long", "--modle", "m"],
            ["did you mean --model?", "--max-seq-len cannot be 'long'", "the dataset x.jsonl is not there"],
        ),
        (
            ["runs", "merge", "runs/x", "--dtype", "bf61", "--delivr"],
            ["did you mean bf16?", "did you mean --deliver?", "there is nothing at runs/x"],
        ),
        (["launch", "none.toml", "--nope"], ["--nope is not a flag of sft-advisor launch", "the plan none.toml"]),
        (["--jsn", "--model", "gpt-4"], ["did you mean --json?", "'gpt-4' is a closed model"]),
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


@pytest.mark.parametrize(
    "command", [["launch", "plan.toml"], ["launch", "plan.toml", "--dry-run"], ["launch", "preflight", "plan.toml"]]
)
def test_a_run_without_a_dataset_says_so_before_anything_else(run, command):
    save_plan(made.plan(dataset=None, num_nodes=2, num_gpus=2, sharding="ddp"), Path("plan.toml"))
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err.startswith("error: the plan names no dataset\n")
    assert err.count("error: ") == 1
    assert "--dataset" in err
    assert left_behind() == ["plan.toml"]


def test_a_plan_and_a_number_of_a_race_are_told_together(run):
    code, _, err = run("race", "none.toml", "--run-dir", "there", "--minutes", "-1", "--seeds", "none")
    assert code == 2
    assert all(part in err for part in ("--minutes cannot be '-1'", "--seeds cannot be 'none'", "none.toml"))
    code, _, err = run("race", "none.toml", "--run-dir", "there", "--sweep", "data", "method")
    assert code == 2
    assert all(part in err for part in ("asked apart", "none.toml"))


def test_an_evaluation_set_is_missing_at_its_own_flag(run, tmp_path):
    row = '{"prompt": "Why?", "completion": "Because."}\n'
    (tmp_path / "rows.jsonl").write_text(row * 3, encoding="utf-8")
    for words in (("data", "check", "rows.jsonl"), ("--json", "--model", "Qwen3-8B", "--dataset", "rows.jsonl")):
        code, _, err = run(*words, "--eval-dataset", "none.jsonl")
        assert code == 2
        assert "the dataset none.jsonl is not there (--eval-dataset)" in err
        assert "did you mean" not in err.partition("none.jsonl")[0]
    code, _, err = run("data", "check", "none.jsonl", "--eval-dataset", "rows.jsonl")
    assert code == 2
    assert "--eval-dataset" not in err


def test_a_set_that_the_hub_lacks_is_named_at_its_own_flag(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "Because."}\n' * 3, encoding="utf-8")
    asked = ("--json", "--model", "Qwen3-8B")
    code, _, err = run(*asked, "--dataset", "rows.jsonl", "--eval-dataset", "nobody/nothing")
    assert code == 5
    assert "(--eval-dataset)" in err
    code, _, err = run(*asked, "--dataset", "nobody/nothing")
    assert code == 5
    assert "(--dataset)" in err


@pytest.mark.parametrize("name", ["plan.toml", "machine.json", "tuned", "rows.csv"])
def test_a_file_that_was_typed_alone_is_asked_for_as_what_it_is(run, tmp_path, name):
    run(*ASK, "--save-plan", "plan.toml")
    (tmp_path / "machine.json").write_text(run("probe", "--json", "--hardware", "RTX 4060")[1], encoding="utf-8")
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("prompt,completion\n", encoding="utf-8")
    meant = {"plan.toml": "launch", "machine.json": "--hardware", "tuned": "--model", "rows.csv": "--dataset"}
    code, _, err = run(name)
    assert code == 2
    assert f"did you mean: sft-advisor {meant[name]} {name}" in err


def test_a_trial_whose_folder_is_a_file_is_refused_before_anything_is_made(run, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    code, _, err = run("try", "--output", "taken")
    assert code == 2
    assert "--output taken is a file" in err
    assert left_behind() == ["taken"]


def test_what_holds_something_else_is_told_what_it_is(run):
    run(*ASK, "--save-answers", "answers.toml")
    Path("chats.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    with zipfile.ZipFile("letter.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    for arguments, said in (
        (["launch", "answers.toml"], "--answers answers.toml --save-plan answers-plan.toml"),
        (["--non-interactive", "--model", "chats.jsonl"], "try: --dataset chats.jsonl --model Qwen3-8B"),
        (["data", "check", "letter.docx"], "letter.docx is a Word document"),
    ):
        assert said in run(*arguments)[2]
