"""LoRA: the base stays frozen, two small matrices are learnt beside each chosen linear layer (Hu et al. 2021).

Also rsLoRA (scale by the root of the rank), DoRA (direction and magnitude apart), PiSSA and LoftQ initialisation,
LoRA+ (a higher rate for B), expert tensors of a mixture of experts, single token embeddings and whole modules, as the
plan says.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import PlanRefused
from trainers.language import tr
from trainers.methods import peft_shared
from trainers.methods.models import load_model
from trainers.methods.towers import adapter_targets, is_router, towers
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

load = load_model
arguments = peft_shared.no_arguments
merge = peft_shared.merge

START = "sft_start"
"""Attribute of a PiSSA model: the folder with its adapter as it was before the first step."""
GONE_ON = "sft_gone_on"
"""Attribute of a model whose adapter was trained before: it begins as what that adapter made of the base."""


def refusals(plan: TrainingPlan) -> list[str]:
    """Why this plan cannot be trained as LoRA here."""
    reasons = []
    if "lm_head" in (plan.lora_targets or ()):
        reasons.append("lm_head cannot be a LoRA target; put it into modules_to_save to train it whole")
    if plan.lora_init == "loftq" and plan.quantization == "none":
        reasons.append("lora_init = 'loftq' makes up for a quantised base; use it with method qlora")
    if plan.lora_init == "pissa" and plan.lora_expert_targets:
        reasons.append("lora_init = 'pissa' does not know expert tensors; use 'default' with lora_expert_targets")
    if plan.lora_dropout and plan.lora_expert_targets:
        reasons.append("lora_dropout does not work on expert tensors (lora_expert_targets); set it to 0")
    if plan.use_dora and plan.lora_expert_targets:
        reasons.append("use_dora does not work on expert tensors (lora_expert_targets)")
    if plan.lora_expert_rank and not plan.lora_expert_targets:
        reasons.append("lora_expert_rank is the rank of lora_expert_targets, which names none; leave it out")
    if plan.use_dora and plan.lora_init == "pissa":
        reasons.append("use_dora with lora_init = 'pissa' cannot be saved for the original base; use one of them")
    if plan.lora_init == "pissa" and (plan.modules_to_save or plan.trainable_token_indices):
        # peft's conversion to a plain LoRA keeps lora_A and lora_B, and nothing else
        reasons.append(
            "lora_init = 'pissa' is saved without modules_to_save or trainable_token_indices; use 'default'"
        )
    if plan.lora_init == "pissa" and plan.sharding in ("fsdp", "zero3"):
        reasons.append("lora_init = 'pissa' computes on whole weights, which no process holds here; use 'default'")
    if plan.start_adapter and plan.lora_init != "default":
        reasons.append(f"lora_init = '{plan.lora_init}' begins anew; leave it out to go on from start_adapter")
    if plan.loraplus_lr_ratio and plan.sharding in ("zero2", "zero3"):
        reasons.append("loraplus_lr_ratio needs parameter groups that DeepSpeed rebuilds; use ddp or fsdp")
    return reasons


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """The model with LoRA matrices at the plan's targets, base frozen."""
    if plan.start_adapter:
        return _gone_on_with(model, plan)
    wanted = config(model, plan)
    whole = list(wanted.modules_to_save or ())
    adapted = peft_shared.wrap(model, wanted, plan)
    _require_frozen_router(adapted, wanted, plan)
    # peft takes the head out where it ties it; a file that does not name it would be loaded with the two apart
    wanted.modules_to_save = whole or None
    _with_readable_head(adapted)
    if plan.lora_init == "pissa":
        start = tempfile.TemporaryDirectory(prefix="pissa-start-")
        peft_shared.save(adapted, plan, Path(start.name))
        setattr(adapted, START, start)
    return adapted


