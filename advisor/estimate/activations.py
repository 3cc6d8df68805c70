"""Activations of one block, by architecture, kernels and what trains.

The rules are those of autograd: an operation keeps what its backward needs. Checked to the byte against fake-tensor
runs of transformers' own modules (tests/estimate/test_oracle.py); kernels that exist only on a GPU (flash attention,
fused norms, Triton heads) follow their sources.
"""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate.delta_rule import chunked_delta_rule
from advisor.estimate.dims import Dims, Feed
from advisor.estimate.forms import costs_of, trains_norms
from advisor.estimate.tape import Kept, Tape
from advisor.model.spec import DeltaRule, Linear

FP32 = 4
MASK_BYTE = 1
"""A dropout mask holds one byte for each value on a GPU."""


class Switches(NamedTuple):
    """Everything besides the shape that decides what a block keeps."""

    compute: int
    """Bytes of the dtype of matrix products."""
    stream: int
    """Bytes of the residual stream (4 when embeddings or norms are fp32 under autocast)."""
    autocast: bool
    base_trains: bool
    lora_targets: frozenset[str] | None
    """Names with an adapter; None: no adapters."""
    all_linear: bool = False
    expert_targets: frozenset[str] = frozenset()
    rank: int = 0
    expert_rank: int = 0
    adapter: int = 4
    """Bytes of the adapters' dtype."""
    dropout: bool = False
    dora: bool = False
    attention: str = "sdpa"
    expand_kv: bool = False
    norm_kernel: str = "eager"
    mlp_kernel: str = "eager"
    lora_kernel: str = "eager"
    recompute_output: bool = False
    float_norm: bool = False
    """Norms keep the normalised value in fp32 when their weight trains (Gemma, OLMo 2)."""
    expert_loop: bool = False
    """Experts run one after the other, so that only one of them has gradients at a time."""
    lora_keeps_output: bool = False
    """LoRA inside a fused projection keeps the update of queries and values."""
    copies_attention: bool = False
    """Partly rotated queries are reassembled in a layout that makes the output projection copy its input."""
    fused_qkv: bool = False
    """Values are a view of the whole query-key-value projection."""
    eager_layernorm: bool = False
    """LayerNorm written out in fp32 (Cohere)."""
    eager_gelu: bool = False
    """GELU written out operation by operation (gelu_new): three more tensors."""
    xielu: bool = False
    """xIELU written out operation by operation."""
    keeps_inputs: bool = False
    """Products with a frozen quantised weight keep their input, as an attribute that backward does not free; experts,
    whose inputs are gathered, do not (exact bytes of the Mixtral runs)."""
    bottleneck: int = 0
    form: str = "lora"
    """The form of the adapters."""

    def rank_of(self, linear: Linear) -> int:
        """The rank of the adapter on this linear."""
        return self.expert_rank if linear.fused else self.rank

    def adapts(self, linear: Linear) -> bool:
        """Whether LoRA adapts this linear."""
        if self.lora_targets is None:
            return False
        if linear.fused:
            return linear.name in self.expert_targets
        return self.all_linear or linear.name in self.lora_targets


def block_kept(dims: Dims, on: Switches, keys: int) -> Kept:
    """Bytes for each token that one block keeps, and its worst moment; `keys` matters to eager attention only.

    Not counted: the block's own input when it is a checkpoint, and casts of weights (see `weight_copies`).
    """
    kept = block_tape(dims, on, keys).close()
    return kept._replace(worst=kept.worst + on.stream * dims.hidden) if on.recompute_output else kept


def block_tape(dims: Dims, on: Switches, keys: int) -> Tape:
    """The operations of one block in forward order."""
    tape = Tape()
    grad = on.stream * dims.hidden
    _norm(tape, "n1", dims, on, grad)
    if dims.attended:
        _attention(tape, dims, on, grad, min(keys, dims.window) if dims.window else keys)
    if dims.delta is not None:
        _delta_mixer(tape, dims, dims.delta, on, grad)
    for linear in dims.mixer_inputs if dims.delta is None else ():
        inner = on.compute * linear.out_features
        tape.note({f"{linear.name}.out": inner, f"{linear.name}.scan": inner}, grad + 2 * inner)
    if dims.norms >= 3:
        _norm(tape, "n1b", dims, on, grad)
    if not dims.parallel or dims.norms == 2:
        _norm(tape, "n2", dims, on, grad, source="n1" if dims.parallel else "n2")
    for index, feed in enumerate(dims.feeds):
        _feed(tape, f"f{index}", feed, dims, on, grad)
    if on.bottleneck:
        inner = on.compute * on.bottleneck
        for place in ("a", "b"):
            tape.note(
                {f"{place}.in": on.compute * dims.hidden, f"{place}.down": inner, f"{place}.act": inner}, 2 * grad
            )
    if dims.norms >= 4:
        _norm(tape, "n2b", dims, on, grad)
    return tape


