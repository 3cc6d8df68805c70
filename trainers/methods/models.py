"""Loading: the tokenizer and the base model of a plan, in the dtype and on the device where it trains."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.accelerators import ACCELERATORS
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.language import tr
from trainers.methods.processor import template_of_processor
from trainers.plan import Attention, Dtype, TrainingPlan

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ATTENTION: dict[Attention, str] = {"eager": "eager", "sdpa": "sdpa", "flash2": "flash_attention_2"}


def torch_dtype(name: Dtype) -> torch.dtype:
    """The torch dtype of one of the plan's three names."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]


def products_as_planned(model: Any, plan: TrainingPlan) -> AbstractContextManager[Any]:
    """While entered, products are computed in `compute_dtype`, as in training, when weights have another dtype."""
    import torch

    dtype = torch_dtype(plan.compute_dtype)
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, dtype=dtype)


def load_tokenizer(plan: TrainingPlan) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the model. Raises PlanRefused or EnvironmentLacking when there is none."""
    from transformers import AutoTokenizer

    with _Explained(plan, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(plan.model.name, **_source(plan))
        if not tokenizer.chat_template:
            tokenizer.chat_template = template_of_processor(plan)
        return tokenizer


def load_model(plan: TrainingPlan, **more: Any) -> PreTrainedModel:
    """The base model in `weights_dtype`, in training mode, on this process's device.

    Under FSDP and ZeRO it stays where the launcher places it. `more` goes to `from_pretrained` (quantization_config).
    """
    from transformers import AutoModelForCausalLM, GgufConfig, Mxfp4Config

    from trainers.methods.towers import auto_class, show_text_model

    options = {"dtype": torch_dtype(plan.weights_dtype), "attn_implementation": ATTENTION[plan.attention], **more}
    if not plan.model.gguf_file and is_mxfp4(load_config(plan)):
        options.setdefault("quantization_config", Mxfp4Config(dequantize=True))
    if plan.model.gguf_file:
        # Without this the loader keeps a quantization_config, and the trained model cannot be saved.
        options["quantization_config"] = GgufConfig(dequantize=True)
    if plan.sharding in ("none", "ddp"):
        options["device_map"] = {"": device_name(plan)}
    with _Explained(plan, "model"):
        kind = AutoModelForCausalLM if plan.model.gguf_file else auto_class(load_config(plan))
        model = kind.from_pretrained(plan.model.name, **_source(plan), **options)
    show_text_model(model)
    model.config.use_cache = False
    return model.train()


def load_config(plan: TrainingPlan) -> PreTrainedConfig:
    """The configuration of the plan's model. Raises PlanRefused or EnvironmentLacking when there is none."""
    from transformers import AutoConfig

    with _Explained(plan, "configuration"):
        return AutoConfig.from_pretrained(plan.model.name, **_source(plan))


def is_mxfp4(config: PreTrainedConfig) -> bool:
    """Whether the checkpoint's experts are stored as MXFP4 (gpt-oss), which can be expanded and cannot be trained."""
    stated = getattr(config, "quantization_config", None)
    return isinstance(stated, dict) and stated.get("quant_method") == "mxfp4"


def end_token_ids(plan: TrainingPlan) -> int | list[int] | None:
    """Ids that stop generation, from the model's generation config, else its config; None when neither says."""
    from transformers import GenerationConfig

    try:
        revision = plan.model.revision or "main"
        return GenerationConfig.from_pretrained(plan.model.name, revision=revision).eos_token_id
    except (OSError, ValueError):
        pass
    config = load_config(plan)
    stated = getattr(config, "eos_token_id", None)
    return stated if stated is not None else getattr(config.get_text_config(), "eos_token_id", None)


def model_bytes(model: Any) -> int:
    """Bytes that the parameters of a model take where they are."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def room_for(model: Any, times: float = 1.5) -> bool:
    """Whether a second copy of `model` fits beside it, with half of it to spare."""
    import psutil
    import torch

    device = next(model.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free > times * model_bytes(model)


def device_name(plan: TrainingPlan) -> str:
    """Where this process trains: `cpu`, or its own card. Never `auto`, which breaks under any launcher."""
    if plan.accelerator == "cpu":
        return "cpu"
    kind = ACCELERATORS[plan.accelerator].torch_device
    return kind if kind == "mps" else f"{kind}:{os.environ.get('LOCAL_RANK', '0')}"


def _source(plan: TrainingPlan) -> dict[str, Any]:
    source: dict[str, Any] = {"revision": plan.model.revision} if plan.model.revision else {}
    return source | ({"gguf_file": plan.model.gguf_file} if plan.model.gguf_file else {})


class _Explained:
    """Turns what `from_pretrained` raises for a wrong name, file or network into an error with a remedy."""

    def __init__(self, plan: TrainingPlan, what: str) -> None:
        self.name, self.what = plan.model.name, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, ImportError):
            raise EnvironmentLacking(
                tr("cannot load the {what} of {name}", what=self.what, name=self.name),
                why=_first_line(error),
                fix=tr("pip install 'sft-advisor[train]', or the package named above"),
            ) from error
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):
            raise PlanRefused(
                tr("{name} brings program code of its own", name=self.name),
                why=tr("transformers knows no class for this model and would import the code; it is never run here"),
                fix=tr(
                    "choose a model whose family transformers knows, or save this one in the form of one it knows"
                ),
            ) from error
        if isinstance(error, (OSError, ValueError, KeyError)):
            local = Path(self.name).exists() or self.name.startswith((".", "/", "~"))
            raise PlanRefused(
                tr("cannot load the {what} of {name}", what=self.what, name=self.name),
                why=_first_line(error),
                fix=(
                    tr("check that the folder holds config.json, weights and tokenizer files")
                    if local
                    else tr("check the name and the network, or download the model and give its folder")
                ),
            ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
