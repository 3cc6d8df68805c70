"""Whatever bytes or values come in: a spec or an InputError, never anything else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.base.errors import AdvisorError, InputError
from advisor.model.config import family_of
from advisor.model.families import built_families, spec_from_config
from advisor.model.folder import spec_from_folder
from advisor.model.gguf import spec_from_gguf
from advisor.model.resolve import resolve_model

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A family's config with a few values replaced by anything at all."""
    model_type = draw(st.sampled_from(sorted(built_families())))
    keys = [*family_of(model_type).defaults, "layer_types", "quantization_config", "text_config", "rope_scaling"]
    changed = draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=4))
    return {"model_type": model_type, "num_hidden_layers": draw(st.integers(1, 4)), **changed}


@settings(max_examples=400, deadline=None)
@given(configs())
def test_configs_with_any_values(config: dict[str, Any]) -> None:
    try:
        spec = spec_from_config(config)
    except InputError as error:
        assert all(problem.what and problem.fix for problem in error.problems)
    else:
        assert spec.num_params > 0


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("gemma3n_text", "intermediate_size", []),
        ("gemma3n_text", "intermediate_size", [8, "x"]),
        ("gemma3n_text", "layer_types", ["sliding_attention"]),
        ("laguna", "num_attention_heads_per_layer", [4]),
        ("modernbert-decoder", "layer_types", ["sliding_attention"]),
    ],
)
def test_a_list_that_is_not_one_value_for_each_block_is_named(model_type: str, key: str, value: list[Any]) -> None:
    with pytest.raises(InputError) as refused:
        spec_from_config({"model_type": model_type, "num_hidden_layers": 2, key: value})
    assert any(key in problem.what for problem in refused.value.problems)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_config_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "config.json").write_bytes(content)
    with contextlib.suppress(InputError):
        spec_from_folder(folder)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_as_weights(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    config = {"model_type": "llama", "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError):
        spec_from_folder(folder)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_of_gguf(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "m.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + content)
    with pytest.raises(InputError):
        spec_from_gguf(path)


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_as_a_model_name(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        with contextlib.suppress(AdvisorError):
            resolve_model(text)


def test_catalogue_is_not_touched_by_odd_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        resolve_model("a\0b")
    with pytest.raises(InputError):
        resolve_model("~nobody-of-that-name/model")
    with pytest.raises(InputError):
        resolve_model("x" * 5000)
