"""Prefix tuning: learnt keys and values in front of every layer's own (Li & Liang 2021). Nothing to merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import NotMergeable, PlanRefused
from trainers.language import tr
from trainers.methods import peft_shared
from trainers.methods.models import load_model, load_tokenizer
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

WORDS = "You are a helpful assistant who reads each question with care and gives the answer that is asked for. "
"""What the prefix starts from; repeated or cut to its length."""

load = load_model
as_base = peft_shared.as_base
save = peft_shared.save


def arguments(_plan: TrainingPlan) -> dict[str, Any]:
    """No balancing loss of routers: its attention mask would count the prefix, which the routers never see."""
    return {"router_aux_loss_coef": 0.0}


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained by prefix tuning here."""
    reasons = []
    if plan.packing:
        reasons.append("prefix tuning cannot pack: the prefix would stand before the first packed example only")
    if plan.sharding in ("fsdp", "zero3"):
        reasons.append("prefix tuning trains a few vectors; sharding them is not supported, use ddp")
    return reasons


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """The model with `num_virtual_tokens` learnt keys and values per layer, base frozen.

    Raises PlanRefused for a model with layers that keep no keys and values.
    """
    from peft import PrefixTuningConfig

    _require_keys_in_every_layer(model.config.get_text_config())
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=plan.num_virtual_tokens, init_weights="zero"
    )
    words = keys_and_values(model, plan)
    adapted = peft_shared.wrap(model, config, plan)
    prefix = adapted.prompt_encoder["default"].embedding.weight
    if words is not None and words.shape == prefix.shape:
        prefix.data = words.to(prefix)
    return adapted


def _require_keys_in_every_layer(config: Any) -> None:
    kinds = set(getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None) or ())
    others = sorted(kind for kind in kinds if "attention" not in kind or "linear" in kind)
    others += ["latent_attention"] if getattr(config, "kv_lora_rank", None) else []
    if others:
        raise PlanRefused(
            tr("prefix tuning does not work on this model, which has layers of {kinds}", kinds=", ".join(others)),
            why=tr("peft's prefix is made of keys and values of one shape, which such layers do not keep"),
            fix=tr("use lora"),
        )


def keys_and_values(model: PreTrainedModel, plan: TrainingPlan) -> torch.Tensor | None:
    """What every layer holds of a few real words, in peft's layout: the better start (Li & Liang 2021, section 7.4).

    On conversations where SmolLM2-135M has a loss of 4.7 random vectors begin at 10.3, zeros at 5.0, words at 4.0.
    None for models whose layers do not cache alike; the prefix then starts from zero.
    """
    import torch

    ids = load_tokenizer(plan)(WORDS, add_special_tokens=False)["input_ids"]
    count = plan.num_virtual_tokens or 1
    ids = (ids * (count // max(1, len(ids)) + 1))[:count]
    with torch.no_grad():
        row = torch.tensor([ids], device=next(model.parameters()).device)
        cache = model(input_ids=row, use_cache=True).past_key_values
    layers = getattr(cache, "layers", ())
    parts: list[Any] = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    if not parts or any(part is None or part.shape[-2] != count for part in parts):
        return None
    return torch.cat([part[0].transpose(0, 1).reshape(count, -1) for part in parts], dim=1)


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    """The prefix on a freshly loaded base."""
    return peft_shared.put_on(load_model(plan), folder, plan)


def merge(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Raises NotMergeable: a prefix changes what attention sees, not a weight."""
    raise NotMergeable(
        tr("the prefix in {folder} cannot be merged", folder=folder),
        why=tr("it adds keys and values to attention; no weight matrix holds them"),
        fix=tr("serve it with peft, or train LoRA when one plain model is wanted"),
    )
