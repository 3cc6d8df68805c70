"""The listing of what is known: every model once, by family, and what a machine has room for as the estimate says."""

from __future__ import annotations

import pytest

from advisor.base.errors import InputError
from advisor.commands.measure import Measurements
from advisor.decide.known_models import known_models
from advisor.model.catalog import catalog_names, entries


def test_every_model_is_listed_once_with_its_licence() -> None:
    found = known_models(None, None)
    assert sorted(row.name.rpartition("/")[2] for row in found) == sorted(catalog_names())
    assert all(row.licence and row.family and row.released for row in found)
    assert {row.modality for row in found} == {"text", "text+vision", "text+vision+audio"}


def test_a_family_stands_together_with_the_smallest_first() -> None:
    found = known_models("qwen3", None)
    families = [row.family for row in found]
    assert families == sorted(families, key=families.index)
    qwen3 = [row.params for row in found if row.family == "Qwen3"]
    assert qwen3 == sorted(qwen3) and len(qwen3) > 8


def test_mixtures_show_what_one_token_passes_through() -> None:
    rows = {row.name: row for row in known_models("qwen3", None)}
    assert 3.2e9 < rows["Qwen/Qwen3-30B-A3B"].active_params < 3.5e9
    dense = rows["Qwen/Qwen3-VL-8B-Instruct"]
    assert dense.active_params == dense.params == entries()["qwen3-vl-8b-instruct"].params


def test_what_fits_grows_with_the_machine() -> None:
    small, large = (
        {row.name: set(row.fits) for row in known_models(None, Measurements().hardware({"hardware": text}))}
        for text in ("RTX 4060", "H100 80GB")
    )
    assert small and set(small) < set(large)
    assert all(methods <= large[name] for name, methods in small.items())
    assert "qlora" in small["Qwen/Qwen3-4B"] and "full" not in small["Qwen/Qwen3-4B"]


def test_what_this_trainer_does_not_load_never_fits() -> None:
    hardware = Measurements().hardware({"hardware": "H100 80GB"})
    assert all(row.trained_here for row in known_models(None, hardware))
    assert any("encoder" in row.why_not for row in known_models("bert", None))


def test_a_family_that_is_not_there_is_answered_with_those_near_to_it() -> None:
    with pytest.raises(InputError) as refused:
        known_models("lama-9", None)
    assert "Llama" in refused.value.problems[0].fix