def _with_readable_head(adapted: PeftModel) -> None:
    head = adapted.get_output_embeddings()
    if not hasattr(head, "bias"):
        # TRL's loss reads weight and bias of the head; peft's wrapper around trained tokens passes the weight only.
        head.bias = None


def _gone_on_with(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """The model with the plan's `start_adapter`, which trains on. Raises PlanRefused where the two do not fit."""
    folder = Path(plan.start_adapter or "")
    held = _adapter_config(folder)
    shape = {
        "lora_rank": (plan.lora_rank, held.r),
        "lora_alpha": (plan.lora_alpha, held.lora_alpha),
        "lora_expert_rank": (plan.lora_expert_rank, next(iter((held.rank_pattern or {}).values()), None)),
        "use_rslora": (plan.use_rslora, held.use_rslora),
        "use_dora": (plan.use_dora, held.use_dora),
    }
    if different := [f"{name} = {theirs}" for name, (ours, theirs) in shape.items() if ours != theirs]:
        raise PlanRefused(
            tr("{folder} is an adapter of another shape than the plan's", folder=folder),
            why=tr("in it, {different}", different=", ".join(different)),
            fix=tr("set these fields so, or leave start_adapter out to begin anew"),
        )
    held.lora_dropout, held.inference_mode = plan.lora_dropout or 0.0, False
    try:
        adapted = peft_shared.put_on_to_train(model, folder, held, plan)
    except (ValueError, RuntimeError, OSError) as error:
        raise PlanRefused(
            tr("{folder} does not fit on {model}", folder=folder, model=plan.model.name),
            why=str(error).strip().splitlines()[0],
            fix=tr("take the base model that it was trained on"),
        ) from error
    held.base_model_name_or_path = plan.model.name
    _require_frozen_router(adapted, held, plan)
    _with_readable_head(adapted)
    setattr(adapted, GONE_ON, True)
    return adapted


def _adapter_config(folder: Path) -> LoraConfig:
    from peft import LoraConfig, PeftConfig

    try:
        held = PeftConfig.from_pretrained(str(folder))
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise PlanRefused(
            tr("{folder} holds no adapter that can be read", folder=folder),
            why=str(error).strip().splitlines()[0],
            fix=tr("name the folder of a LoRA adapter, such as RUN/result, as start_adapter"),
        ) from error
    if not isinstance(held, LoraConfig):
        raise PlanRefused(
            tr("{folder} is no LoRA adapter", folder=folder),
            why=tr("it is one of {kind}", kind=held.peft_type),
            fix=tr("leave start_adapter out to begin anew"),
        )
    return held


def _require_frozen_router(adapted: PeftModel, wanted: LoraConfig, plan: TrainingPlan) -> None:
    """Raise PlanRefused where names of layers reach a router that nobody named, or experts that they once were."""
    leaves = {name.rpartition(".")[2] for name in adapted.base_model.targeted_module_names if is_router(name)}
    routers = leaves - set(plan.lora_targets or ())
    if routers:
        raise PlanRefused(
            tr("lora_targets would train {routers}, which choose the experts", routers=", ".join(sorted(routers))),
            why=tr("a router that moves sends tokens to other experts than the ones that were trained"),
            fix=tr(
                "leave lora_targets out, so that the rules name the layers; or name the router to train it knowingly"
            ),
        )
    moved = sorted(set(wanted.target_parameters or ()) - set(plan.lora_expert_targets))
    if moved:
        raise PlanRefused(
            tr(
                "lora_targets would train {moved}: the router, and experts that nobody asked for",
                moved=", ".join(moved),
            ),
            why=tr("peft reads 'all-linear' and the old names of experts so in this family"),
            fix=tr(
                "set lora_targets = ['q_proj', 'k_proj', 'v_proj', 'o_proj']; experts go into lora_expert_targets"
            ),
        )


def config(model: PreTrainedModel, plan: TrainingPlan) -> LoraConfig:
    """The plan as a peft LoraConfig. Raises PlanRefused for a target that the model does not have."""
    from peft import LoraConfig

    targets = list(plan.lora_targets or ())
    _require_present(model, [*targets, *plan.lora_expert_targets, *plan.modules_to_save])
    saved, tied = _trained_whole(model, plan)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=plan.lora_rank,
        rank_pattern=_own_ranks(plan),
        lora_alpha=plan.lora_alpha,
        lora_dropout=plan.lora_dropout or 0.0,
        target_modules=_where(model, targets),
        target_parameters=list(plan.lora_expert_targets) or None,
        use_rslora=plan.use_rslora,
        use_dora=plan.use_dora,
        init_lora_weights="pissa" if plan.lora_init == "pissa" else True,
        modules_to_save=saved or None,
        trainable_token_indices=list(plan.trainable_token_indices) or None,
        ensure_weight_tying=tied,
    )


