import copy

import pytest
import torch

from trainers.training.optimizers import StepInBackward


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))


def loss(model: torch.nn.Module, seed: int) -> torch.Tensor:
    inputs = torch.randn(5, 8, generator=torch.Generator().manual_seed(seed))
    return model(inputs).square().mean()


OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


def test_a_step_in_backward_is_the_same_step_with_no_gradients_left() -> None:
    ours, plain = network(), network()
    inside = StepInBackward(ours, torch.optim.AdamW, OPTIONS, max_norm=1e9)
    outside = torch.optim.AdamW(plain.parameters(), **OPTIONS)
    for step in range(5):
        inside.param_groups[0]["lr"] = outside.param_groups[0]["lr"] = 1e-2 / (step + 1)
        loss(ours, step).backward()
        inside.step()
        assert all(parameter.grad is None for parameter in ours.parameters())
        outside.zero_grad()
        loss(plain, step).backward()
        outside.step()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_its_state_goes_on_where_it_was() -> None:
    first = network()
    optimizer = StepInBackward(first, torch.optim.AdamW, OPTIONS, max_norm=1.0)
    loss(first, 0).backward()
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(first.state_dict())
    second = network()
    second.load_state_dict(weights)
    resumed = StepInBackward(second, torch.optim.AdamW, OPTIONS, max_norm=1.0)
    resumed.load_state_dict(state)
    loss(first, 1).backward()
    loss(second, 1).backward()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_state_of_another_model_is_refused() -> None:
    state = StepInBackward(network(), torch.optim.SGD, {"lr": 0.1}, 1.0).state_dict()
    with pytest.raises(ValueError, match="state of 4 parameters for a model with 2"):
        StepInBackward(torch.nn.Linear(2, 2), torch.optim.SGD, {"lr": 0.1}, 1.0).load_state_dict(state)


def test_a_huge_gradient_is_clipped_by_itself() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    before = model.weight.detach().clone()
    StepInBackward(model, torch.optim.SGD, {"lr": 1.0}, max_norm=0.5)
    model(torch.tensor([[1e6, 0.0]])).sum().backward()
    assert (model.weight - before).norm().item() == pytest.approx(0.5, rel=1e-4)
