"""ModelSpec: the shape of a causal language model, from its config.json alone, without torch.

Field names are those of a Hugging Face config. The layers are stored as groups of identical blocks, each with the
linears it really has; every count (parameters, LoRA parameters, NF4 bytes) is computed from them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["attention", "mlp", "expert", "shared_expert", "router", "mixer"]
Norm = Literal["rmsnorm", "layernorm"]
AttentionKind = Literal["full", "sliding", "mla", "linear"]
NativeQuant = Literal["none", "mxfp4", "fp8", "int8", "int4", "nf4", "gguf"]


class Linear(msgspec.Struct, frozen=True, kw_only=True):
    """One weight matrix of a block; `copies` > 1 for experts."""

    name: str
    """Module name suffix as peft matches it: "q_proj", "c_attn", "down_proj"."""
    in_features: int
    out_features: int
    bias: bool = False
    role: Role = "mlp"
    copies: int = 1
    fused: bool = False
    """A bare parameter (3-D experts, most routers) rather than nn.Linear modules: bitsandbytes does not quantise
    it on load, "all-linear" passes it by, LoRA needs peft's target_parameters."""

    @property
    def num_params(self) -> int:
        """Weights and biases of all copies."""
        return self.copies * (self.in_features * self.out_features + (self.out_features if self.bias else 0))


class LayerGroup(msgspec.Struct, frozen=True, kw_only=True):
    """`count` identical blocks."""

    count: int
    linears: tuple[Linear, ...]
    norm_params: int = 0
    other_params: int = 0
    """Everything else that trains: sinks, gates, convolutions, state-space parameters, router biases."""
    attention: AttentionKind = "full"
    sliding_window: int | None = None
    num_experts: int = 0
    experts_per_token: int = 0

    @property
    def num_params(self) -> int:
        """Parameters of one block of the group."""
        return sum(linear.num_params for linear in self.linears) + self.norm_params + self.other_params


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A model's shape. `known` is False when the family is not known and the shape is a fallback."""

    name: str
    source: Literal["catalog", "folder", "gguf", "hub"]
    path: str | None = None
    """What the trainer loads: the local folder, or the hub id."""
    gguf_file: str | None = None
    model_type: str
    known: bool = True
    notes: tuple[str, ...] = ()

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int | None = None
    sliding_window: int | None = None
    norm: Norm = "rmsnorm"
    gated_mlp: bool = True
    parallel_block: bool = False
    qk_norm: bool = False
    torch_dtype: str = "bfloat16"
    native_quant: NativeQuant = "none"
    encoder_decoder: bool = False
    has_chat_template: bool | None = None
    tokenizer_path: str | None = None
    """A local tokenizer.json, when there is one."""

    layers: tuple[LayerGroup, ...]
    embedding_params: int
    head_params: int = 0
    """Zero when tied to the embedding."""
    final_norm_params: int = 0
    other_params: int = 0
    """Position embeddings, projections outside the blocks."""
    outer_linears: tuple[Linear, ...] = ()
    """The nn.Linear modules outside the blocks (never the head), whose parameters `other_params` counts: LoRA on
    "all-linear" adapts them and 4-bit loading quantises them."""
    weight_file_bytes: int | None = None
    """Exact size of the stored weights when a local copy was read."""

    @property
    def num_params(self) -> int:
        """All parameters, tied ones once (as `sum(p.numel() for p in model.parameters())`)."""
        blocks = sum(group.count * group.num_params for group in self.layers)
        return blocks + self.embedding_params + self.head_params + self.final_norm_params + self.other_params

    @property
    def active_params(self) -> int:
        """Parameters that one token meets: of the routed experts only those chosen."""
        idle = sum(
            group.count * linear.num_params * (group.num_experts - group.experts_per_token) // group.num_experts
            for group in self.layers
            for linear in group.linears
            if linear.role == "expert" and group.num_experts
        )
        return self.num_params - idle

    @property
    def is_moe(self) -> bool:
        """Whether any block routes tokens to experts."""
        return any(group.num_experts for group in self.layers)

    @property
    def experts_fused(self) -> bool:
        """Whether transformers stores the experts as 3-D parameters."""
        return any(ln.fused and ln.role == "expert" for group in self.layers for ln in group.linears)

    @property
    def linear_params(self) -> int:
        """Weights (no biases) of every linear inside the blocks, experts included."""
        return sum(
            group.count * linear.copies * linear.in_features * linear.out_features
            for group in self.layers
            for linear in group.linears
        )
