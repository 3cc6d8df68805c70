"""An independent witness: the real transformers and peft modules, run on fake tensors under torch's memory tracker.

No weights, no GPU: a model of real width is built on the meta device, every tensor is replaced by a fake CPU tensor,
and one forward, backward and optimizer step are run. What it sees are tensor bytes, as `max_memory_allocated` does;
it does not see contexts, workspaces, the allocator's slack or GPU-only kernels. Private torch API: keep it in tests.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, PretrainedConfig, masking_utils

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}


class Seen(NamedTuple):
    """Bytes that the tracker saw."""

    weights: int
    trainable: int
    gradients: int
    optimizer: int
    buffers: int
    after_forward: int
    peak_forward_backward: int
    peak: int


class _NoHook:
    def remove(self) -> None:
        return None


class _Tracker(MemTracker):
    """MemTracker that accepts frozen parameters and keeps only totals (the stock one is quadratic in modules)."""

    def _track_module_params_and_buffers(self, module: nn.Module, install_grad_hooks: bool = True) -> Any:
        for parameter in module.parameters():
            if not parameter.requires_grad and self._param_to_grad_hook_handles.get(parameter) is None:
                self._param_to_grad_hook_handles[parameter] = (_NoHook(), _NoHook())
        return super()._track_module_params_and_buffers(module, install_grad_hooks)

    def _update_peak_stats(self, peak_state: Any) -> None:
        for device, snapshot in self._curr_mem_snap.items():
            if self._peak_mem.get(device, 0) < snapshot["Total"]:
                self._peak_mem[device] = snapshot["Total"]
                self._peak_mem_snap[device] = dict(snapshot)


def _fakeify(model: nn.Module) -> None:
    """Replace meta tensors by fake CPU tensors in place; tied parameters stay tied."""
    seen: dict[int, tuple[Any, Any]] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                if tensor is None:
                    continue
                if id(tensor) not in seen:
                    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
                    is_parameter = isinstance(tensor, nn.Parameter)
                    new = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
                    seen[id(tensor)] = (tensor, new)
                table[key] = seen[id(tensor)][1]


def build(
    config: PretrainedConfig,
    *,
    lora: LoraConfig | None = None,
    checkpointing: bool = False,
    weights: str = "bf16",
    attention: str = "sdpa",
    adapters: str = "fp32",
) -> nn.Module:
    """The real modules on the meta device."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[weights], attn_implementation=attention)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        if lora is not None:
            model = get_peft_model(model, lora, autocast_adapter_dtype=adapters == "fp32")
            if checkpointing:
                model.enable_input_require_grads()
    return model


def run(
    model: nn.Module,
    batch: int,
    length: int,
    *,
    autocast: bool = False,
    loss: Callable[[nn.Module, torch.Tensor], torch.Tensor] | None = None,
    foreach: bool = False,
) -> Seen:
    """One forward, backward and AdamW step on fake tensors."""
    with _unpadded(), FakeTensorMode(allow_non_fake_inputs=True):
        _fakeify(model)
        model.train()
        trainable = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=not foreach, foreach=foreach)
        tokens = torch.randint(0, 100, (batch, length))
        tracker = _Tracker()
        tracker.track_external(model, optimizer, tokens)
        with tracker:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                if loss is None:
                    value = model(input_ids=tokens, labels=tokens, use_cache=False).loss
                else:
                    value = loss(model, tokens)
            after_forward = _total(tracker.get_tracker_snapshot("current"))
            value.backward()
            after_backward = tracker.get_tracker_snapshot("current")
            peak_backward = _total(tracker.get_tracker_snapshot("peak"))
            optimizer.step()
            after_step = tracker.get_tracker_snapshot("current")
        peak = _total(tracker.get_tracker_snapshot("peak"))
    return Seen(
        weights=_kind(after_step, "Parameter"),
        trainable=sum(p.numel() for p in trainable),
        gradients=_kind(after_backward, "Gradient"),
        optimizer=_kind(after_step, "Optstate"),
        buffers=_kind(after_step, "Buffer"),
        after_forward=after_forward,
        peak_forward_backward=peak_backward,
        peak=peak,
    )


class _Requests(TorchDispatchMode):
    """Notes each storage as it comes and goes: (number, bytes), and (number, 0) when it is freed."""

    def __init__(self, standing: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.noted: list[tuple[int, int]] = []
        self._numbers: dict[int, int] = {}
        self._watched: dict[int, Any] = {}
        for tensor in standing:
            self._note(tensor)

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._numbers:
            return
        number = self._numbers[key] = len(self.noted)
        self.noted.append((number, storage.nbytes()))

        def freed(_: Any) -> None:
            del self._numbers[key], self._watched[number]
            self.noted.append((number, 0))

        self._watched[number] = weakref.ref(storage, freed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf)
        return out


def requests(model: nn.Module, batch: int, length: int, steps: int = 2) -> list[tuple[int, int]]:
    """All that these training steps ask an allocator for, in order: (number, bytes), bytes 0 where it is freed."""
    with _unpadded(), FakeTensorMode(allow_non_fake_inputs=True):
        _fakeify(model)
        model.train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
        seen = _Requests([*model.parameters(), *model.buffers()])
        with seen:
            for _ in range(steps):
                tokens = torch.zeros((batch, length), dtype=torch.int64)
                model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
                del tokens
                optimizer.step()
                optimizer.zero_grad()
        return list(seen.noted)


@contextmanager
def _unpadded() -> Iterator[None]:
    """Rows without padding, whose mask is None: what a look at the values of fake tensors cannot tell."""
    found = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda positions: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = found


def _total(snapshot: dict[Any, dict[str, int]]) -> int:
    return sum(values["Total"] for values in snapshot.values())


def _kind(snapshot: dict[Any, dict[Any, int]], kind: str) -> int:
    return sum(
        amount
        for values in snapshot.values()
        for key, amount in values.items()
        if str(key).endswith(kind) or key == kind
    )
