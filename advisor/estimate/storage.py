"""Every file that a run writes, in bytes; exact where the format fixes it.

safetensors: eight bytes of length, a JSON header padded to eight bytes, then the tensors. The header is exact for
models whose module paths are the usual ones (model.layers.N.self_attn / mlp); else it is estimated and marked so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache

from advisor.base.language import tr
from advisor.estimate import constants as const
from advisor.estimate import file_sizes as sizes
from advisor.estimate.result import StorageEstimate, StorageItem
from advisor.estimate.stacks import OURS, Stack
from advisor.estimate.weights import DTYPE_BYTES
from advisor.model.params import targeted, trainable_params
from advisor.model.spec import ModelSpec
from trainers.method import METHODS
from trainers.plan import TrainingPlan

_SAFETENSORS_DTYPE = {2: "BF16", 4: "F32"}


def safetensors_bytes(tensors: list[tuple[str, str, list[int], int]]) -> int:
    """Exact size of a file with these (name, dtype, shape, bytes), as safetensors writes it (sorted, padded)."""
    ordered = sorted(tensors, key=lambda tensor: (-_alignment(tensor[1]), tensor[0]))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype, shape, size in ordered:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = len(json.dumps(header, separators=(",", ":")))
    return const.SAFETENSORS_HEADER_BASE + -(-text // 8) * 8 + offset


def _alignment(dtype: str) -> int:
    return {"F32": 4, "BF16": 2, "F16": 2}.get(dtype, 1)


def adapter_file_bytes(model: ModelSpec, plan: TrainingPlan, width: int) -> tuple[int, bool]:
    """(bytes, exact) of adapter_model.safetensors; `width`: bytes of a value."""
    trained = trainable_params(model, plan)
    lora = METHODS[plan.method].is_lora and not (
        plan.modules_to_save or plan.trainable_token_indices or plan.lora_expert_targets
    )
    if not lora or model.traits.module_paths == "other":
        return (
            trained * width
            + const.SAFETENSORS_HEADER_BASE
            + sizes.HEADER_BYTES_PER_ADAPTER_TENSOR * _adapter_tensors(model, plan),
            False,
        )
    return _lora_file_bytes(
        model, plan.lora_rank or 0, plan.lora_targets or ("all-linear",), plan.use_dora, width
    ), True


@lru_cache(maxsize=512)
def _lora_file_bytes(model: ModelSpec, rank: int, targets: tuple[str, ...], dora: bool, width: int) -> int:
    """Remembered, because a decision asks for the same adapter once for every variant that it tries."""
    return safetensors_bytes(list(_lora_tensors(model, rank, targets, dora, width)))


def _adapter_tensors(model: ModelSpec, plan: TrainingPlan) -> int:
    if not METHODS[plan.method].is_lora:
        return 4 * model.num_hidden_layers
    pairs = targeted(model, plan.lora_targets or ("all-linear",), plan.lora_expert_targets)
    return 2 * sum(count * linear.copies for count, linear in pairs)


def _lora_tensors(
    model: ModelSpec, rank: int, targets: tuple[str, ...], dora: bool, width: int
) -> Iterator[tuple[str, str, list[int], int]]:
    dtype = _SAFETENSORS_DTYPE[width]
    chosen = {linear for _, linear in targeted(model, targets)}
    index = 0
    for group in model.layers:
        for _ in range(group.count):
            for linear in (linear for linear in group.linears if linear in chosen):
                part = "self_attn" if linear.role == "attention" else "mlp"
                stem = f"base_model.model.model.layers.{index}.{part}.{linear.name}."
                shapes = {"lora_A.weight": [rank, linear.in_features], "lora_B.weight": [linear.out_features, rank]}
                for name, shape in shapes.items():
                    yield stem + name, dtype, shape, width * shape[0] * shape[1]
                if dora:
                    yield stem + "lora_magnitude_vector", dtype, [linear.out_features], width * linear.out_features
            index += 1


@lru_cache(maxsize=64)
def _whole_model_bytes(model: ModelSpec, width: int) -> tuple[int, bool]:
    """(bytes, exact) of all parameters in one file, `width` bytes each."""
    size, tensors = width * model.num_params, _model_tensors(model, width)
    if tensors is not None and size < sizes.SHARD_BYTES:
        return safetensors_bytes(tensors), True
    return size + sizes.TENSORS_PER_BLOCK * sizes.HEADER_BYTES_PER_TENSOR * model.num_hidden_layers, False


def _model_tensors(model: ModelSpec, width: int) -> list[tuple[str, str, list[int], int]] | None:
    """Every tensor of a decoder of the plain Llama form with its name; None for any other form."""
    hidden, vocab = model.hidden_size, model.vocab_size
    plain = model.traits.module_paths == "plain" and not model.other_params and model.norm == "rmsnorm"
    if not plain or any(g.norm_params != 2 * hidden or g.other_params for g in model.layers):
        return None
    shapes: dict[str, list[int]] = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]}
    if model.head_params:
        shapes["lm_head.weight"] = [vocab, hidden]
    index = 0
    for group in model.layers:
        for _ in range(group.count):
            stem = f"model.layers.{index}."
            shapes[stem + "input_layernorm.weight"] = [hidden]
            shapes[stem + "post_attention_layernorm.weight"] = [hidden]
            for linear in group.linears:
                part = "self_attn" if linear.role == "attention" else "mlp"
                shapes[f"{stem}{part}.{linear.name}.weight"] = [linear.out_features, linear.in_features]
                if linear.bias:
                    shapes[f"{stem}{part}.{linear.name}.bias"] = [linear.out_features]
            index += 1
    return [(name, _SAFETENSORS_DTYPE[width], shape, width * math.prod(shape)) for name, shape in shapes.items()]


def model_file_bytes(model: ModelSpec, weights: str) -> tuple[int, bool]:
    """(bytes, exact) of a whole model in a delivered format; tied tensors are written once."""
    params = model.num_params
    if weights == "16bit":
        return _whole_model_bytes(model, 2)
    if weights == "fp8":
        return params + 2 * (model.embedding_params + model.head_params), False
    outside = model.embedding_params + model.head_params
    if weights == "gguf":
        blocks, outer = sizes.GGUF_BYTES_PER_PARAM, sizes.GGUF_OUTER_BYTES_PER_PARAM
    else:
        blocks, outer = sizes.FOUR_BIT_BYTES_PER_PARAM, 2.0
    return int((params - outside) * blocks + outside * outer), False


def estimate_storage(model: ModelSpec, plan: TrainingPlan, *, stack: Stack = OURS) -> StorageEstimate:
    """Files of the run: checkpoints, the delivered artifact, the cached base model, and the largest moment."""
    trained = trainable_params(model, plan)
    full = not plan.trains_adapter
    wide = DTYPE_BYTES[plan.weights_dtype]
    if full:
        width = wide
        weights_file, exact = _whole_model_bytes(model, wide)
    else:
        kind = stack.qlora_dtype if plan.quantization != "none" else stack.lora_dtype
        width = 4 if kind == "fp32" else DTYPE_BYTES[plan.compute_dtype]
        weights_file, exact = adapter_file_bytes(model, plan, width)
    optimizer_file = _optimizer_file_bytes(plan, trained, width)
    beside_weights = sizes.TOKENIZER_BYTES + sizes.SMALL_FILES_BYTES
    checkpoint = weights_file + optimizer_file + beside_weights
    artifact_file, artifact_exact = _artifact(model, plan, weights_file, exact)
    artifact = artifact_file + sizes.TOKENIZER_BYTES
    cache = _cache_bytes(model)
    count = plan.checkpoints_kept
    items = (
        StorageItem(name=tr("checkpoint: weights"), num_bytes=weights_file, exact=exact),
        StorageItem(name=tr("checkpoint: optimizer states"), num_bytes=optimizer_file, exact=False),
        StorageItem(
            name=tr("checkpoint: tokenizer and small files"),
            num_bytes=sizes.TOKENIZER_BYTES + sizes.SMALL_FILES_BYTES,
            exact=False,
        ),
        StorageItem(
            name=tr("result: {artifact}", artifact=plan.delivery.artifact),
            num_bytes=artifact_file,
            exact=artifact_exact,
        ),
        StorageItem(name=tr("result: tokenizer"), num_bytes=sizes.TOKENIZER_BYTES, exact=False),
        StorageItem(name=tr("checkpoint being written"), num_bytes=checkpoint, exact=False, kept=False),
        StorageItem(name=tr("base model in the cache"), num_bytes=cache, exact=model.weight_file_bytes is not None),
    )
    adapter_beside = weights_file if plan.delivery.artifact == "merged_model" else 0
    return StorageEstimate(
        items=items,
        artifact_bytes=artifact,
        checkpoint_bytes=checkpoint,
        cache_bytes=cache,
        peak_output_bytes=(count + 1) * checkpoint + artifact + adapter_beside,
    )


def all_variants_bytes(plan: TrainingPlan, storage: StorageEstimate, num_variants: int) -> int:
    """Bytes of all delivered variants together: whole models side by side, or adapters over one tokenizer."""
    if plan.delivery.artifact != "adapter":
        return storage.artifact_bytes * num_variants
    return (storage.artifact_bytes - sizes.TOKENIZER_BYTES) * num_variants + sizes.TOKENIZER_BYTES


def merged_model_bytes(model: ModelSpec, weights: str) -> int:
    """Bytes of one merged model with its tokenizer, in a delivered format, as a plan's artifact."""
    return model_file_bytes(model, weights)[0] + sizes.TOKENIZER_BYTES


def _artifact(model: ModelSpec, plan: TrainingPlan, weights_file: int, exact: bool) -> tuple[int, bool]:
    if plan.delivery.artifact == "adapter":
        return weights_file, exact
    return model_file_bytes(model, plan.delivery.weights)


def _optimizer_file_bytes(plan: TrainingPlan, trained: int, width: int) -> int:
    if plan.optimizer in ("adamw_8bit", "paged_adamw_8bit"):
        return int(trained * 2 * (1 + 4 / const.BLOCK8_STATE))
    if plan.optimizer == "lion_8bit":
        return int(trained * (1 + 4 / const.BLOCK8_STATE))
    if plan.optimizer == "paged_adamw_32bit":
        return 8 * trained
    if plan.optimizer in ("sgd", "adafactor"):
        return trained // 256
    return 2 * width * trained


def _cache_bytes(model: ModelSpec) -> int:
    if model.source in ("folder", "gguf"):
        return 0
    return model.weight_file_bytes or 2 * model.num_params + sizes.TOKENIZER_BYTES
