from pathlib import Path

import pytest

from trainers.training.cpu_head import answers_only


@pytest.mark.slow
def test_leaving_out_unlabelled_positions_changes_neither_loss_nor_gradients(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer import utils

    def loss_and_gradient():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        utils.add_fused_lm_head(model)
        tokens = torch.randint(0, model.config.vocab_size, (3, 20))
        labels = tokens.clone()
        labels[:, :9] = -100
        labels[2, 15:] = -100
        loss = model(input_ids=tokens, labels=labels, fused_lm_head=True).loss
        loss.backward()
        return loss.item(), model.model.layers[0].mlp.up_proj.weight.grad

    loss, gradient = loss_and_gradient()
    calls = []
    with answers_only(), monkeypatch.context() as watched:
        patched = utils._use_triton
        watched.setattr(utils, "_use_triton", lambda device: calls.append(device) or patched(device))
        same_loss, same_gradient = loss_and_gradient()
    assert calls
    assert same_loss == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(gradient, same_gradient, atol=1e-6)


def test_trl_s_own_switch_is_back_afterwards_even_after_an_error():
    from trl.trainer import utils

    switch = utils._use_triton
    with pytest.raises(MemoryError), answers_only():
        assert utils._use_triton is not switch
        raise MemoryError
    assert utils._use_triton is switch


def test_a_trl_without_the_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    from trl.trainer import utils

    monkeypatch.delattr(utils, "_use_triton")
    with answers_only() as leaves_out:
        assert leaves_out is False
        assert not hasattr(utils, "_use_triton")
