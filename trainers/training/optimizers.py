"""Two ways to step that the Trainer does not offer: LoRA+ rates, and a step inside the backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from transformers import TrainingArguments


def trainer_options(model: torch.nn.Module, plan: TrainingPlan, args: TrainingArguments) -> dict[str, Any]:
    """Arguments of the trainer's constructor for the plan's way to step; empty for the Trainer's own."""
    if plan.optimizer_in_backward:
        return {"optimizers": (step_in_backward(model, plan, args), None)}
    return {"optimizer_cls_and_kwargs": loraplus(model, plan, args)} if plan.loraplus_lr_ratio else {}


def loraplus(model: torch.nn.Module, plan: TrainingPlan, args: TrainingArguments) -> tuple[type, dict[str, Any]]:
    """Optimizer class and arguments with a rate `loraplus_lr_ratio` times higher for every B (Hayou et al. 2024)."""
    kind, options = _plain(model, args)
    ratio = plan.loraplus_lr_ratio or 1.0
    fast: list[torch.nn.Parameter] = []
    slow: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if "lora_B" in name or "lora_embedding_B" in name else slow).append(parameter)
    groups = [
        {"params": slow, "weight_decay": plan.weight_decay},
        {"params": fast, "weight_decay": plan.weight_decay, "lr": plan.learning_rate * ratio},
    ]
    return kind, {**options, "params": groups}


def _plain(model: torch.nn.Module, args: TrainingArguments) -> tuple[type, dict[str, Any]]:
    from transformers import Trainer

    kind, options = Trainer.get_optimizer_cls_and_kwargs(args, model)
    return kind, dict(options)


class StepInBackward(torch.optim.Optimizer):
    """One optimizer per parameter, stepped as soon as its gradient is whole, which is then freed.

    The peak then holds one gradient instead of all. Each gradient is clipped by itself to `max_norm`, for no moment
    exists at which the norm of all could be known. The Trainer sees one ordinary optimizer: the scheduler sets the
    rate in `param_groups`, and `state_dict` carries the state of every parameter.
    """

    def __init__(self, model: torch.nn.Module, kind: type, options: dict[str, Any], max_norm: float) -> None:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        super().__init__(parameters, {"lr": options["lr"], "weight_decay": options.get("weight_decay", 0.0)})
        self._max_norm = max_norm
        self._each = [kind([parameter], **options) for parameter in parameters]
        for parameter, optimizer in zip(parameters, self._each, strict=True):
            parameter.register_post_accumulate_grad_hook(self._hook(optimizer))

    def _hook(self, optimizer: torch.optim.Optimizer) -> Any:
        def step(parameter: torch.Tensor) -> None:
            torch.nn.utils.clip_grad_norm_(parameter, self._max_norm)
            optimizer.param_groups[0]["lr"] = self.param_groups[0]["lr"]
            optimizer.step()
            parameter.grad = None

        return step

    def step(self, closure: Any = None) -> None:
        """Nothing is left to do: every parameter has been stepped."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing is left to clear."""

    def state_dict(self) -> dict[str, Any]:
        """The shared group and, by position, the state of each parameter's optimizer."""
        groups = [{**{k: v for k, v in group.items() if k != "params"}, "params": []} for group in self.param_groups]
        return {
            "state": {i: optimizer.state_dict() for i, optimizer in enumerate(self._each)},
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned. Raises ValueError when it comes from another model."""
        if len(state_dict["state"]) != len(self._each):
            raise ValueError(f"state of {len(state_dict['state'])} parameters for a model with {len(self._each)}")
        for index, optimizer in enumerate(self._each):
            optimizer.load_state_dict(state_dict["state"][index])
        self.param_groups[0]["lr"] = state_dict["param_groups"][0]["lr"]


def step_in_backward(model: torch.nn.Module, plan: TrainingPlan, args: TrainingArguments) -> StepInBackward:
    """The plan's optimizer, stepping inside the backward pass."""
    kind, options = _plain(model, args)
    options["weight_decay"] = plan.weight_decay
    return StepInBackward(model, kind, options, plan.max_grad_norm)