def _norm(tape: Tape, name: str, dims: Dims, on: Switches, grad: int, source: str = "") -> None:
    """`source`: the norm whose input this one shares (two norms side by side in a parallel block)."""
    hidden = dims.hidden
    trains = on.base_trains or trains_norms(on.form)
    entry = f"{source or name}.x"
    if dims.layernorm and on.eager_layernorm:
        kept = {entry: FP32 * hidden, f"{name}.centred": FP32 * hidden, f"{name}.stats": 2 * FP32}
        if trains:
            kept[f"{name}.hat"] = FP32 * hidden
    elif dims.layernorm:
        kept = {entry: (FP32 if on.autocast else on.stream) * hidden, f"{name}.stats": 2 * FP32}
    elif on.norm_kernel == "fused":
        kept = {entry: on.stream * hidden, f"{name}.stats": FP32}
    else:
        kept = {entry: FP32 * hidden, f"{name}.stats": FP32}
        if trains:
            kept[f"{name}.hat"] = (FP32 if on.float_norm else on.stream) * hidden
    tape.note(kept, grad + 2 * FP32 * hidden)
    _norm_passes(tape, name, dims, on)


def _norm_passes(tape: Tape, name: str, dims: Dims, on: Switches) -> None:
    """What a norm makes in passing: powers and the normalised value in fp32, its cast, then its output."""
    hidden = dims.hidden
    if on.norm_kernel != "fused" and not dims.layernorm:
        tape.pass_by(FP32 * hidden)
        tape.make("normalised", FP32 * hidden)
        tape.make("cast", on.stream * hidden)
        tape.make(f"{name}.out", on.stream * hidden)
        tape.drop("cast", "normalised")
    else:
        tape.make(f"{name}.out", on.stream * hidden)


def _linear(
    tape: Tape, linear: Linear, source: str, on: Switches, live: int, *, width: int, times: int = 1, output: str = ""
) -> None:
    """A linear whose input is the tensor `source`; `live` are the gradients alive, its input's own included."""
    saved: dict[str, int] = {}
    name = f"{source}>{linear.name}"
    extra = 0
    keeps = on.keeps_inputs and linear.role != "expert"
    if on.base_trains or keeps:
        recast = on.autocast and source.startswith("n") and on.stream != on.compute
        kept_input = f"{name}.cast" if recast else source
        saved[kept_input] = times * on.compute * width
        if keeps:
            tape.hold(kept_input)
    if on.adapts(linear):
        kept, extra = _adapter(linear, source, name, on, width, times)
        saved |= kept
    tape.note(saved, live + extra, linear.copies * linear.in_features * linear.out_features)
    if on.adapts(linear) and on.lora_kernel != "fused":
        made = times * linear.out_features
        update = (on.compute if on.autocast else on.adapter) * made
        tape.pass_by(on.compute * made, update, update)
    if output:
        tape.make(output, times * on.compute * linear.out_features)


def _adapter(
    linear: Linear, source: str, name: str, on: Switches, width: int, times: int
) -> tuple[dict[str, int], int]:
    """What an adapter keeps, and the gradients that its backward adds."""
    inner = on.compute if on.autocast else on.adapter
    costs = costs_of(on.form, linear)
    if costs is not None:
        own = costs.inputs * width + costs.outputs * linear.out_features + costs.rank * on.rank
        return {f"{name}.{on.form}": times * own}, times * (on.adapter + on.compute) * width
    if on.lora_kernel == "fused":
        return {source: times * on.compute * width}, times * on.compute * width
    widened = on.adapter != on.compute
    saved: dict[str, int] = {f"{name}.a": times * inner * on.rank_of(linear)}
    if on.dropout:
        saved[f"{name}.mask"] = times * MASK_BYTE * width
    if widened or on.dropout or (on.autocast and on.stream != on.compute and source.startswith("n")):
        saved[f"{name}.x"] = times * inner * width
    else:
        saved[source] = times * inner * width
    if on.dora:
        # the base's output and the update, both scaled by magnitudes that train
        saved[f"{name}.dora"] = times * (on.compute + inner) * linear.out_features
    lifted = (on.adapter + on.compute) * width if widened else on.compute * width
    if widened and not on.autocast:
        lifted += on.adapter * linear.out_features
    return saved, times * lifted


