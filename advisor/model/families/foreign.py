"""Families that live in code beside their checkpoints (trust_remote_code), not in transformers 5."""

from __future__ import annotations

from advisor.model.blocks import Part, Shape, Sizes, attention, fused_attention, gated, gated_fused, linear, plain
from advisor.model.config import ConfigReader
from advisor.model.families.dense import Builder, decoder, llama
from advisor.model.families.dense_first import deepseek


def qwen(config: ConfigReader) -> Shape:
    """Qwen 1: intermediate_size counts both halves of the gated part; a bias on query, key and value only."""
    size = Sizes(config)
    projections = fused_attention(size, "c_attn", "c_proj", True, False)
    mlp = gated(size.hidden, size.intermediate // 2, names=("w1", "w2", "c_proj"))
    shape = decoder(size, projections, mlp)
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def baichuan(config: ConfigReader) -> Shape:
    """Baichuan 1 and 2: Llama with one matrix for query, key and value."""
    size = Sizes(config)
    shape = decoder(size, fused_attention(size, "W_pack", "o_proj"), gated(size.hidden, size.intermediate))
    shape.tied = config.flag("tie_word_embeddings")
    return shape


def chatglm(config: ConfigReader) -> Shape:
    """ChatGLM 2 and 3, GLM-4 (original code): multi-query groups, gate and up in one matrix, RMSNorm."""
    size = Sizes(config)
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
    shape.tied = config.flag("tie_word_embeddings")
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
}