def _own_ranks(plan: TrainingPlan) -> dict[str, int]:
    """Expert parameter -> its rank, where it is not that of all. peft warns that the names match no module, for it
    looks at modules only, and applies them all the same."""
    if plan.lora_expert_rank is None:
        return {}
    return dict.fromkeys(plan.lora_expert_targets, plan.lora_expert_rank)


def _where(model: PreTrainedModel, targets: list[str]) -> str | list[str]:
    if towers(model):
        return adapter_targets(model, targets)
    return "all-linear" if targets == ["all-linear"] else targets


def save(model: PeftModel, plan: TrainingPlan, folder: Path, state: dict[str, Any] | None = None) -> None:
    """The adapter for the *original* base.

    PiSSA moves the principal part of the base into the adapter; saved as it is, it would need that changed base.
    Saved as the difference to its start it is a plain LoRA of twice the rank.
    """
    start = getattr(model, START, None)
    model.save_pretrained(
        str(folder), state_dict=state, path_initial_model_for_weight_conversion=start.name if start else None
    )


def as_base(model: PeftModel) -> AbstractContextManager[Any]:
    """What training begins with: the base, or the base with the adapter that is gone on with.

    Of a PiSSA model, or one that goes on, only before training: its adapter is then as it was.
    """
    begins_whole = hasattr(model, START) or hasattr(model, GONE_ON)
    return nullcontext() if begins_whole else model.disable_adapter()


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    """The adapter on a freshly loaded base."""
    return peft_shared.put_on(load_model(plan), folder, plan)


def _trained_whole(model: PreTrainedModel, plan: TrainingPlan) -> tuple[list[str], bool]:
    """The modules that train whole, and whether embeddings that serve as the head too are among them.

    Both then have to stay one weight. peft ensures it where it is given a name that it knows, so that of the head is
    added where the embedding has another one (wte, word_embeddings).
    """
    from peft.utils.constants import EMBEDDING_LAYER_NAMES

    saved = list(plan.modules_to_save)
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [name.rpartition(".")[2] for name, module in model.named_modules() if any(module is end for end in ends)]
    asked = {name.rpartition(".")[2] for name in saved}
    known = [name for name in names if name in EMBEDDING_LAYER_NAMES]
    is_tied = len({id(end.weight) for end in ends if end is not None}) == 1
    if not is_tied or not known or not asked & set(names):
        return saved, False
    return saved if asked & set(known) else [*saved, known[0]], True


def _require_present(model: PreTrainedModel, wanted: list[str]) -> None:
    modules = {name for name, _ in model.named_modules()} | {name for name, _ in model.named_parameters()}
    missing = [
        name
        for name in wanted
        if name != "all-linear" and not any(found == name or found.endswith(f".{name}") for found in modules)
    ]
    if missing:
        leaves = sorted({name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module)})
        raise PlanRefused(
            tr("the model has no module named {missing}", missing=", ".join(missing)),
            why=tr("its linear layers are {leaves}", leaves=", ".join(leaves)),
            fix=tr("set lora_targets to some of them, or to ['all-linear']"),
        )


def _is_linear(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)
