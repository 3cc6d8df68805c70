"""How weights are stored, from the quantization_config of real checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.model.stored import native_quant, quantization_of, with_modelopt
from advisor.model.unpacked import skip_list


def group(kind: str, bits: int) -> dict[str, Any]:
    return {"weights": {"type": kind, "num_bits": bits}, "targets": ["Linear"]}


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": group("float", 8)}}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": group("int", 8)}}, "int8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": group("int", 4)}}, "int4"),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, "fp8"),
        ({"quant_method": "fp8", "moe_quant_algo": "NVFP4", "quant_algo": "MIXED_PRECISION"}, "nvfp4"),
        ({"quant_method": "modelopt", "config_groups": {"a": group("float", 8), "b": group("float", 4)}}, "nvfp4"),
        ({"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, "int4"),
        (
            {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "NVFP4"}, "b": None}},
            "nvfp4",
        ),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "modelopt", "config_groups": {"a": None, "b": {"weights": 8}}}, "fp8"),
    ],
)
def test_weights_are_stored_as_their_config_says(stated: dict[str, Any], kind: str) -> None:
    assert native_quant({"quantization_config": stated}) == kind


def test_the_config_of_the_text_part_counts_as_that_of_the_whole() -> None:
    stated = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group("int", 4)}}
    assert quantization_of({"text_config": {"quantization_config": stated}}) is stated
    assert native_quant({"text_config": {"quantization_config": stated}}) == "int4"


def test_plain_weights_are_none() -> None:
    assert native_quant({}) == native_quant({"quantization_config": None, "text_config": []}) == "none"


def test_what_modelopt_wrote_beside_a_config_counts_where_that_says_nothing() -> None:
    beside = {
        "producer": {"name": "modelopt"},
        "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]},
    }
    assert native_quant(with_modelopt({}, beside)) == "nvfp4"
    assert skip_list(with_modelopt({}, beside)) == ("lm_head",)
    own = {"quantization_config": {"quant_method": "fp8"}}
    assert with_modelopt(own, beside) is own
    for nothing in ({}, {"quantization": None}, {"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}):
        assert with_modelopt({}, nothing) == {}
