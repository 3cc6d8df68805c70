"""Decoders of the Llama line: RMSNorm or LayerNorm, rotary positions, one feed-forward part in each block."""

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
    mla,
    norms,
    plain,
    qk_norm,
)
from advisor.model.config import ConfigReader
from advisor.model.families.traits import Builder, having, windowed
from advisor.model.spec import AttentionKind, Norm
from advisor.model.windows import sliding_windows


def decoder(
    size: Sizes,
    *parts: Part,
    norm: Norm = "rmsnorm",
    norms_per_block: int = 2,
    norm_bias: bool = True,
    attention_kind: AttentionKind = "full",
    final_norm: bool = True,
    **traits: bool | int | None,
) -> Shape:
    """A model whose blocks all have these parts, and differ in their attention window at most."""
    inside = norms(size.hidden, norms_per_block, norm, norm_bias)
    windows = sliding_windows(size.config, size.layers)
    blocks = [block(*parts, inside, attention=attention_kind, sliding_window=window) for window in windows]
    last = norms(size.hidden, 1, norm, norm_bias).norm_params if final_norm else 0
    return Shape(blocks=blocks, final_norm_params=last, norm=norm, **traits)  # type: ignore[arg-type]


def llama(config: ConfigReader) -> Shape:
    """Llama, Mistral, Granite, SmolLM3 and most others: what attention_bias and mlp_bias say."""
    size = Sizes(config)
    bias = config.flag("attention_bias")
    return decoder(size, attention(size, bias=bias), gated(size.hidden, size.intermediate, config.flag("mlp_bias")))


OTHER_WIDTHS = ("n_inner", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "d_ff", "dim_ff", "d_inner")
"""Names of the feed-forward width in families without intermediate_size."""


def guessed(config: ConfigReader) -> Shape:
    """A family that is not known, read as a Llama."""
    size = Sizes(config)
    width = config.size("intermediate_size", *OTHER_WIDTHS, "moe_intermediate_size", default=4 * size.hidden)
    return decoder(size, attention(size), gated(size.hidden, width))


def no_bias(config: ConfigReader) -> Shape:
    """Mistral and others whose projections never have a bias."""
    size = Sizes(config)
    return decoder(size, attention(size), gated(size.hidden, size.intermediate))


def ernie(config: ConfigReader) -> Shape:
    """ERNIE 4.5: one switch for all biases."""
    size = Sizes(config)
    bias = config.flag("use_bias")
    return decoder(size, attention(size, bias), gated(size.hidden, size.intermediate, bias))


def cwm(config: ConfigReader) -> Shape:
    """CWM: biases in the feed-forward part only."""
    size = Sizes(config)
    return decoder(size, attention(size), gated(size.hidden, size.intermediate, config.flag("mlp_bias")))


@windowed(on_request=True, from_block=True)
def qwen2(config: ConfigReader) -> Shape:
    """Biases on query, key and value only."""
    size = Sizes(config)
    return decoder(size, attention(size, bias=True, out_bias=False), gated(size.hidden, size.intermediate))


@windowed(on_request=True, from_block=True)
def qwen3(config: ConfigReader) -> Shape:
    """A norm on each query and key head."""
    size = Sizes(config)
    projections = attention(size, bias=config.flag("attention_bias"))
    return decoder(size, projections, qk_norm(size), gated(size.hidden, size.intermediate), qk_norm=True)


@windowed(on_request=True)
def seed_oss(config: ConfigReader) -> Shape:
    """The output projection's bias is a switch of its own."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"), config.flag("attention_out_bias"))
    return decoder(size, projections, gated(size.hidden, size.intermediate, config.flag("mlp_bias")))


def helium(config: ConfigReader) -> Shape:
    """Helium: the output projection is square, whatever the heads add up to, and has no bias."""
    size = Sizes(config)
    q, k, v, _ = attention(size, config.flag("attention_bias")).linears
    out = linear("o_proj", size.hidden, size.hidden, role="attention")
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    return decoder(size, Part((q, k, v, out)), mlp)


@having(partly_rotated=True)
def glm(config: ConfigReader) -> Shape:
    """GLM-4: gate and up in one matrix; the 0414 release has four norms in a block."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"), out_bias=False)
    count = 4 if config.model_type in ("glm4", "glm4v_text") else 2
    return decoder(size, projections, gated_fused(size.hidden, size.intermediate), norms_per_block=count)


