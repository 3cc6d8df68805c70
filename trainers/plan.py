"""TrainingPlan: the contract between deciding and doing.

The advisor fills one in, a trainer backend carries it out, an exporter translates it. It is data only: nothing
here imports torch, nothing here decides. Every value that a rule chose is listed in `set_by` with that rule's id.

    plan = load_plan(Path("plan.toml"))
    save_plan(plan, Path("plan.toml"))
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PLAN_SCHEMA = "sft-advisor/plan/v1"

Method = Literal["full", "lora", "qlora", "prefix", "adapter"]
Quantization = Literal["none", "nf4"]
Dtype = Literal["bf16", "fp16", "fp32"]
Sharding = Literal["none", "ddp", "fsdp", "zero2", "zero3"]
LossKernel = Literal["full", "chunked", "liger"]
Attention = Literal["eager", "sdpa", "flash2"]
Optimizer = Literal[
    "adamw_torch_fused",
    "adamw_torch",
    "adamw_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "adafactor",
    "sgd",
    "lion_8bit",
]
Scheduler = Literal["linear", "cosine", "cosine_with_min_lr", "constant", "constant_with_warmup"]
Accelerator = Literal["cuda", "rocm", "xpu", "mps", "cpu"]
LossOn = Literal["assistant", "completion", "all"]
LoraInit = Literal["default", "pissa", "loftq"]
DatasetFormat = Literal["messages", "prompt_completion", "alpaca", "sharegpt", "text"]
Engine = Literal["vllm", "sglang", "llama_cpp", "ollama", "transformers", "other"]
DeliveredWeights = Literal["16bit", "fp8", "4bit", "gguf"]
Artifact = Literal["full_model", "merged_model", "adapter"]

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


class ModelRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which base model: what the user typed, and how transformers is to find it."""

    name: str
    """What the trainer passes to `from_pretrained`: a hub id, or a local folder."""
    revision: str | None = None
    gguf_file: str | None = None
    """File name inside `name` when the base model is a GGUF file."""
    num_params: NonNegativeInt | None = None
    max_position_embeddings: PositiveInt | None = None


class DatasetRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which examples: a file, a saved `datasets` folder or a hub id, with what was found in it."""

    source: str
    format: DatasetFormat | None = None
    """None: the trainer looks, as the advisor would."""
    split: str = "train"
    eval_source: str | None = None
    """A separate evaluation set; None means that `eval_fraction` of `source` is kept back."""
    eval_fraction: Fraction = 0.05
    num_examples: NonNegativeInt | None = None
    sha256: str | None = None
    """Digest of the file's bytes at planning time; a resume refuses another."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What leaves the run and how it is served."""

    artifact: Artifact = "adapter"
    weights: DeliveredWeights = "16bit"
    engine: Engine = "transformers"
    serve_command: str | None = None
    notes: tuple[str, ...] = ()


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Everything a trainer needs to know, and nothing it may decide for itself.

    Batch arithmetic: global_batch_size = micro_batch_size x gradient_accumulation_steps x num_gpus.
    A field that the method does not use is None (`lora_rank` in a full fine-tuning).
    """

    schema: Literal["sft-advisor/plan/v1"] = "sft-advisor/plan/v1"
    model: ModelRef
    dataset: DatasetRef | None = None
    output_dir: str = "runs"

    # method
    method: Method
    quantization: Quantization = "none"
    compute_dtype: Dtype = "bf16"
    """dtype of matrix products (autocast, or the dtype of the weights)."""
    weights_dtype: Dtype = "bf16"
    """dtype in which unquantised base weights are held; fp32 in a full run means fp32 master weights."""

    # LoRA and QLoRA
    lora_rank: PositiveInt | None = None
    lora_alpha: PositiveInt | None = None
    lora_dropout: Fraction | None = None
    lora_targets: tuple[str, ...] | None = None
    """Module name suffixes, or ("all-linear",): every linear of the blocks, never the head."""
    lora_expert_targets: tuple[str, ...] = ()
    """3-D expert parameters of a mixture-of-experts model (peft `target_parameters`)."""
    use_rslora: bool = False
    use_dora: bool = False
    lora_init: LoraInit = "default"
    loraplus_lr_ratio: PositiveFloat | None = None
    modules_to_save: tuple[str, ...] = ()
    trainable_token_indices: tuple[int, ...] = ()

    # prefix tuning and bottleneck adapters
    num_virtual_tokens: PositiveInt | None = None
    adapter_bottleneck: PositiveInt | None = None

    # optimisation
    optimizer: Optimizer = "adamw_torch_fused"
    optimizer_in_backward: bool = False
    learning_rate: PositiveFloat = 2e-4
    lr_scheduler: Scheduler = "cosine"
    min_lr_ratio: Fraction = 0.0
    warmup_steps: NonNegativeInt = 0
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    max_grad_norm: PositiveFloat = 1.0
    neftune_noise_alpha: PositiveFloat | None = None

    # batch and length
    micro_batch_size: PositiveInt = 1
    gradient_accumulation_steps: PositiveInt = 1
    eval_micro_batch_size: PositiveInt = 1
    max_seq_len: Annotated[int, Meta(ge=8)] = 2048
    packing: bool = False
    length_grouping: bool = False
    loss_on: LossOn = "assistant"
    num_epochs: PositiveFloat = 1.0
    max_steps: PositiveInt | None = None
    """Takes precedence over num_epochs when given."""

    # memory and kernels
    gradient_checkpointing: bool = True
    activation_offload: bool = False
    attention: Attention = "sdpa"
    loss_kernel: LossKernel = "chunked"

    # devices
    accelerator: Accelerator = "cuda"
    num_gpus: PositiveInt = 1
    """Processes over all nodes; 1 on a CPU."""
    num_nodes: PositiveInt = 1
    device_uuids: tuple[str, ...] = ()
    """Exported as CUDA_VISIBLE_DEVICES; empty: whatever the process sees."""
    sharding: Sharding = "none"
    cpu_offload: bool = False

    # cadence
    save_steps: PositiveInt = 200
    save_total_limit: Annotated[int, Meta(ge=2)] = 2
    eval_steps: PositiveInt = 200
    logging_steps: PositiveInt = 1
    seed: NonNegativeInt = 42
    dataloader_workers: NonNegativeInt = 0
    report_to: tuple[str, ...] = ()

    delivery: Delivery = Delivery()
    predicted_peak_bytes: NonNegativeInt | None = None
    """Upper end of the predicted device use of one GPU (resident memory on a CPU)."""
    set_by: dict[str, str] = {}
    """Field name -> id of the rule, question or search that chose its value."""

    @property
    def global_batch_size(self) -> int:
        """Examples (or packed rows) per optimizer step over all devices."""
        return self.micro_batch_size * self.gradient_accumulation_steps * self.num_gpus

    @property
    def in_one_piece(self) -> bool:
        """True when each process holds the whole model, so that one alone can look at it."""
        return self.sharding not in ("fsdp", "zero3")

    @property
    def trains_adapter(self) -> bool:
        """True when the base stays frozen and only added parameters train."""
        return self.method != "full"

    def on_one_device(self) -> TrainingPlan:
        """The plan as one process alone carries it out: to look at a result that many have trained."""
        return msgspec.structs.replace(self, sharding="none", num_gpus=1, num_nodes=1, cpu_offload=False)


class PlanError(ValueError):
    """A plan file that cannot be used; the message says where and what to do."""


def plan_problems(plan: TrainingPlan) -> list[str]:
    """Contradictions inside one plan, each as a sentence; empty when it is consistent."""
    problems = []
    if plan.method in ("lora", "qlora"):
        needed = ("lora_rank", "lora_alpha", "lora_targets")
        problems += [f"method {plan.method} needs {name}" for name in needed if not getattr(plan, name)]
    if plan.method == "qlora" and plan.quantization == "none":
        problems.append("method qlora needs quantization = 'nf4'")
    if plan.method != "qlora" and plan.quantization != "none":
        problems.append(f"method {plan.method} cannot train on quantization = '{plan.quantization}'; use qlora")
    if plan.method == "prefix" and not plan.num_virtual_tokens:
        problems.append("method prefix needs num_virtual_tokens")
    if plan.method == "prefix" and plan.gradient_checkpointing:
        problems.append("prefix tuning fails with gradient_checkpointing; set it to false")
    if plan.method == "adapter" and not plan.adapter_bottleneck:
        problems.append("method adapter needs adapter_bottleneck")
    if plan.sharding == "none" and plan.num_gpus > 1:
        problems.append("num_gpus > 1 needs sharding (ddp, fsdp, zero2 or zero3)")
    if plan.sharding != "none" and plan.num_gpus == 1 and not plan.cpu_offload:
        problems.append(f"sharding = '{plan.sharding}' needs more than one process")
    if plan.num_gpus % plan.num_nodes:
        problems.append(f"num_gpus = {plan.num_gpus} cannot be spread evenly over {plan.num_nodes} nodes")
    if plan.optimizer_in_backward and plan.gradient_accumulation_steps > 1:
        problems.append("optimizer_in_backward needs gradient_accumulation_steps = 1")
    return problems


def plan_from_dict(raw: dict[str, Any]) -> TrainingPlan:
    """A checked plan from plain data. Raises PlanError naming the field, the reason and the nearest fix."""
    try:
        plan = msgspec.convert(raw, TrainingPlan)
    except msgspec.ValidationError as error:
        raise PlanError(str(error)) from error
    problems = plan_problems(plan)
    if problems:
        raise PlanError("; ".join(problems))
    return plan


def load_plan(path: Path) -> TrainingPlan:
    """Read a plan from TOML (or JSON by ending). Raises PlanError for every way the file can be wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from error
    try:
        decode = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
        raw = decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise PlanError(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    if not isinstance(raw, dict):
        raise PlanError(f"{path} does not hold a table of plan fields")
    return plan_from_dict(raw)


def plan_to_dict(plan: TrainingPlan) -> dict[str, Any]:
    """Plain data for TOML or JSON; None fields are left out (TOML has no null)."""
    table: dict[str, Any] = _without_none(msgspec.to_builtins(plan))
    return table


def save_plan(plan: TrainingPlan, path: Path) -> None:
    """Write the plan as TOML: to a temporary name in the same folder first, then renamed."""
    import tomli_w

    write_atomically(path, tomli_w.dumps(plan_to_dict(plan)).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, so that a reader or a crash never meets half a file."""
    import tempfile  # costs an answer that writes nothing 4 ms

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
