"""TrainingPlan: the contract between deciding and doing.

The advisor fills one in, a trainer backend carries it out, an exporter translates it. It is data only: nothing
here imports torch, nothing here decides. Every value that a rule chose is listed in `set_by` with that rule's id.

    plan = load_plan(Path("plan.toml"))
    save_plan(plan, Path("plan.toml"))
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from trainers.accelerators import Accelerator
from trainers.foreign.files import PLAN_BYTES, read_small_file
from trainers.language import later, tr
from trainers.method import METHODS, Method, quantized_methods
from trainers.paths import absolute
from trainers.plan_fields import OURS, about
from trainers.plan_parts import (
    Artifact,
    Attention,
    DataFile,
    DatasetFormat,
    DatasetRef,
    DeliveredWeights,
    Delivery,
    DeviceId,
    Dtype,
    Engine,
    Fraction,
    LeaveOut,
    LoraInit,
    LossKernel,
    LossOn,
    MadeFor,
    ModelRef,
    NonNegativeInt,
    Optimizer,
    PositiveFloat,
    PositiveInt,
    Quantization,
    Scheduler,
    ServedFormat,
    Sharding,
)
from trainers.writing import write_atomically

# Whoever deals with plans imports from here; the parts are a file of their own only to be read apart.
__all__ = [
    "PLAN_SCHEMA", "Artifact", "Attention", "DataFile", "DatasetFormat", "DatasetRef", "DeliveredWeights", "Delivery",
    "DeviceId", "Dtype", "Engine", "Fraction", "LeaveOut", "LoraInit", "LossKernel", "LossOn", "MadeFor", "ModelRef",
    "NonNegativeInt", "Optimizer", "PlanError", "PositiveFloat", "PositiveInt", "Quantization", "Scheduler",
    "ServedFormat", "Sharding", "TrainingPlan", "load_plan", "plan_from_dict", "plan_problems", "plan_to_dict",
    "save_plan",
]  # fmt: skip

PLAN_SCHEMA = "sft-advisor/plan/v1"


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Everything a trainer needs to know, and nothing it may decide for itself.

    Batch arithmetic: global_batch_size = micro_batch_size x gradient_accumulation_steps x num_gpus.
    A field that the method does not use is None (`lora_rank` in a full fine-tuning). What reports, flags and a resume
    have to know of a field, it says itself (trainers.plan_fields).
    """

    schema: Annotated[Literal["sft-advisor/plan/v1"], about(None, flag=False, resume="free", export=OURS)] = (
        "sft-advisor/plan/v1"
    )
    """Name and version of this document."""
    model: Annotated[ModelRef, about(None, flag=False)]
    """The base model that is trained."""
    dataset: Annotated[DatasetRef | None, about(None, flag=False)] = None
    """The examples; None for advice that was given without a dataset."""
    output_dir: Annotated[str, about(None, flag=False, resume="free")] = "runs"
    """Folder under which each run gets a folder of its own."""

    # method
    method: Annotated[Method, about("method")]
    """full (every weight), lora, qlora (LoRA over 4-bit weights), prefix (virtual tokens) or adapter (bottleneck
    layers)."""
    quantization: Annotated[Quantization, about("method", quiet="default")] = "none"
    """How the frozen base is held: none, or nf4 (4 bits a weight). nf4: a quarter of the memory, 5 to 15 % slower
    steps, a small loss of quality."""
    compute_dtype: Annotated[Dtype, about("method")] = "bf16"
    """dtype of matrix products (autocast, or the dtype of the weights)."""
    weights_dtype: Annotated[Dtype, about("method")] = "bf16"
    """dtype in which unquantised base weights are held; fp32 in a full run means fp32 master weights."""

    # LoRA and QLoRA
    lora_rank: Annotated[PositiveInt | None, about("method", unit="")] = None
    """Width of the two small matrices beside each adapted layer. More: room for more new knowledge, and more memory.
    Less: a smaller file, enough for style and format."""
    lora_alpha: Annotated[PositiveInt | None, about("method", unit="")] = None
    """The adapter's output is scaled by lora_alpha / lora_rank. More: larger updates, as with a higher learning
    rate. Less: smaller ones."""
    lora_dropout: Annotated[Fraction | None, about("method", unit="share")] = None
    """Share of the adapter's input that is switched off at random while it trains. More: less overfitting on few
    examples, slower learning. Less: 0 is right for all but small datasets."""
    lora_targets: Annotated[tuple[str, ...] | None, about("method")] = None
    """Module name suffixes, or ("all-linear",): every linear of the blocks, never the head."""
    lora_expert_targets: Annotated[tuple[str, ...], about("method", quiet="off")] = ()
    """3-D expert parameters of a mixture-of-experts model (peft `target_parameters`)."""
    lora_expert_rank: Annotated[PositiveInt | None, about("method", unit="", quiet="default")] = None
    """Rank of the adapters on lora_expert_targets, at the same lora_alpha (peft `rank_pattern`). More: room for more
    in each expert, and memory times their number. Less: enough where a token meets many experts. None: lora_rank."""
    use_rslora: Annotated[bool, about("method", quiet="off")] = False
    """Scale by the square root of the rank instead of the rank, which keeps high ranks learning."""
    use_dora: Annotated[bool, about("method", quiet="off")] = False
    """DoRA: train length and direction of the weights apart. On: a little better at low ranks, slower steps, more
    memory."""
    lora_init: Annotated[LoraInit, about("method", quiet="default")] = "default"
    """How the adapter starts: default (as if it were not there), pissa (from the main directions of the weights) or
    loftq (making up for 4-bit rounding)."""
    loraplus_lr_ratio: Annotated[PositiveFloat | None, about("method", unit="")] = None
    """LoRA+: the second matrix of each pair learns this many times faster. None: both alike."""
    modules_to_save: Annotated[tuple[str, ...], about("method", quiet="off")] = ()
    """Modules that are trained whole beside the adapter, for example the embedding of new words. More: costs their
    weights, gradients and states."""
    trainable_token_indices: Annotated[
        tuple[int, ...], about("method", quiet="off", export="no single trainable tokens")
    ] = ()
    """Rows of the embedding that train beside the adapter: those of new tokens, by id."""
    start_adapter: Annotated[str | None, about("method", quiet="default", export="no going on from an adapter")] = (
        None
    )
    """Folder of a LoRA adapter that this run goes on from, such as RUN/result. None: a new adapter, which at first
    changes nothing."""

    # prefix tuning and bottleneck adapters
    num_virtual_tokens: Annotated[PositiveInt | None, about("method", unit="tokens", export="no prefix tuning")] = (
        None
    )
    """Prefix tuning: learned positions before every input. More: more room to learn, less of the context left."""
    adapter_bottleneck: Annotated[
        PositiveInt | None, about("method", unit="features", export="no bottleneck adapters")
    ] = None
    """Bottleneck adapters: width of the small layer in each block. More: more room to learn, slower answers."""

    # optimisation
    optimizer: Annotated[Optimizer, about("optimiser")] = "adamw_torch_fused"
    """What turns gradients into steps; the 8-bit ones keep their states in a quarter of the memory, the paged ones
    may move them to RAM."""
    optimizer_in_backward: Annotated[
        bool, about("optimiser", quiet="off", export="no optimizer step in the backward pass")
    ] = False
    """Step each weight as soon as its gradient is there: gradients take no memory, and nothing can be accumulated."""
    learning_rate: Annotated[PositiveFloat, about("optimiser", unit="")] = 2e-4
    """Size of one optimizer step. More: learns faster until the loss jumps or diverges. Less: safer, needs more
    steps; a third of the best rate costs little, three times the best may cost the run."""
    lr_scheduler: Annotated[Scheduler, about("optimiser")] = "cosine"
    """How the learning rate falls from its highest value to the end of the run."""
    min_lr_ratio: Annotated[Fraction, about("optimiser", unit="share", quiet="off")] = 0.0
    """Where the falling learning rate ends, as a share of its highest value."""
    warmup_steps: Annotated[NonNegativeInt, about("optimiser", unit="steps")] = 0
    """Optimizer steps in which the learning rate rises from 0. More: a steadier start. Less: more of the run at the
    full rate."""
    weight_decay: Annotated[float, Meta(ge=0), about("optimiser", unit="")] = 0.0
    """Pull of each step towards zero. More: less overfitting. Less: 0 is usual for adapters."""
    max_grad_norm: Annotated[PositiveFloat, about("optimiser", unit="")] = 1.0
    """Longer gradients are cut to this length, so that one odd batch cannot ruin the weights."""
    neftune_noise_alpha: Annotated[PositiveFloat | None, about("optimiser", unit="")] = None
    """NEFTune: noise on the embeddings while training. More: answers less like the examples' wording. None: off."""

    # batch and length
    micro_batch_size: Annotated[PositiveInt, about("batch", unit="rows", resume="free")] = 1
    """Rows in one forward pass of one GPU. More: faster, until memory is full. Less: less memory for activations;
    the result is the same."""
    gradient_accumulation_steps: Annotated[PositiveInt, about("batch", unit="micro-batches", resume="free")] = 1
    """Forward and backward passes of one optimizer step. More: a larger batch in the same memory, and fewer steps."""
    eval_micro_batch_size: Annotated[PositiveInt, about("batch", unit="rows", resume="free")] = 1
    """Rows in one forward pass of the evaluation."""
    max_seq_len: Annotated[int, Meta(ge=8), about("batch", unit="tokens")] = 2048
    """Longest row in tokens; longer conversations are cut, longer texts are split. More: more memory for
    activations. Less: long rows lose their end."""
    packing: Annotated[bool, about("batch")] = False
    """Put several short rows into one of max_seq_len, kept apart by the attention: no padding, so it is faster."""
    length_grouping: Annotated[bool, about("batch", quiet="off")] = False
    """Batch rows of similar length, so that less is padding."""
    loss_on: Annotated[LossOn, about("batch")] = "assistant"
    """What is learnt: assistant (every answer), completion (the last one) or all (every token, as for raw text)."""
    leave_out: Annotated[
        tuple[LeaveOut, ...], about("batch", quiet="default", export="parts of conversations cannot be left out")
    ] = ()
    """What the data holds, the chat template cannot show, and the run is to do without."""
    reads_images: Annotated[bool, about("batch", quiet="off", export="pictures are not handed on")] = False
    """Train on the pictures of the data: the model's tower stays loaded and frozen, its tokens stand among the words.
    Off: pictures are left out."""
    max_pixels: Annotated[
        PositiveInt | None, about("batch", unit="pixels", quiet="default", export="pictures are not handed on")
    ] = None
    """Most pixels of a picture; larger ones are scaled down, as the model's processor does. More: finer details, more
    tokens and memory. None: as the processor is set."""
    num_epochs: Annotated[PositiveFloat, about("batch", unit="epochs")] = 1.0
    """Passes over the data. More: in the end it learns them by heart. Less: may stop before the task is learnt."""
    max_steps: Annotated[PositiveInt | None, about("batch", unit="steps")] = None
    """Takes precedence over num_epochs when given."""

    # memory and kernels
    gradient_checkpointing: Annotated[bool, about("memory", resume="free")] = True
    """Recompute activations in the backward pass instead of keeping them. On: much less memory, about a third
    slower. Off: the reverse."""
    activation_offload: Annotated[bool, about("memory", resume="free", quiet="off")] = False
    """Keep the activations between the passes in RAM instead of on the GPU. On: less GPU memory, slower."""
    attention: Annotated[Attention, about("memory", resume="free")] = "sdpa"
    """The kernel of the attention: eager (plain, most memory), sdpa (torch's own) or flash2 (flash-attention)."""
    loss_kernel: Annotated[LossKernel, about("memory", resume="free")] = "chunked"
    """How the loss over the vocabulary is computed: full (all logits at once), chunked (in pieces) or liger (fused).
    The result is the same."""

    # devices
    accelerator: Annotated[Accelerator, about("devices", resume="free")] = "cuda"
    """Kind of device that computes."""
    num_gpus: Annotated[PositiveInt, about("devices", unit="processes", resume="free", export=OURS)] = 1
    """Processes over all nodes; 1 on a CPU."""
    num_nodes: Annotated[PositiveInt, about("devices", unit="nodes", resume="free", quiet="default", export=OURS)] = 1
    """Machines that train together."""
    device_uuids: Annotated[tuple[DeviceId, ...], about(None, flag=False, resume="free", export=OURS)] = ()
    """Exported as CUDA_VISIBLE_DEVICES; empty: whatever the process sees."""
    sharding: Annotated[Sharding, about("devices", resume="free")] = "none"
    """How several GPUs share the work: none, ddp (a copy each), fsdp or zero3 (weights, gradients and states split),
    zero2 (weights whole, the rest split)."""
    cpu_offload: Annotated[bool, about("devices", resume="free", quiet="off")] = False
    """Keep the split weights and states in RAM. On: much less GPU memory, several times slower."""

    # cadence
    save_steps: Annotated[PositiveInt, about("cadence", unit="steps", resume="free")] = 200
    """Optimizer steps between two checkpoints. More: less disk traffic. Less: less is lost when a run is stopped."""
    save_total_limit: Annotated[int, Meta(ge=2), about("cadence", unit="checkpoints", resume="free")] = 2
    """Checkpoints that are kept; older ones are deleted."""
    eval_steps: Annotated[PositiveInt, about("cadence", unit="steps", resume="free")] = 200
    """Optimizer steps between two evaluations. More: a faster run. Less: overfitting is seen sooner."""
    load_best_model_at_end: Annotated[bool, about("cadence", resume="free")] = True
    """Deliver the step with the lowest evaluation loss. Off: the last one."""
    early_stopping_patience: Annotated[PositiveInt | None, about("cadence", unit="evaluations", resume="free")] = None
    """Evaluations in a row without a lower loss that end the run. More: waits for a later dip. Less: saves time."""
    logging_steps: Annotated[PositiveInt, about("cadence", unit="steps", resume="free", quiet="default")] = 1
    """Optimizer steps between two lines of the log."""
    seed: Annotated[NonNegativeInt, about("cadence", unit="")] = 42
    """Start of the random numbers: the same seed, plan and machine give the same run."""
    dataloader_workers: Annotated[
        NonNegativeInt, about("cadence", unit="processes", resume="free", quiet="default")
    ] = 0
    """Processes that prepare batches; 0: the training process does it itself."""
    report_to: Annotated[tuple[str, ...], about(None, resume="free")] = ()
    """Trackers that the run reports to, such as wandb; (): none."""

    delivery: Annotated[Delivery, about(None, flag=False, resume="free", export=OURS)] = Delivery()
    """What leaves the run, and how it is served."""
    predicted_peak_bytes: Annotated[
        NonNegativeInt | None, about(None, unit="bytes", flag=False, resume="free", export=OURS)
    ] = None
    """Upper end of the predicted device use of one GPU (resident memory on a CPU)."""
    made_for: Annotated[MadeFor | None, about(None, flag=False, resume="free", export=OURS)] = None
    """None for a plan that was written by hand: then it is not held against the machine it is launched on."""
    set_by: Annotated[dict[str, str], about(None, flag=False, resume="free", export=OURS)] = {}
    """Field name -> id of the rule, question or search that chose its value; `sft-advisor explain ID` says more."""

    @property
    def global_batch_size(self) -> int:
        """Examples (or packed rows) per optimizer step over all devices."""
        return self.micro_batch_size * self.gradient_accumulation_steps * self.num_gpus

    @property
    def in_one_piece(self) -> bool:
        """True when each process holds the whole model, so that one alone can look at it."""
        return self.sharding not in ("fsdp", "zero3")

    @property
    def checkpoints_kept(self) -> int:
        """Checkpoints on disk between two saves, the best one among them."""
        return self.save_total_limit + self.load_best_model_at_end

    @property
    def trains_adapter(self) -> bool:
        """True when the base stays frozen and only added parameters train."""
        return self.method != "full"

    @property
    def needs_bitsandbytes(self) -> bool:
        """True when it packs the base in 4 bits, or its optimizer states in 8 bits or in pages."""
        return self.quantization != "none" or "8bit" in self.optimizer or self.optimizer.startswith("paged")

    def on_one_device(self) -> TrainingPlan:
        """The plan as one process alone carries it out: to look at a result that many have trained."""
        return msgspec.structs.replace(self, sharding="none", num_gpus=1, num_nodes=1, cpu_offload=False)

    def anchored(self) -> TrainingPlan:
        """The plan with absolute local paths, so that it means the same from whatever folder it is carried out."""
        dataset = self.dataset and msgspec.structs.replace(
            self.dataset,
            source=absolute(self.dataset.source),
            eval_source=absolute(self.dataset.eval_source) if self.dataset.eval_source else None,
        )
        model = msgspec.structs.replace(self.model, name=absolute(self.model.name))
        adapter = absolute(self.start_adapter) if self.start_adapter else None
        return msgspec.structs.replace(self, model=model, dataset=dataset, start_adapter=adapter)