@having(partly_rotated=True)
def phi3(config: ConfigReader) -> Shape:
    """Fused query-key-value and gate-up matrices."""
    size = Sizes(config)
    projections = fused_attention(size, "qkv_proj", "o_proj")
    return decoder(size, projections, gated_fused(size.hidden, size.intermediate))


def olmo(config: ConfigReader) -> Shape:
    """OLMo 1: norms without parameters."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"))
    mlp = gated(size.hidden, size.intermediate)
    return decoder(size, projections, mlp, norm="layernorm", norms_per_block=0, final_norm=False)


def olmo2(config: ConfigReader) -> Shape:
    """OLMo 2 and 3: norms on whole queries and keys."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size, per_head=False)
    return decoder(size, projections, gated(size.hidden, size.intermediate), qk_norm=True)


@having(eager_layernorm=True)
def cohere(config: ConfigReader) -> Shape:
    """Attention and feed-forward side by side under one norm without bias."""
    size = Sizes(config)
    normed = config.flag("use_qk_norm")
    heads = Part(norm_params=(size.heads + size.kv_heads) * size.head_dim) if normed else Part()
    projections = attention(size, config.flag("attention_bias")) + heads
    return decoder(
        size,
        projections,
        gated(size.hidden, size.intermediate),
        norm="layernorm",
        norms_per_block=1,
        norm_bias=False,
        parallel_block=True,
        qk_norm=normed,
    )


@having(partly_rotated=True)
def phi(config: ConfigReader) -> Shape:
    """Phi 1 and 2: attention and a plain feed-forward part side by side; biases everywhere, the head too."""
    size = Sizes(config)
    projections = attention(size, True, names=("q_proj", "k_proj", "v_proj", "dense"))
    normed = config.flag("qk_layernorm")
    heads = Part(norm_params=4 * size.head_dim) if normed else Part()
    mlp = plain(size.hidden, size.intermediate, True, ("fc1", "fc2"))
    return decoder(
        size,
        projections + heads,
        mlp,
        norm="layernorm",
        norms_per_block=1,
        gated_mlp=False,
        parallel_block=True,
        qk_norm=normed,
        head_bias=True,
    )


@having(partly_rotated=True)
def stablelm(config: ConfigReader) -> Shape:
    """StableLM 2: LayerNorm; the 12B has a norm for each head and a parallel block."""
    size = Sizes(config)
    normed, parallel = config.flag("qk_layernorm"), config.flag("use_parallel_residual")
    width = size.split_head_dim
    heads = Part(norm_params=(size.heads + size.kv_heads) * width) if normed else Part()
    projections = attention(size, config.flag("use_qkv_bias"), out_bias=False, head_dim=width) + heads
    return decoder(
        size,
        projections,
        gated(size.hidden, size.intermediate),
        norm="layernorm",
        norms_per_block=1 if parallel else 2,
        parallel_block=parallel,
        qk_norm=normed,
    )


def starcoder2(config: ConfigReader) -> Shape:
    """Plain feed-forward part, LayerNorm, biases by switch."""
    size = Sizes(config)
    bias = config.flag("use_bias", default=True)
    mlp = plain(size.hidden, size.intermediate, bias, ("c_fc", "c_proj"))
    return decoder(size, attention(size, bias), mlp, norm="layernorm", gated_mlp=False)


@having(partly_rotated=True)
def nemotron(config: ConfigReader) -> Shape:
    """Plain feed-forward part with squared ReLU; LayerNorm."""
    size = Sizes(config)
    bias = config.flag("attention_bias")
    mlp = plain(size.hidden, size.intermediate, config.flag("mlp_bias"))
    return decoder(size, attention(size, bias), mlp, norm="layernorm", gated_mlp=False)


def plain_rms(config: ConfigReader) -> Shape:
    """Arcee: Llama without a gate."""
    size = Sizes(config)
    mlp = plain(size.hidden, size.intermediate, config.flag("mlp_bias"))
    return decoder(size, attention(size, config.flag("attention_bias")), mlp, gated_mlp=False)


def apertus(config: ConfigReader) -> Shape:
    """Plain feed-forward part whose activation has two parameters; norms on query and key heads."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    mlp = plain(size.hidden, size.intermediate) + Part(other_params=2)
    return decoder(size, projections, mlp, gated_mlp=False, qk_norm=True)


def nanochat(config: ConfigReader) -> Shape:
    """Norms without parameters; plain feed-forward part."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias"))
    mlp = plain(size.hidden, size.intermediate, names=("fc1", "fc2"))
    return decoder(size, projections, mlp, norms_per_block=0, final_norm=False, gated_mlp=False)