def _attention(tape: Tape, dims: Dims, on: Switches, grad: int, keys: int) -> None:
    b = on.compute
    normed = b * dims.hidden
    query, key, value, out = b * dims.query, b * dims.key, b * dims.value, b * dims.attended
    entering = query + key + value
    latent = 0
    for linear in dims.attention_inputs:
        if linear.in_features == dims.hidden:
            _linear(tape, linear, "n1", on, grad + entering + normed, width=dims.hidden, output=linear.name)
            latent += b * linear.out_features if dims.query != dims.attended and linear.name.endswith("mqa") else 0
        else:
            own = b * linear.in_features
            tape.note({f"{linear.name}.x": FP32 * linear.in_features + FP32}, grad + entering + own)
            _linear(tape, linear, f"{linear.name}.in", on, grad + entering + own, width=linear.in_features)
    if on.lora_keeps_output and any(map(on.adapts, dims.attention_inputs)):
        tape.note({"lora.out": query + value}, grad + entering)
    if dims.qk_norm:
        both = dims.query + dims.key
        kept = {"qk.x": FP32 * both, "qk.stats": FP32 * 2 * dims.heads}
        if on.base_trains or trains_norms(on.form):
            kept["qk.hat"] = (FP32 if on.float_norm else b) * both
        tape.note(kept, grad + entering + FP32 * both)
    tape.note({}, grad + 2 * entering)
    tape.pass_by(query, query, query)
    tape.drop("v_proj")
    if on.attention == "eager":
        _eager_attention(tape, dims, on, grad, keys)
    else:
        wide = on.attention == "sdpa" and on.expand_kv and dims.key < dims.query
        result = "attention.out" if on.copies_attention else "o.in"
        storage = dims.query + dims.key + dims.value if on.fused_qkv else dims.value_storage
        k_bytes, v_bytes = (b * dims.query, b * dims.attended) if wide else (key, b * storage)
        kept = {"q": query, "k": k_bytes, "v": v_bytes, result: out, "lse": FP32 * dims.heads}
        tape.note(kept, grad + out + query + k_bytes + v_bytes)
    tape.drop(*(linear.name for linear in dims.attention_inputs))
    if dims.attention_output is not None:
        _linear(tape, dims.attention_output, "o.in", on, grad + out, width=dims.attended, output="o.out")
    tape.drop("n1.out")
    tape.make("between", on.stream * dims.hidden)
    tape.drop("o.out")


def _eager_attention(tape: Tape, dims: Dims, on: Switches, grad: int, keys: int) -> None:
    """Scores of every head against every key, in fp32 and again in the compute dtype."""
    b = on.compute
    scores = dims.heads * keys
    spread = {"q": b * dims.query, "k": b * dims.query, "v": b * dims.attended, "o.in": b * dims.attended}
    soft = {"softmax": FP32 * scores} | ({"probs": b * scores} if b != FP32 else {})
    live = grad + b * (2 * dims.query + 2 * dims.attended)
    tape.note(spread, live + b * scores)
    tape.note(soft, live + 2 * FP32 * scores)


