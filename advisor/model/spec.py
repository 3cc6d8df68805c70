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
NativeQuant = Literal["none", "mxfp4", "fp8", "int8", "int4", "nf4", "nvfp4", "gguf"]

Use = Literal[
    "causal",
    "image_text",
    "multimodal",
    "seq2seq",
    "speech",
    "encoder",
    "other",
    "own_code",
    "unknown_mixture",
    "unknown_shape",
    "unknown",
]
"""What a checkpoint is made for. `own_code`: the family comes with program code of its own; `unknown`: transformers
does not have it; `unknown_mixture`, `unknown_shape`: it has, and how its experts or its blocks are shaped is not
known here."""


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
    unpacked: bool = False
    """Kept in 16 bits by a checkpoint whose other matrices are quantised."""

    @property
    def num_params(self) -> int:
        """Weights and biases of all copies."""
        return self.copies * (self.in_features * self.out_features + (self.out_features if self.bias else 0))


class DeltaRule(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a gated delta rule mixer."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    """Width of one head."""


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
    delta: DeltaRule | None = None
    qk_norm_params: int = 0
    """The part of norm_params that norms queries and keys."""

    @property
    def num_params(self) -> int:
        """Parameters of one block of the group."""
        return sum(linear.num_params for linear in self.linears) + self.norm_params + self.other_params


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """How transformers' code of a family computes, and how peft handles it: what the sizes do not show.

    Each family states its own in `advisor/model/families/`; nobody else asks for a model_type.
    """

    float_norm: bool = False
    """RMSNorm multiplies by its weight in fp32, so that an fp32 copy of the stream stays for the backward pass."""
    eager_layernorm: bool = False
    """LayerNorm written out in several operations, each with a result of its own."""
    partly_rotated: bool = False
    """Rotary positions on a part of each head: queries and keys are reassembled."""
    eager_gelu: bool = False
    """The published configs use gelu_new, written out in several operations."""
    xielu: bool = False
    """The activation is xIELU, which is written out in several operations where its own wheel is not installed."""
    liger_layers: bool = False
    """Liger replaces the norms and the feed-forward part of its blocks."""
    head_uncast: bool = False
    """The (older) code computes the loss on logits of the compute dtype."""
    module_paths: Literal["other", "usual", "plain"] = "other"
    """usual: model.layers.N.self_attn and .mlp hold the linears; plain: and there is nothing but Llama's tensors."""
    experts_were: Literal["mixtral", "qwen2_moe"] | None = None
    """How the experts were named before they became 3-D parameters: peft still takes these names (see params.py)."""
    no_sdpa: bool = False
    """transformers' class refuses PyTorch's fused attention (advisor/model/kernels.py)."""
    no_flash2: bool = False
    """As above, FlashAttention 2."""
    no_out_proj: bool = False
    """peft refuses LoRA on out_proj and conv1d (tuners_utils.py), "all-linear" included."""


class Tower(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a multimodal model beside its language model: a tower for images or sound, or its projector."""

    path: str
    """Where its modules lie in the whole model: "model.vision_tower"."""
    params: int
    linear_params: int
    """Those of them that are weights of nn.Linear: loading in 4 bits would quantise these, were they not skipped."""


class Eyes(msgspec.Struct, frozen=True, kw_only=True):
    """The vision tower of a model that is trained on pictures here. Sizes that its config does not tell are 0."""

    model_type: str
    """That of the whole checkpoint."""
    tower: str | None
    """That of the tower, where the config names one."""
    hidden_size: int
    intermediate_size: int
    patch_size: int
    image_size: int
    merge: int
    """Side of the square of patches that becomes one token."""
    pixel_values: int
    """Numbers of one patch as the processor gives them."""
    alive: tuple[int, int]
    """Values that a patch holds at once: hidden widths in attention, inner widths in the feed-forward part."""


class TrainedAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA adapter that a run is to go on from."""

    path: str
    """Its folder."""
    base: str
    """The base model that it names, as its configuration or the plan of its run has it."""
    rank: int
    alpha: int
    targets: tuple[str, ...]
    """Suffixes of module names."""


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
    traits: Traits = Traits()
    torch_dtype: str = "bfloat16"
    native_quant: NativeQuant = "none"
    encoder_decoder: bool = False
    use: Use = "causal"
    """What the checkpoint is made for; the trainer loads causal language models."""
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
    towers: tuple[Tower, ...] = ()
    """The parts for images and sound: text does not reach them, and they are not trained by it."""
    eyes: Eyes | None = None
    """How it looks at pictures; None for a model without eyes, or of a family that is not trained on them here."""
    weight_file_bytes: int | None = None
    """Exact size of the stored weights when a local copy was read."""
    adapter: TrainedAdapter | None = None
    """The adapter that was named instead of the model, to go on from; None: the model itself was named."""

    @property
    def num_params(self) -> int:
        """All parameters, towers too, tied ones once (as `sum(p.numel() for p in model.parameters())`)."""
        return self.language_params + self.tower_params

    @property
    def language_params(self) -> int:
        """The parameters of the language model and its output layer."""
        blocks = sum(group.count * group.num_params for group in self.layers)
        return blocks + self.embedding_params + self.head_params + self.final_norm_params + self.other_params

    @property
    def tower_params(self) -> int:
        """The parameters of the parts for images and sound."""
        return sum(tower.params for tower in self.towers)

    @property
    def active_params(self) -> int:
        """Parameters that one token of text passes through: of the routed experts only those chosen, no tower."""
        idle = sum(
            group.count * linear.num_params * (group.num_experts - group.experts_per_token) // group.num_experts
            for group in self.layers
            for linear in group.linears
            if linear.role == "expert" and group.num_experts
        )
        return self.language_params - idle

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
