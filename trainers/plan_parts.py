"""What a plan is made of: the values that its fields may have, and the records inside it. Data only, no torch."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
LossOn = Literal["assistant", "completion", "all"]
LeaveOut = Literal["reasoning", "tools", "words"]
"""Parts of conversations that a run may knowingly do without; words are those beside a call of a tool."""
LoraInit = Literal["default", "pissa", "loftq"]
DatasetFormat = str
"""Name of a layout of trainers/examples/layouts.py, for example "messages" or "text"."""
Engine = Literal["vllm", "sglang", "llama_cpp", "ollama", "transformers", "other"]
DeliveredWeights = Literal["16bit", "fp8", "4bit", "gguf"]
ServedFormat = Literal["none", "fp8", "Q4_K_M", "F16"]
Artifact = Literal["full_model", "merged_model", "adapter"]

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]

EVAL_FRACTION: Fraction = 0.05
"""Part of the examples kept back for evaluation where nothing else is asked for and no other set is named."""

DeviceId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9./:_-]*$", max_length=128)]
"""An index, or a name as NVML and ROCm print it: GPU-..., MIG-..., MIG-GPU-.../1/0."""


class ModelRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which base model: what the user typed, and how transformers is to find it."""

    name: str
    """What the trainer passes to `from_pretrained`: a hub id, or a local folder."""
    revision: str | None = None
    """Branch, tag or commit of the hub; None: its main branch."""
    gguf_file: str | None = None
    """File name inside `name` when the base model is a GGUF file."""
    num_params: NonNegativeInt | None = None
    """Parameters, tied ones once."""
    max_position_embeddings: PositiveInt | None = None
    """Longest sequence that it was built for, in tokens."""


class DataFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that was checked."""

    path: str
    """Relative to the dataset's folder."""
    sha256: str = ""
    """Digest of its bytes when it was checked."""


class DatasetRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which examples: a file, a saved `datasets` folder or a hub id, with what was found in it."""

    source: str
    """What `--dataset` named: a file, a folder or a hub id."""
    format: DatasetFormat | None = None
    """None: the trainer looks, as the advisor would."""
    columns: dict[str, str] = {}
    """Columns that the user named: {"prompt": "question", "completion": "answer"}; {}: as the layout says."""
    split: str = "train"
    """Which part of the dataset is trained on."""
    eval_source: str | None = None
    """A separate evaluation set; None means that `eval_fraction` of `source` is kept back."""
    eval_fraction: Fraction = EVAL_FRACTION
    """Share of the examples that is kept back for evaluation where no set is named."""
    train_fraction: Fraction | None = None
    """Share of the other examples that is trained on, as chosen by the seed; None: all of them."""
    files: tuple[DataFile, ...] = ()
    """The files that were checked; the trainer reads these and looks for no others. (): whatever `source` names."""
    eval_files: tuple[DataFile, ...] = ()
    """The same of the evaluation set, which lies beside the training files where `eval_source` is None."""
    num_examples: NonNegativeInt | None = None
    """Rows that were found, without the evaluation set."""
    sha256: str | None = None
    """Digest of the file's bytes at planning time; a resume refuses another."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What leaves the run and how it is served."""

    artifact: Artifact = "adapter"
    """The adapter, the base with the adapter merged into it, or the fully tuned model."""
    weights: DeliveredWeights = "16bit"
    """Number format of the delivered weights."""
    engine: Engine = "transformers"
    """The program that will serve it."""
    max_loras: PositiveInt = 1
    """Adapters over one base that share a batch."""
    max_cpu_loras: PositiveInt = 1
    """Adapters that are held at all; beyond `max_loras` they wait in host memory."""
    quantization: ServedFormat = "none"
    """What the engine, or the GGUF file, turns 16-bit weights into."""
    serve_command: str | None = None
    """What to paste, made from all of this by trainers.handover.serving; RUN is the run folder."""
    notes: tuple[str, ...] = ()
    """What should be known about serving it."""


class MadeFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine that a plan was made for, and what was predicted of it; None: not known."""

    gpu: str | None = None
    """As its driver prints it; None for a plan that trains on the CPU."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs of one node that the plan uses; 0 on a CPU."""
    gpu_bytes: PositiveInt | None = None
    """Total memory of one GPU."""
    ram_bytes: PositiveInt | None = None
    """Available on one node."""
    host_bytes: NonNegativeInt | None = None
    """Predicted peak of the host memory that all processes of one node need together."""
    low_hours: Annotated[float, Meta(ge=0)] | None = None
    """Lower end of the predicted duration."""
    high_hours: Annotated[float, Meta(ge=0)] | None = None
    """Upper end of the predicted duration."""
