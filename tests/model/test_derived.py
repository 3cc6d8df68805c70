"""A family of which no table is kept is read off transformers' modules, exactly, and said to be so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.model import derived, resolve_model
from advisor.model.use import refusal


def saved(model_type: str, folder: Path, **settings: int) -> int:
    """Saves the config of this family; its number of parameters as transformers builds it."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    config = CONFIG_MAPPING[model_type](**settings)
    config.save_pretrained(folder)
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())


@pytest.mark.parametrize("model_type", ["zamba", "xlnet", "bert-generation"])
def test_a_family_without_a_table_is_counted_as_it_is_built(model_type: str, tmp_path: Path) -> None:
    params = saved(model_type, tmp_path)
    spec = resolve_model(str(tmp_path))
    assert "derived from the modules of transformers" in spec.notes[0]
    assert spec.num_params == params
    assert not spec.known and refusal(spec) is None


def test_without_the_training_libraries_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("xlnet", tmp_path)
    monkeypatch.setattr(derived, "find_spec", lambda _: None)
    problem = refusal(resolve_model(str(tmp_path)))
    assert problem is not None and "not known here" in (problem.why or "")


def test_own_code_is_not_derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model_type": "acme", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {"vocab_size": 99, "intermediate_size": 128, "auto_map": {"AutoModelForCausalLM": "modeling.Acme"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(derived, "_ask", lambda folder: pytest.fail("it was asked"))
    assert refusal(resolve_model(str(tmp_path))) is not None


def test_a_family_that_transformers_has_not_stays_refused(tmp_path: Path) -> None:
    config = {"model_type": "acme", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 99, "intermediate_size": 128}))
    problem = refusal(resolve_model(str(tmp_path)))
    assert problem is not None and "acme" in (problem.why or "")
