"""The training process itself, on a tiny random model and real conversations. In this process: imports cost most."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainers.conftest import generates_plainly
from tests.waiting import PATIENCE_SECONDS
from trainers import exit_codes
from trainers.merging.merge import merge_run
from trainers.plan import plan_from_dict, save_plan
from trainers.python import child_environment, module_command
from trainers.run_folder.metrics import read_metrics
from trainers.training import run

pytestmark = pytest.mark.slow
MakePlan = Callable[..., dict[str, Any]]
Trained = Callable[..., tuple[int, Path, dict[str, Any]]]


@pytest.fixture
def trained(make_plan: MakePlan, tmp_path: Path) -> Trained:
    """Exit code, run folder and run.json after training by a plan of these fields."""

    torch.set_num_threads(1)

    def train(method: str = "lora", folder: str = "run", resume: str = "auto", **fields: Any) -> Any:
        run_dir = tmp_path / folder
        save_plan(plan_from_dict(make_plan(method, **fields)), run_dir / "plan.toml")
        code = run.main([str(run_dir / "plan.toml"), "--run-dir", str(run_dir), "--resume", resume])
        return code, run_dir, json.loads((run_dir / "run.json").read_bytes())

    return train


IN_BF16 = {"weights_dtype": "bf16", "compute_dtype": "bf16"}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("full", {"optimizer": "adamw_8bit", "weights_dtype": "bf16", "compute_dtype": "bf16"}),
    ("full", {"optimizer_in_backward": True, "optimizer": "adafactor", "gradient_checkpointing": True}),
    ("full", {"optimizer": "paged_adamw_8bit", "compute_dtype": "bf16"}),
    ("full", {"optimizer": "sgd", "optimizer_in_backward": True, "weights_dtype": "bf16", "compute_dtype": "bf16"}),
    ("lora", {"gradient_checkpointing": True, "lora_dropout": 0.05, "neftune_noise_alpha": 5.0}),
    ("lora", {"packing": True, "dataloader_workers": 2}),
    ("lora", {"use_rslora": True, "loraplus_lr_ratio": 8.0, "lora_init": "pissa"}),
    ("lora", {"use_dora": True, "modules_to_save": ["embed_tokens"], "length_grouping": True}),
    # A step size at which six steps in bf16 end alike on any kernels; at 2e-2 they go up or down with the rounding
    (
        "lora",
        {"trainable_token_indices": [1, 2], "weights_dtype": "bf16", "compute_dtype": "bf16", "learning_rate": 5e-3},
    ),
    ("qlora", {"optimizer": "paged_adamw_32bit", "gradient_checkpointing": True}),
    ("qlora", {"lora_init": "loftq", "weights_dtype": "bf16", "compute_dtype": "bf16"}),
    ("prefix", {"learning_rate": 0.1}),
    ("adapter", {"gradient_checkpointing": True}),
]


def tolerated(method: str, fields: dict[str, Any]) -> float:
    """Largest difference of a logit (of about 3) between what was trained and what was loaded again.

    The same numbers in the same products answer alike to the last bit, on any processor.
    """
    if method == "full" and fields.get("compute_dtype") == "bf16" and "weights_dtype" not in fields:
        return 0.05  # weights trained in fp32 are saved in bf16
    if fields.get("lora_init") == "pissa":
        # What was taken out of the base is saved as a part of the adapter: other products, so other roundings. The
        # weights add up to the same within 9e-9; with AVX-512 the trained model is 0.9e-5 from fp64, the loaded one
        # 3.5e-5.
        return 1e-4
    return 1e-6


@pytest.mark.parametrize(("method", "fields"), METHODS, ids=lambda value: str(value)[:60])
def test_every_method_learns_and_what_it_saves_answers_alike(
    trained: Trained, tiny_model: Path, method: str, fields: dict[str, Any]
) -> None:
    code, run_dir, record = trained(method, **{"learning_rate": 2e-2, "max_steps": 6, "save_steps": 50, **fields})
    assert code == exit_codes.DONE
    assert record["exit_state"] == "done"
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert record["reload"]["passed"], record["reload"]
    assert record["reload"]["max_logit_difference"] <= tolerated(method, fields)
    saved = {file.name for file in (run_dir / "result").iterdir()}
    assert {"tokenizer.json", "chat_template.jinja"} <= saved
    tokenizer = AutoTokenizer.from_pretrained(str(run_dir / "result"))
    assert tokenizer.pad_token != tokenizer.eos_token
    weights = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert (run_dir / "result" / weights).stat().st_mode == (run_dir / "run.json").stat().st_mode
    assert record["parameters"]["trainable"] <= record["parameters"]["total"]
    assert generates_plainly(run_dir / "result", tiny_model)
    if method in ("lora", "qlora"):
        gap = merge_run(run_dir).gap
        assert gap is not None
        assert gap.kl < 1e-3
        assert generates_plainly(run_dir / "merged", tiny_model)


def test_a_run_goes_on_from_an_adapter_and_begins_with_what_it_learnt(trained: Trained, tiny_model: Path) -> None:
    _, first, before = trained(folder="first")
    code, second, record = trained(folder="second", start_adapter=str(first / "result"))
    assert code == exit_codes.DONE
    assert record["eval_loss_before"] == pytest.approx(before["eval_loss_after"], abs=1e-5)
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert record["reload"]["passed"]
    assert generates_plainly(second / "result", tiny_model)
    held = json.loads((second / "result" / "adapter_config.json").read_bytes())
    assert held["r"] == 8
    gap = merge_run(second).gap
    assert gap is not None
    assert gap.kl < 1e-3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lora_rank": 4}, "another shape than the plan's"),
        ({"start_adapter": "nothing-here"}, "holds no adapter that can be read"),
        ({"lora_init": "pissa"}, "begins anew"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_in_words(
    trained: Trained, tiny_model: Path, tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    from peft import LoraConfig, get_peft_model

    base = AutoModelForCausalLM.from_pretrained(str(tiny_model))
    get_peft_model(base, LoraConfig(r=8, lora_alpha=16)).save_pretrained(str(tmp_path / "adapter"))
    code, _, record = trained(**({"start_adapter": str(tmp_path / "adapter")} | fields))
    assert code == exit_codes.BAD_PLAN
    assert said in record["failure"]["what"]


def build_mixture(folder: Path, tokenizer: Path, family: str = "qwen3_moe") -> None:
    """A tiny random mixture of four experts, two active."""
    from transformers import AutoConfig, AutoModelForCausalLM

    experts = {"num_local_experts" if family == "mixtral" else "num_experts": 4, "num_experts_per_tok": 2}
    config = AutoConfig.for_model(
        family, vocab_size=600, hidden_size=64, intermediate_size=128, moe_intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, **experts,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(tokenizer)).save_pretrained(str(folder))


@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral"])
def test_a_prefix_trains_on_a_mixture(trained: Trained, tiny_model: Path, tmp_path: Path, family: str) -> None:
    """The balancing loss of the routers would count the prefix, which they never see."""
    build_mixture(tmp_path / "moe", tiny_model, family)
    code, run_dir, record = trained("prefix", model={"name": str(tmp_path / "moe")}, learning_rate=0.1)
    assert code == exit_codes.DONE
    assert record["reload"]["passed"]
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert generates_plainly(run_dir / "result", tmp_path / "moe")


@pytest.mark.parametrize("expert_rank", [None, 2])
def test_experts_of_a_mixture_get_adapters(
    trained: Trained, tiny_model: Path, tmp_path: Path, expert_rank: int | None
) -> None:
    """The balancing loss that TRL turns on for these models must not reach generation; experts may have a rank of
    their own, which reload and merge keep, and which no engine serves apart."""
    folder = tmp_path / "moe"
    build_mixture(folder, tiny_model)
    experts = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    code, run_dir, record = trained(
        model={"name": str(folder)},
        lora_targets=["q_proj", "v_proj"],
        lora_expert_targets=experts,
        lora_expert_rank=expert_rank,
        learning_rate=2e-2,
    )
    assert code == exit_codes.DONE
    assert record["eval_loss_after"] < record["eval_loss_before"]
    assert record["reload"]["passed"]
    attention = 8 * (64 + 64 + 64 + 32)
    assert record["parameters"]["trainable"] == attention + 4 * (expert_rank or 8) * (64 + 64 + 32 + 64)
    served = json.loads((run_dir / "result" / "serve.json").read_bytes())
    for engine in ("vllm", "sglang", "llama_cpp"):
        assert ("another rank" in (served[engine]["refused"] or "")) is (expert_rank is not None)
    assert generates_plainly(run_dir / "result", folder)
    gap = merge_run(run_dir).gap
    assert gap is not None
    assert gap.kl < 1e-6


def test_the_run_folder_is_complete(trained: Trained) -> None:
    code, run_dir, record = trained(predicted_peak_bytes=1_000_000_000)
    assert code == exit_codes.DONE
    wanted = {"plan.toml", "run.json", "metrics.jsonl", "samples.json", "loss.png", "report.html", "result", "data"}
    wanted |= {"requirements.txt"}
    assert wanted <= {path.name for path in run_dir.iterdir()}
    assert (run_dir / "checkpoints" / "checkpoint-8" / "COMPLETE.json").is_file()

    lines = [line for line in read_metrics(run_dir) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 9))
    for name in ("learning_rate", "grad_norm", "tokens_per_second", "memory_bytes", "eta_seconds"):
        assert all(isinstance(line[name], (int, float)) for line in lines), name
    assert lines[-1]["eta_seconds"] == 0
    assert [line["step"] for line in read_metrics(run_dir) if "eval_loss" in line] == [4, 8]

    evaluated = [line["eval_loss"] for line in read_metrics(run_dir) if "eval_loss" in line]
    assert evaluated[-1] == pytest.approx(record["eval_loss_after"], rel=1e-4)

    assert record["losses"]["last"] == pytest.approx(lines[-1]["loss"])
    assert record["memory"]["predicted_peak_bytes"] == 1_000_000_000
    assert 100e6 < record["memory"]["measured_peak_bytes"] < 20e9
    assert record["versions"]["torch"] == torch.__version__
    assert f"torch=={torch.__version__}\n" in (run_dir / "requirements.txt").read_text()
    assert record["seed"] == 42
    assert {"data", "loading", "training", "evaluation"} <= set(record["seconds"])

    assert "vllm serve" in json.loads((run_dir / "result" / "serve.json").read_bytes())["vllm"]["command"]
    assert "loss on the kept-back part" in (run_dir / "result" / "README.md").read_text()

    samples = json.loads((run_dir / "samples.json").read_bytes())
    assert samples["base"]["examples"] == samples["tuned"]["examples"] == 20
    assert all(sample["base"] is not None and sample["tuned"] is not None for sample in samples["samples"])
    report = (run_dir / "report.html").read_text()
    assert report.count("<svg") == 5
    assert "http" not in report
    assert "<script" not in report


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("lora", {"lora_dropout": 0.1}),
        ("full", {"optimizer_in_backward": True, "learning_rate": 1e-3}),
        ("qlora", {"optimizer": "paged_adamw_8bit"}),
        ("adapter", {}),
        ("lora", {"lora_init": "pissa", "packing": True}),
    ],
    ids=str,
)
def test_a_resumed_run_has_the_curve_of_an_undisturbed_one(
    trained: Trained, method: str, fields: dict[str, Any]
) -> None:
    import shutil

    _, run_dir, _ = trained(method, **fields)
    whole = {line["step"]: line["loss"] for line in read_metrics(run_dir) if "loss" in line}
    shutil.rmtree(run_dir / "checkpoints" / "checkpoint-8")
    shutil.rmtree(run_dir / "result")
    code, _, record = trained(method, **fields)
    assert code == exit_codes.DONE
    assert {line["step"]: line["loss"] for line in read_metrics(run_dir) if "loss" in line} == whole
    [event] = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert (event["event"], event["step"], event["loss"], event["earlier_loss"]) == ("resumed", 5, whole[5], whole[5])
    assert record["reload"]["passed"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lora_targets": ["q_proj", "w_pack"]}, "no module named w_pack"),
        ({"lora_init": "loftq"}, "use it with method qlora"),
        ({"model": {"name": "/nowhere/model"}}, "cannot load the tokenizer of /nowhere/model"),
        ({"dataset": {"source": "/nowhere/chats.jsonl"}}, "is not there"),
        ({"num_gpus": 2, "sharding": "ddp"}, "for 2 processes and 1 were started"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_ends_with_2_and_a_message(
    trained: Trained, capfd: pytest.CaptureFixture[str], tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    try:
        code, _, record = trained(**fields)
        assert record["failure"]["what"]
    except FileNotFoundError:
        code = exit_codes.BAD_PLAN  # refused before a run folder was begun; the message below tells them apart
    error = capfd.readouterr().err
    assert code == exit_codes.BAD_PLAN
    assert said in error
    assert "Traceback" not in error


def test_tokens_that_were_added_to_the_tokenizer_alone_are_refused_by_name(
    trained: Trained, capfd: pytest.CaptureFixture[str], tiny_model: Path, tmp_path: Path
) -> None:
    """Their ids point beyond the embedding: an index error at the first step on a CPU, a device assert on a GPU."""
    folder = tmp_path / "grown"
    AutoModelForCausalLM.from_pretrained(str(tiny_model)).save_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    tokenizer.add_tokens(["<call>", "</call>"])
    tokenizer.save_pretrained(str(folder))
    plain = trained(folder="plain", model={"name": str(folder)}, max_steps=1)
    assert plain[0] == exit_codes.DONE, "tokens that no example holds do no harm"

    rows = tmp_path / "calls.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"{i}?", "completion": f"<call>{i}</call>"}) + "\n" for i in range(9))
    )
    code, _, record = trained(model={"name": str(folder)}, dataset={"source": str(rows)})
    assert code == exit_codes.BAD_PLAN
    assert "</call>, <call>" in record["failure"]["what"]
    assert "resize_token_embeddings" in capfd.readouterr().err


def test_a_plan_for_a_gpu_does_not_train_on_the_cpu_unasked(
    trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    code, _, _ = trained(accelerator="cuda")
    assert code == exit_codes.ENVIRONMENT
    assert "sees no GPU" in capfd.readouterr().err


def test_a_bad_plan_file_ends_with_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.toml").write_text("method = 'magic'\n")
    assert run.main([str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path / "run")]) == exit_codes.BAD_PLAN
    assert "error:" in capfd.readouterr().err


def test_our_own_fault_leaves_its_trace_in_a_file_not_on_the_screen(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "draw", lambda _: 1 / 0)
    code, run_dir, record = trained()
    error = capfd.readouterr().err
    assert code == exit_codes.CRASHED
    assert "Traceback" not in error
    assert "ZeroDivisionError" in (run_dir / "crash.txt").read_text()
    assert record["exit_state"] == "error"


def test_the_command_says_how_far_it_is(make_plan: MakePlan, tmp_path: Path) -> None:
    save_plan(plan_from_dict(make_plan()), tmp_path / "plan.toml")
    command = module_command("trainers.training.run", tmp_path / "plan.toml", "--run-dir", tmp_path / "run")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=child_environment(),
    )
    assert done.returncode == exit_codes.DONE, done.stderr
    assert "step 8/8  loss" in done.stderr
    assert "tokens/s" in done.stderr
    assert "180 examples to train on (messages), 20 kept back" in done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout == ""


def test_importing_the_registry_needs_no_torch() -> None:
    read = "trainers.methods, trainers.plan, trainers.run_folder.record, trainers.run_folder.metrics"
    code = f"import sys, {read}; sys.exit('torch' in sys.modules)"
    root = Path(run.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