def bitnet(config: ConfigReader) -> Shape:
    """Norms inside attention and feed-forward part."""
    size = Sizes(config)
    inner = Part(norm_params=size.hidden + size.intermediate)
    projections = attention(size, config.flag("attention_bias"))
    return decoder(size, projections, gated(size.hidden, size.intermediate), inner)


def diffllama(config: ConfigReader) -> Shape:
    """Differential attention: four vectors of lambda in each block."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + Part(other_params=4 * size.head_dim)
    return decoder(size, projections, gated(size.hidden, size.intermediate))


def hyperclovax(config: ConfigReader) -> Shape:
    """Llama, with a norm after each half when use_post_norm is on."""
    size = Sizes(config)
    count = 4 if config.flag("use_post_norm") else 2
    projections = attention(size, config.flag("attention_bias"))
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    return decoder(size, projections, mlp, norms_per_block=count)


def jais2(config: ConfigReader) -> Shape:
    """LayerNorm, a plain feed-forward part and biases."""
    size = Sizes(config)
    bias = config.flag("attention_bias", default=True)
    mlp = plain(size.hidden, size.intermediate, config.flag("mlp_bias", default=True))
    return decoder(size, attention(size, bias), mlp, norm="layernorm", gated_mlp=False)


def minicpm3(config: ConfigReader) -> Shape:
    """Latent attention with a dense feed-forward part."""
    size = Sizes(config)
    projections = mla(size, config.flag("attention_bias"))
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    return decoder(size, projections, mlp, attention_kind="mla")


def ministral(config: ConfigReader) -> Shape:
    """Mistral with its window in layer_types."""
    return no_bias(config)


def internlm3(config: ConfigReader) -> Shape:
    """Llama with the bias of query, key and value as a switch of its own."""
    size = Sizes(config)
    bias = config.flag("bias")
    projections = attention(size, config.flag("qkv_bias"), out_bias=bias)
    return decoder(size, projections, gated(size.hidden, size.intermediate, bias))


def hunyuan(config: ConfigReader) -> Shape:
    """Llama with norms on query and key heads."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + qk_norm(size)
    return decoder(size, projections, gated(size.hidden, size.intermediate), qk_norm=True)


def granite_swa(config: ConfigReader) -> Shape:
    """Granite with attention sinks."""
    size = Sizes(config)
    projections = attention(size, config.flag("attention_bias")) + Part(other_params=size.heads)
    return decoder(size, projections, gated(size.hidden, size.intermediate, config.flag("mlp_bias")))


def doge(config: ConfigReader) -> Shape:
    """Dynamic mask attention."""
    size = Sizes(config)
    heads = size.kv_heads
    mask = Part(
        (linear("dt_proj", heads * size.head_dim, heads, config.flag("attention_bias"), "attention"),),
        norm_params=2 * size.head_dim,
        other_params=heads + 2 * size.hidden,
    )
    projections = attention(size, config.flag("attention_bias")) + mask
    mlp = gated(size.hidden, size.intermediate, config.flag("mlp_bias"))
    shape = decoder(size, projections, mlp, qk_norm=True)
    shape.exact = not config.flag("is_moe")
    return shape


DENSE: dict[str, Builder] = {
    "apertus": apertus,
    "arcee": plain_rms,
    "bitnet": bitnet,
    "cohere": cohere,
    "cohere2": windowed(full_every=4)(cohere),
    "cwm": cwm,
    "diffllama": diffllama,
    "doge": doge,
    "emu3_text_model": llama,
    "ernie4_5": ernie,
    "exaone4": windowed(full_every=4)(qwen3),
    "gemma": llama,
    "glm": glm,
    "glm4": glm,
    "glm4v_text": glm,
    "granite": llama,
    "granite_swa": granite_swa,
    "helium": helium,
    "hunyuan_v1_dense": hunyuan,
    "hyperclovax": hyperclovax,
    "internlm3": internlm3,
    "iquestcoder": llama,
    "jais2": jais2,
    "llama": llama,
    "minicpm3": windowed(on_request=True)(minicpm3),
    "ministral": ministral,
    "ministral3": no_bias,
    "mistral": no_bias,
    "nanochat": nanochat,
    "nemotron": nemotron,
    "olmo": olmo,
    "olmo2": olmo2,
    "olmo3": windowed(full_every=4)(olmo2),
    "phi": phi,
    "phi3": phi3,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "seed_oss": seed_oss,
    "smollm3": windowed(on_request=True)(llama),
    "stablelm": stablelm,
    "starcoder2": starcoder2,
    "youtu": minicpm3,
}
