import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.plan import TrainingPlan, plan_from_dict
from trainers.training import arguments

MakePlan = Callable[..., dict[str, Any]]


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[TrainingPlan], dict[str, Any]]:
    """What a plan asks of SFTConfig, without building one: plans for GPUs can be looked at here too."""

    def ask(plan: TrainingPlan) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        monkeypatch.setattr(arguments, "by_signature", lambda _options, found: seen.update(found))
        monkeypatch.setattr(arguments, "_require_module", lambda *_: None)
        arguments.sft_config(plan, tmp_path, has_eval=True, extra={})
        return seen

    return ask


class Watched:
    """A plan that notes which of its fields are read."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan, self.read = plan, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self.plan, name)


def test_every_plan_field_is_translated_or_carried_out_elsewhere(make_plan: MakePlan, wanted: Any) -> None:
    read = set[str]()
    for fields in (
        {},
        {"lr_scheduler": "cosine_with_min_lr", "gradient_checkpointing": True, "packing": True},
        {"sharding": "fsdp", "num_gpus": 2, "accelerator": "cuda"},
        {"sharding": "zero3", "num_gpus": 2, "accelerator": "cuda"},
    ):
        plan = Watched(plan_from_dict(make_plan(**fields)))
        wanted(plan)
        read |= plan.read
    fields_of_a_plan = set(TrainingPlan.__struct_fields__)
    left = fields_of_a_plan - read - set(arguments.HANDLED_ELSEWHERE) - {"num_gpus"}
    assert not left, (
        f"nobody carries out {left}: make it an option of sft_config() in trainers/training/arguments.py, or name "
        "the file that does in HANDLED_ELSEWHERE there"
    )
    gone = set(arguments.HANDLED_ELSEWHERE) - fields_of_a_plan
    assert not gone, f"HANDLED_ELSEWHERE in trainers/training/arguments.py names {gone}, which no plan has"


def test_the_plan_arrives_in_the_real_config(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = plan_from_dict(
        make_plan(
            learning_rate=3e-4, gradient_accumulation_steps=3, warmup_steps=5, packing=True, max_seq_len=64,
            lr_scheduler="cosine_with_min_lr", min_lr_ratio=0.1, gradient_checkpointing=True, seed=7,
        )
    )  # fmt: skip
    args = arguments.sft_config(plan, tmp_path, has_eval=False, extra={})
    assert args.learning_rate == 3e-4
    assert args.gradient_accumulation_steps == 3
    assert args.warmup_steps == 5
    assert args.packing
    assert not args.eval_packing
    assert args.max_length == 64
    assert args.padding_free
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.1}
    assert args.activation_checkpointing
    assert args.seed == args.data_seed == 7
    assert args.use_cpu
    assert not args.bf16
    assert not args.logging_nan_inf_filter


@pytest.mark.parametrize(("max_steps", "eval_steps", "strategy"), [(8, 8, "steps"), (8, 9, "no"), (None, 9, "steps")])
def test_an_evaluation_after_the_last_step_is_none(
    make_plan: MakePlan, wanted: Any, max_steps: int | None, eval_steps: int, strategy: str
) -> None:
    plan = msgspec.structs.replace(plan_from_dict(make_plan()), max_steps=max_steps, eval_steps=eval_steps)
    assert wanted(plan)["eval_strategy"] == strategy


def test_a_renamed_option_is_a_clear_error() -> None:
    @dataclasses.dataclass
    class Options:
        learning_rate: float = 0.0

    Options.__module__ = "trl.somewhere"
    assert arguments.by_signature(Options, {"learning_rate": 1.0}) == Options(1.0)
    with pytest.raises(EnvironmentLacking) as lacking:
        arguments.by_signature(Options, {"learning_rate": 1.0, "max_len": 5})
    assert "no option max_len" in lacking.value.what
    assert "pip install 'trl<2,>=" in lacking.value.fix


@pytest.mark.parametrize(
    ("fields", "bf16", "fp16"),
    [
        ({"method": "full", "weights_dtype": "bf16", "compute_dtype": "bf16"}, False, False),
        ({"method": "full", "weights_dtype": "fp32", "compute_dtype": "bf16"}, True, False),
        ({"method": "lora", "weights_dtype": "bf16", "compute_dtype": "bf16"}, True, False),
        ({"method": "lora", "weights_dtype": "fp16", "compute_dtype": "fp16"}, False, True),
        ({"method": "lora"}, False, False),
    ],
)
def test_autocast_only_where_two_dtypes_meet(
    make_plan: MakePlan, wanted: Any, fields: dict[str, Any], bf16: bool, fp16: bool
) -> None:
    asked = wanted(plan_from_dict(make_plan(**fields)))
    assert (asked["bf16"], asked["fp16"]) == (bf16, fp16)


def test_fsdp_checkpoints_activations_itself(make_plan: MakePlan, wanted: Any) -> None:
    plan = make_plan("full", sharding="fsdp", num_gpus=2, gradient_checkpointing=True, cpu_offload=True)
    asked = wanted(plan_from_dict(plan))
    assert asked["fsdp"] is True
    assert not asked["activation_checkpointing"]
    assert asked["fsdp_config"]["activation_checkpointing"]
    assert asked["fsdp_config"]["cpu_offload"]
    assert asked["fsdp_config"]["version"] == 2


def test_zero_stages_and_offload(make_plan: MakePlan, wanted: Any) -> None:
    plan = make_plan("full", sharding="zero3", num_gpus=2, cpu_offload=True)
    zero = wanted(plan_from_dict(plan))["deepspeed"]["zero_optimization"]
    assert (zero["stage"], zero["offload_param"]["device"]) == (3, "cpu")
    zero = wanted(plan_from_dict(make_plan("full", sharding="zero2", num_gpus=2)))["deepspeed"]["zero_optimization"]
    assert zero["stage"] == 2
    assert "offload_param" not in zero


def test_flash_attention_needs_no_padding_and_packing_no_second_cut(make_plan: MakePlan, wanted: Any) -> None:
    assert wanted(plan_from_dict(make_plan(attention="flash2")))["padding_free"]
    assert not wanted(plan_from_dict(make_plan("prefix", attention="flash2")))["padding_free"]
    assert not wanted(plan_from_dict(make_plan()))["padding_free"]
    packed = wanted(plan_from_dict(make_plan(packing=True)))
    assert (packed["padding_free"], packed["max_length"]) == (True, 128)


def test_a_chunked_loss_is_left_to_the_name_that_each_trl_has_for_it(make_plan: MakePlan, wanted: Any) -> None:
    assert "loss_type" not in wanted(plan_from_dict(make_plan(loss_kernel="chunked")))
    assert wanted(plan_from_dict(make_plan(loss_kernel="full")))["loss_type"] == "nll"


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"attention": "flash2"}, EnvironmentLacking, "pip install flash-attn, or set attention = 'sdpa'"),
        ({"loss_kernel": "liger"}, EnvironmentLacking, "pip install liger-kernel"),
        ({"sharding": "zero2", "num_gpus": 2}, EnvironmentLacking, "pip install deepspeed"),
        ({"report_to": ["mlflow"]}, EnvironmentLacking, "pip install mlflow, or set report_to = []"),
        ({"activation_offload": True}, PlanRefused, "set activation_offload = false"),
    ],
)
def test_what_is_not_there_is_said_with_the_way_out(
    make_plan: MakePlan, tmp_path: Path, fields: dict[str, Any], error: type, said: str
) -> None:
    import importlib.util

    packages = {
        "attention": "flash_attn",
        "loss_kernel": "liger_kernel",
        "sharding": "deepspeed",
        "report_to": "mlflow",
    }
    package = packages.get(next(iter(fields)))
    if package and importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed here")
    with pytest.raises(error) as refused:
        arguments.sft_config(plan_from_dict(make_plan(**fields)), tmp_path, has_eval=False, extra={})
    assert said in refused.value.fix