def _feed(tape: Tape, name: str, feed: Feed, dims: Dims, on: Switches, grad: int) -> None:
    b, times = on.compute, feed.times
    inner = times * b * feed.width
    moving = inner // feed.experts if feed.experts and on.expert_loop else inner
    normed = b * dims.hidden
    source = "n1" if dims.parallel and dims.norms != 2 else "n2"
    if feed.experts:
        tape.note({f"{name}.router": 2 * FP32 * dims.router_outputs}, grad)
        gathered = {f"{name}.in": times * normed} if on.base_trains or any(map(on.adapts, feed.inputs)) else {}
        if on.base_trains:
            gathered[source] = normed  # the router's input
        tape.note(gathered, grad + times * normed)
        source = f"{name}.in"
    wide = 3 if feed.gated else 2
    for linear in feed.inputs:
        live = grad + (wide - 1) * moving + times * normed
        _linear(tape, linear, source, on, live, width=dims.hidden, times=times)
    if on.mlp_kernel == "fused" and feed.gated:
        tape.note({f"{name}.gate": inner, f"{name}.up": inner}, grad + moving)
    else:
        tape.note({f"{name}.gate": inner} | _written_out(name, feed, on, inner), grad + wide * moving)
        if feed.gated:
            tape.note({f"{name}.act": inner, f"{name}.up": inner}, grad + wide * moving)
    tape.make(f"{name}.product", moving)
    result = "" if feed.experts else f"{name}.result"
    if feed.output is not None:
        _linear(tape, feed.output, f"{name}.product", on, grad + moving, width=feed.width, times=times, output=result)
    tape.drop(f"{name}.product")
    if feed.experts:
        tape.note({f"{name}.out": times * normed}, grad + 2 * times * normed)


def _written_out(name: str, feed: Feed, on: Switches, inner: int) -> dict[str, int]:
    """What an activation function that is several operations keeps beside its input."""
    if feed.gated:
        return {}
    if on.xielu:
        # the square's first factor, expm1 and the choice between the branches; its parameters' gradients one more
        return {f"{name}.xielu": (3 if on.base_trains else 2) * inner + feed.times * MASK_BYTE * feed.width}
    return {f"{name}.gelu": 3 * inner} if on.eager_gelu else {}


def _delta_mixer(tape: Tape, dims: Dims, delta: DeltaRule, on: Switches, grad: int) -> None:
    """A gated delta rule mixer in plain torch, as transformers runs it where flash-linear-attention is missing."""
    b, values = on.compute, delta.value_heads * delta.value_dim
    mixed = b * (2 * delta.key_heads * delta.key_dim + values)
    *inputs, output = dims.mixer_inputs
    for linear in inputs:
        _linear(tape, linear, "n1", on, grad + mixed + b * (values + dims.hidden), width=dims.hidden)
    tape.note({"conv.x": mixed, "conv.out": mixed}, grad + 2 * mixed)
    rule = chunked_delta_rule(delta)
    tape.note({"delta": FP32 * rule.kept}, grad + FP32 * rule.moving)
    gated = {"gated.x": FP32 * values, "gated.gate": 2 * FP32 * values, "gated.normed": b * values}
    if on.base_trains:
        gated["gated.hat"] = b * values
    tape.note(gated, grad + 3 * FP32 * values)
    _linear(tape, output, "mixer.out", on, grad + b * values, width=values)


def selectively_kept(dims: Dims, on: Switches) -> int:
    """Bytes for each token that selective checkpointing keeps of one block: its input, the attention output and the
    outputs of every second matrix product (those of query, value, gate and the last)."""
    products = dims.query + dims.value + dims.attended + dims.hidden
    products += sum(feed.times * feed.width for feed in dims.feeds)
    return on.stream * dims.hidden + on.compute * products + FP32 * dims.heads


def weight_copies(dims: Dims, on: Switches, master: int) -> int:
    """Bytes of the compute-dtype copies that autocast makes of one block's wider linears (0 when none are wider).

    Autograd keeps them from forward to backward; under checkpointing only those of the block at work exist.
    """
    if not on.autocast or master <= on.compute:
        return 0
    linears = [*dims.attention_inputs, *dims.mixer_inputs, *(ln for feed in dims.feeds for ln in feed.inputs)]
    linears += [ln for ln in (dims.attention_output, *(feed.output for feed in dims.feeds)) if ln is not None]
    return sum(ln.copies * ln.in_features * ln.out_features for ln in linears) * on.compute


def adapter_copies(dims: Dims, on: Switches) -> int:
    """The same for one block's adapters: their compute-dtype copies under autocast."""
    if not on.autocast or on.adapter <= on.compute or on.lora_targets is None:
        return 0
    linears = [*dims.attention_inputs, *dims.mixer_inputs, *(ln for feed in dims.feeds for ln in feed.inputs)]
    linears += [ln for ln in (dims.attention_output, *(feed.output for feed in dims.feeds)) if ln is not None]
    values = sum(ln.copies * on.rank_of(ln) * (ln.in_features + ln.out_features) for ln in linears if on.adapts(ln))
    return values * on.compute