class PlanError(ValueError):
    """A plan file that cannot be used; the message says where and what to do."""


def plan_problems(plan: TrainingPlan) -> list[str]:
    """Contradictions inside one plan, each as a sentence; empty when it is consistent."""
    method = METHODS[plan.method]
    is_unquantized, one_process = plan.quantization == "none", plan.num_gpus == 1 and not plan.cpu_offload
    said = msgspec.structs.asdict(plan) | {"title": tr(method.title), "needed": method.quantization}
    said["fitting"] = " / ".join(quantized_methods())
    wrong = {
        later("method {method} needs quantization = '{needed}'"): is_unquantized and method.quantization != "none",
        later("method {method} cannot train on quantization = '{quantization}'; use {fitting}"): (
            not is_unquantized and plan.quantization != method.quantization
        ),
        later("method {method} cannot go on from start_adapter, which is a LoRA adapter"): (
            plan.start_adapter and not method.is_lora
        ),
        later("{title} fails with gradient_checkpointing; set it to false"): (
            plan.gradient_checkpointing and not method.recomputes
        ),
        later("num_gpus > 1 needs sharding (ddp, fsdp, zero2 or zero3)"): plan.sharding == "none"
        and plan.num_gpus > 1,
        later("sharding = '{sharding}' needs more than one process"): plan.sharding != "none" and one_process,
        later("num_gpus = {num_gpus} cannot be spread evenly over {num_nodes} nodes"): plan.num_gpus % plan.num_nodes,
        later("reads_images needs packing = false: the pictures of packed rows could not be told apart"): (
            plan.reads_images and plan.packing
        ),
        later("max_pixels is for pictures; it needs reads_images = true"): plan.max_pixels and not plan.reads_images,
        later("optimizer_in_backward needs gradient_accumulation_steps = 1"): (
            plan.optimizer_in_backward and plan.gradient_accumulation_steps > 1
        ),
    }
    needs = [tr("method {method} needs {name}", **said, name=name) for name in method.needs if not said[name]]
    return needs + [tr(sentence, **said) for sentence, is_wrong in wrong.items() if is_wrong]


