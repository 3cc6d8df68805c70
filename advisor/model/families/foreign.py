"""Families outside transformers' causal models: code beside a checkpoint, and language parts of multimodal models."""

from __future__ import annotations

from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    fused_attention,
    gated,
    gated_fused,
    linear,
    norms,
    plain,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.dense import decoder, llama, phi3, qwen2, qwen3
from advisor.model.families.dense_first import deepseek
from advisor.model.families.moe import qwen3_moe
from advisor.model.families.traits import Builder, having


@having(head_uncast=True)
def qwen(config: ConfigReader) -> Shape:
    """Qwen 1: intermediate_size counts both halves of the gated part; a bias on query, key and value only."""
    size = Sizes(config)
    projections = fused_attention(size, "c_attn", "c_proj", True, False)
    mlp = gated(size.hidden, size.intermediate // 2, names=("w1", "w2", "c_proj"))
    shape = decoder(size, projections, mlp)
    shape.tied = config.flag("tie_word_embeddings")
    return shape


@having(head_uncast=True)
def baichuan(config: ConfigReader) -> Shape:
    """Baichuan 1 and 2: Llama with one matrix for query, key and value."""
    size = Sizes(config)
    shape = decoder(size, fused_attention(size, "W_pack", "o_proj"), gated(size.hidden, size.intermediate))
    shape.tied = config.flag("tie_word_embeddings")
    return shape


@having(head_uncast=True)
def chatglm(config: ConfigReader) -> Shape:
    """ChatGLM 2 and 3, GLM-4 (original code): multi-query groups, gate and up in one matrix, RMSNorm."""
    size = Sizes(config)
    if config.has("inner_hidden_size"):
        return _chatglm_1(config, size)
    width = config.size("kv_channels", default=size.split_head_dim)
    grouped = config.flag("multi_query_attention", default=True)
    keys = config.size("multi_query_group_num", "num_key_value_heads", default=size.heads) if grouped else size.heads
    queries = size.heads * width
    bias, more = config.flag("add_qkv_bias", default=True), config.flag("add_bias_linear")
    projections = Part(
        (
            linear("query_key_value", size.hidden, queries + 2 * keys * width, bias or more, "attention"),
            linear("dense", queries, size.hidden, more, "attention"),
        )
    )
    wide = config.size("ffn_hidden_size", "intermediate_size")
    mlp = gated_fused(size.hidden, wide, more, names=("dense_h_to_4h", "dense_4h_to_h"))
    shape = decoder(size, projections, mlp)
    shape.kv_heads = keys
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def _chatglm_1(config: ConfigReader, size: Sizes) -> Shape:
    """ChatGLM-6B: full attention, LayerNorm, biases, a plain feed-forward part, a tied head."""
    projections = Part(
        (
            linear("query_key_value", size.hidden, 3 * size.hidden, True, "attention"),
            linear("dense", size.hidden, size.hidden, True, "attention"),
        )
    )
    mlp = plain(size.hidden, config.size("inner_hidden_size"), True, ("dense_h_to_4h", "dense_4h_to_h"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.tied = config.flag("tie_word_embeddings", default=True)
    return shape


def internlm2(config: ConfigReader) -> Shape:
    """InternLM 2: one matrix for query, key and value, feed-forward part named w1, w2, w3."""
    size = Sizes(config)
    bias = config.flag("bias")
    projections = fused_attention(size, "wqkv", "wo", bias)
    shape = decoder(size, projections, gated(size.hidden, size.intermediate, names=("w1", "w3", "w2")))
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def untied_llama(config: ConfigReader) -> Shape:
    """Llama in all but name, untied unless the config says otherwise."""
    shape = llama(config)
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def internlm(config: ConfigReader) -> Shape:
    """InternLM 1: Llama with biases on all attention projections."""
    size = Sizes(config)
    shape = decoder(size, attention(size, config.flag("bias", default=True)), gated(size.hidden, size.intermediate))
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def exaone(config: ConfigReader) -> Shape:
    """EXAONE 3: Llama with the gate named c_fc_0."""
    size = Sizes(config)
    projections = attention(size, names=("q_proj", "k_proj", "v_proj", "out_proj"))
    shape = decoder(size, projections, gated(size.hidden, size.intermediate, names=("c_fc_0", "c_fc_1", "c_proj")))
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def orion(config: ConfigReader) -> Shape:
    """Orion: Llama with LayerNorm."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"))
    shape = decoder(size, projections, gated(size.hidden, size.intermediate), norm="layernorm")
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def phi_msft(config: ConfigReader) -> Shape:
    """Phi 1 and 2 in their first packaging."""
    size = Sizes(config)
    projections = fused_attention(size, "Wqkv", "out_proj", True)
    mlp = plain(size.hidden, config.size("n_inner", default=4 * size.hidden), True, ("fc1", "fc2"))
    shape = decoder(size, projections, mlp, norm="layernorm", norms_per_block=1, gated_mlp=False, parallel_block=True)
    shape.tied, shape.head_bias = False, True
    return shape


def deepseek_untied(config: ConfigReader) -> Shape:
    """Checkpoints of the DeepSeek V3 shape under their own name (Kimi K2)."""
    shape = deepseek(config)
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def mllama(config: ConfigReader) -> Shape:
    """The language model of Llama 3.2 Vision: cross-attention blocks among the others, eight more input tokens."""
    size = Sizes(config)
    mlp = gated(size.hidden, size.intermediate)
    stated = config.items("cross_attention_layers") or [index for index in range(size.layers) if index % 5 == 3]
    crossing = attention(size) + qk_norm(size) + Part(other_params=2)
    blocks = [
        block(crossing if index in stated else attention(size), mlp, norms(size.hidden, 2))
        for index in range(size.layers)
    ]
    shape = Shape(blocks=blocks, final_norm_params=size.hidden)
    shape.embedding_params = (size.vocab + 8) * size.hidden
    return shape


FOREIGN: dict[str, Builder] = {
    "Yi": untied_llama,
    "aquila": untied_llama,
    "baichuan": baichuan,
    "chatglm": chatglm,
    "exaone": exaone,
    "internlm": internlm,
    "internlm2": internlm2,
    "kimi_k2": deepseek_untied,
    "minicpm": llama,
    "mixformer-sequential": phi_msft,
    "orion": orion,
    "phi-msft": phi_msft,
    "qwen": qwen,
    "xverse": untied_llama,
    # Language parts of multimodal models, under the names that their configs use.
    "mllama_text_model": mllama,
    "qwen2_5_vl": qwen2,
    "qwen2_5_vl_text": qwen2,
    "qwen2_vl": qwen2,
    "qwen2_vl_text": qwen2,
    "qwen3_vl_moe_text": qwen3_moe,
    "qwen3_vl_text": qwen3,
    "paligemma": llama,
    "phi4_multimodal": phi3,
}
