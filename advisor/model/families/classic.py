"""The older lines: GPT-2, GPT-NeoX, OPT, BLOOM, Falcon, MPT and their like, and BERT's classifier."""

from __future__ import annotations

from advisor.base.language import tr
from advisor.model.blocks import (
    Part,
    Shape,
    Sizes,
    attention,
    block,
    fused_attention,
    gated_fused,
    linear,
    norms,
    plain,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.dense import decoder
from advisor.model.families.traits import Builder, having
from advisor.model.windows import layer_types

_BIAS_QKV = ("q_proj", "k_proj", "v_proj", "out_proj")


def _wide(config: ConfigReader, size: Sizes, *keys: str) -> int:
    """Width of the feed-forward part: as stated, else four times the hidden size."""
    return config.size(*keys, default=4 * size.hidden)


def gpt2(config: ConfigReader) -> Shape:
    """GPT-2: learned positions, LayerNorm, biases everywhere (weights are Conv1D modules)."""
    size = Sizes(config)
    projections = fused_attention(size, "c_attn", "c_proj", True)
    mlp = plain(size.hidden, _wide(config, size, "n_inner"), True, ("c_fc", "c_proj"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.other_params = config.size("max_position_embeddings") * size.hidden
    return shape


@having(head_uncast=True)
def gpt_bigcode(config: ConfigReader) -> Shape:
    """GPT-2 with one key and value head (multi_query)."""
    size = Sizes(config)
    keys = size.head_dim if config.flag("multi_query", default=True) else size.hidden
    projections = Part(
        (
            linear("c_attn", size.hidden, size.hidden + 2 * keys, True, "attention"),
            linear("c_proj", size.hidden, size.hidden, True, "attention"),
        )
    )
    mlp = plain(size.hidden, _wide(config, size, "n_inner"), True, ("c_fc", "c_proj"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.kv_heads = keys // size.head_dim
    shape.other_params = config.size("max_position_embeddings") * size.hidden
    return shape


def gpt_neo(config: ConfigReader) -> Shape:
    """GPT-Neo: separate projections, a bias on the output only."""
    size = Sizes(config)
    projections = attention(size, False, True, names=_BIAS_QKV)
    mlp = plain(size.hidden, _wide(config, size, "intermediate_size"), True, ("c_fc", "c_proj"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.other_params = config.size("max_position_embeddings") * size.hidden
    return shape


@having(partly_rotated=True)
def gptj(config: ConfigReader) -> Shape:
    """GPT-J: a parallel block under one norm; the head has a bias."""
    size = Sizes(config)
    projections = attention(size, names=_BIAS_QKV)
    mlp = plain(size.hidden, _wide(config, size, "n_inner"), True, ("fc_in", "fc_out"))
    return decoder(
        size,
        projections,
        mlp,
        norm="layernorm",
        norms_per_block=1,
        gated_mlp=False,
        parallel_block=True,
        head_bias=True,
    )


@having(partly_rotated=True)
def codegen(config: ConfigReader) -> Shape:
    """CodeGen: GPT-J with one matrix for query, key and value."""
    size = Sizes(config)
    projections = fused_attention(size, "qkv_proj", "out_proj")
    mlp = plain(size.hidden, _wide(config, size, "n_inner"), True, ("fc_in", "fc_out"))
    return decoder(
        size,
        projections,
        mlp,
        norm="layernorm",
        norms_per_block=1,
        gated_mlp=False,
        parallel_block=True,
        head_bias=True,
    )


@having(partly_rotated=True)
def gpt_neox(config: ConfigReader) -> Shape:
    """GPT-NeoX, Pythia: attention and feed-forward part side by side, each under its norm."""
    size = Sizes(config)
    projections = fused_attention(size, "query_key_value", "dense", config.flag("attention_bias", default=True))
    mlp = plain(size.hidden, size.intermediate, True, ("dense_h_to_4h", "dense_4h_to_h"))
    parallel = config.flag("use_parallel_residual", default=True)
    return decoder(size, projections, mlp, norm="layernorm", gated_mlp=False, parallel_block=parallel)


def opt(config: ConfigReader) -> Shape:
    """OPT: learned positions with an offset of two; the 350M projects its embeddings."""
    size = Sizes(config)
    bias = config.flag("enable_bias", default=True)
    projections = attention(size, bias, names=("q_proj", "k_proj", "v_proj", "out_proj"))
    mlp = plain(size.hidden, config.size("ffn_dim"), bias, ("fc1", "fc2"))
    affine = config.flag("layer_norm_elementwise_affine", default=True)
    before = config.flag("do_layer_norm_before", default=True) and not config.flag("_remove_final_layer_norm")
    shape = decoder(size, projections, mlp, norm="layernorm", norms_per_block=2 if affine else 0, gated_mlp=False)
    shape.final_norm_params = 2 * size.hidden if before and affine else 0
    width = config.size("word_embed_proj_dim", default=size.hidden)
    shape.embedding_params = size.vocab * width
    shape.other_params = (config.size("max_position_embeddings") + 2) * size.hidden
    if width != size.hidden:
        shape.outer = (linear("project_out", size.hidden, width), linear("project_in", width, size.hidden))
        shape.other_params += 2 * width * size.hidden
    return shape


def bloom(config: ConfigReader) -> Shape:
    """BLOOM: a norm behind the embedding, ALiBi positions."""
    size = Sizes(config)
    projections = fused_attention(size, "query_key_value", "dense", True)
    mlp = plain(size.hidden, 4 * size.hidden, True, ("dense_h_to_4h", "dense_4h_to_h"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.other_params = 2 * size.hidden
    return shape


def falcon(config: ConfigReader) -> Shape:
    """Falcon: multi-query (7B) or grouped keys (40B), parallel blocks with one or two norms."""
    size = Sizes(config)
    bias, new = config.flag("bias"), config.flag("new_decoder_architecture")
    if new:
        keys = config.size("num_kv_heads", default=size.heads) * size.split_head_dim
    else:
        keys = size.split_head_dim if config.flag("multi_query", default=True) else size.hidden
    projections = Part(
        (
            linear("query_key_value", size.hidden, size.hidden + 2 * keys, bias, "attention"),
            linear("dense", size.hidden, size.hidden, bias, "attention"),
        )
    )
    mlp = plain(size.hidden, _wide(config, size, "ffn_hidden_size"), bias, ("dense_h_to_4h", "dense_4h_to_h"))
    parallel = config.flag("parallel_attn", default=True)
    stated = config.maybe("num_ln_in_parallel_attn")
    count = 2 if not parallel or (2 if stated is None and new else stated) == 2 else 1
    shape = decoder(
        size, projections, mlp, norm="layernorm", norms_per_block=count, gated_mlp=False, parallel_block=parallel
    )
    shape.kv_heads = keys // size.split_head_dim
    return shape


def mpt(config: ConfigReader) -> Shape:
    """MPT: no biases at all, LayerNorm without bias."""
    size = Sizes(config)
    projections = fused_attention(size, "Wqkv", "out_proj")
    mlp = plain(size.hidden, 4 * size.hidden)
    return decoder(size, projections, mlp, norm="layernorm", norm_bias=False, gated_mlp=False)


@having(partly_rotated=True)
def persimmon(config: ConfigReader) -> Shape:
    """Persimmon: a LayerNorm on query and key heads, squared ReLU."""
    size = Sizes(config)
    normed = config.flag("qk_layernorm", default=True)
    heads = Part(norm_params=2 * qk_norm(size).norm_params) if normed else Part()
    projections = fused_attention(size, "query_key_value", "dense", True) + heads
    mlp = plain(size.hidden, size.intermediate, True, ("dense_h_to_4h", "dense_4h_to_h"))
    return decoder(size, projections, mlp, norm="layernorm", gated_mlp=False, qk_norm=normed)


def biogpt(config: ConfigReader) -> Shape:
    """BioGPT: learned positions with an offset of two, OPT-like blocks."""
    size = Sizes(config)
    projections = attention(size, True, names=_BIAS_QKV)
    mlp = plain(size.hidden, size.intermediate, True, ("fc1", "fc2"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.other_params = (config.size("max_position_embeddings") + 2) * size.hidden
    return shape


def xglm(config: ConfigReader) -> Shape:
    """XGLM: fixed positions, OPT-like blocks."""
    size = Sizes(config)
    projections = attention(size, True, names=_BIAS_QKV)
    mlp = plain(size.hidden, config.size("ffn_dim"), True, ("fc1", "fc2"))
    return decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)


def openai_gpt(config: ConfigReader) -> Shape:
    """GPT-1: no norm at the end."""
    size = Sizes(config)
    projections = fused_attention(size, "c_attn", "c_proj", True)
    mlp = plain(size.hidden, 4 * size.hidden, True, ("c_fc", "c_proj"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False, final_norm=False)
    shape.other_params = config.size("max_position_embeddings") * size.hidden
    return shape


def ctrl(config: ConfigReader) -> Shape:
    """CTRL: fixed positions, biases everywhere."""
    size = Sizes(config)
    projections = attention(size, True, names=("Wq", "Wk", "Wv", "dense"))
    mlp = plain(size.hidden, config.size("dff"), True, ("0", "2"))
    return decoder(size, projections, mlp, norm="layernorm", gated_mlp=False, head_bias=True)


def gpt_neox_japanese(config: ConfigReader) -> Shape:
    """GPT-NeoX without biases, but for one behind the last block's attention."""
    size = Sizes(config)
    wide = config.size("intermediate_multiple_size", default=4) * size.hidden
    projections = fused_attention(size, "query_key_value", "dense")
    mlp = plain(size.hidden, wide, names=("dense_h_to_4h", "dense_4h_to_h"))
    shape = decoder(size, projections, mlp, norm="layernorm", gated_mlp=False)
    shape.other_params = size.hidden
    return shape


def modernbert_decoder(config: ConfigReader) -> Shape:
    """Ettin and other ModernBERT decoders: no norm before the first attention, a head with a layer of its own."""
    size = Sizes(config)
    bias, norm_bias = config.flag("attention_bias"), config.flag("norm_bias")
    heads = attention(size, bias, names=("q_proj", "k_proj", "v_proj", "Wo"))
    mlp = gated_fused(size.hidden, size.intermediate, config.flag("mlp_bias"), names=("Wi", "Wo"))
    one = norms(size.hidden, 1, "layernorm", norm_bias)
    window = config.maybe("local_attention")
    every = config.size("global_attn_every_n_layers", default=3)
    stated = layer_types(config, size.layers)
    blocks = []
    for index in range(size.layers):
        slides = "sliding" in stated[index] if stated else index % every != 0
        before = one if index else Part()
        blocks.append(block(heads, mlp, one, before, sliding_window=window if slides else None))
    dense = linear("dense", size.hidden, size.hidden, config.flag("classifier_bias"))
    shape = Shape(blocks=blocks, final_norm_params=one.norm_params, norm="layernorm", outer=(dense,))
    shape.other_params = dense.num_params + 2 * one.norm_params
    shape.head_bias = config.flag("decoder_bias", default=True)
    return shape


def bert(config: ConfigReader) -> Shape:
    """BERT: an encoder. With a classifier on top when the config's architecture says so, else with its LM head."""
    size = Sizes(config)
    projections = attention(size, True, names=("query", "key", "value", "dense"))
    mlp = plain(size.hidden, size.intermediate, True, ("dense", "dense"))
    inside = norms(size.hidden, 2, "layernorm")
    blocks = [block(projections, mlp, inside) for _ in range(size.layers)]
    positions = config.size("max_position_embeddings") + config.size("type_vocab_size", default=2)
    shape = Shape(
        blocks=blocks,
        final_norm_params=2 * size.hidden,
        other_params=positions * size.hidden + size.hidden * size.hidden + size.hidden,
        outer=(linear("dense", size.hidden, size.hidden, True),),
        norm="layernorm",
        gated_mlp=False,
    )
    architecture = str(next(iter(config.items("architectures")), ""))
    if "Classification" in architecture:
        labels = len(config.section("id2label")) or config.size("num_labels", default=2)
        shape.outer += (linear("classifier", size.hidden, labels, True),)
        shape.other_params += (size.hidden + 1) * labels
        shape.tied = True
        shape.notes.append(tr("an encoder with a classifier on top, not a language model"))
    else:
        shape.other_params += 2 * size.hidden
        shape.head_bias = True
    return shape


CLASSIC: dict[str, Builder] = {
    "bert": bert,
    "biogpt": biogpt,
    "bloom": bloom,
    "codegen": codegen,
    "ctrl": ctrl,
    "falcon": falcon,
    "gpt-sw3": gpt2,
    "gpt2": having(head_uncast=True)(gpt2),
    "gpt_bigcode": gpt_bigcode,
    "gpt_neo": gpt_neo,
    "gpt_neox": gpt_neox,
    "gpt_neox_japanese": gpt_neox_japanese,
    "gptj": gptj,
    "modernbert-decoder": modernbert_decoder,
    "mpt": mpt,
    "openai-gpt": openai_gpt,
    "opt": opt,
    "persimmon": persimmon,
    "xglm": xglm,
}