def plan_from_dict(raw: dict[str, Any]) -> TrainingPlan:
    """A checked plan from plain data. Raises PlanError naming the field, the reason and the nearest fix."""
    schema = raw.get("schema", PLAN_SCHEMA)
    if schema != PLAN_SCHEMA:
        problem = tr("it states the schema {stated}, and this version reads {own}", stated=schema, own=PLAN_SCHEMA)
        raise PlanError(problem)
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
        text = read_small_file(path, PLAN_BYTES, pipes=True)
    except OSError as error:
        raise PlanError(tr("cannot read {path}: {strerror}", path=path, strerror=error.strerror)) from error
    try:
        decode = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
        raw = decode(text)
    except RecursionError as error:
        raise PlanError(tr("{path} is nested too deeply", path=path)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise PlanError(
            tr(
                "{path} is not valid {form}: {error}",
                path=path,
                form="JSON" if path.suffix == ".json" else "TOML",
                error=error,
            )
        ) from error
    if not isinstance(raw, dict):
        raise PlanError(tr("{path} does not hold a table of plan fields", path=path))
    return plan_from_dict(raw)


def plan_to_dict(plan: TrainingPlan) -> dict[str, Any]:
    """Plain data for TOML or JSON; None fields are left out (TOML has no null)."""
    table: dict[str, Any] = _without_none(msgspec.to_builtins(plan))
    return table


def save_plan(plan: TrainingPlan, path: Path) -> None:
    """Write the plan as TOML: to a temporary name in the same folder first, then renamed."""
    import tomli_w

    write_atomically(path, tomli_w.dumps(plan_to_dict(plan)).encode())


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
