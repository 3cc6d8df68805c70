"""Merge a run's adapter into its base.

    python -m trainers.merging.merge RUN_DIR [--out DIR] [--dtype bf16] [--no-check]

Always on the CPU and in fp32, cast at the end; a base that was 4-bit in training is dequantised first, because the
adapter has learnt to make up for exactly those rounded weights. Weight by weight where the adapter allows it (memory
then holds one weight), else through peft with the whole model. Then the same prompts go through adapter and merged
model, and the gap is printed and written into run.json: a merge that changes the answers is not handed over.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.errors import NotMergeable, PlanRefused
from trainers.foreign.records import printable
from trainers.handover.merged import Gap, Merged
from trainers.language import tr
from trainers.merging.lora_delta import LoraDelta, packed_modules
from trainers.merging.names import loaded_names, stored_experts
from trainers.merging.tensor_files import INDEX_FILE, Slot, TensorFolder, TensorWriter
from trainers.method import METHODS
from trainers.methods import backend
from trainers.methods.models import load_config
from trainers.methods.processor import copy_processor
from trainers.plan import Dtype, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import require_space
from trainers.run_folder.failures import explained
from trainers.run_folder.record import read_record
from trainers.training import quiet
from trainers.writing import open_as_usual, write_atomically

if TYPE_CHECKING:
    import torch

LARGEST_KL = 0.05
"""Nats. Rounding to bf16 costs about 0.01, a wrong base 0.2 and more (measured on SmolLM2-135M)."""
PROMPTS = (
    "What is the capital of France?",
    "Write a short thank-you note to a colleague.",
    "Explain in one sentence why the sky is blue.",
    "List three uses of a paper clip.",
    "def fibonacci(n):",
    "Translate to German: good morning",
)
_SAFETENSORS_NAME = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def merge_run(run_dir: Path, *, out: Path | None = None, dtype: Dtype | None = None, check: bool = True) -> Merged:
    """Write the merged model of a finished run; `dtype` None keeps that of the base's files.

    Raises NotMergeable for a method without a merged form, PlanRefused when the run has no adapter or `out` holds
    something else than its last merge, DiskFull when there is no room, and NotMergeable when the merged model answers
    differently (the files are then removed).
    """
    plan = on_cpu(load_plan(run_dir / layout.PLAN))
    adapter, target = run_dir / layout.RESULT, out or run_dir / layout.MERGED
    _require_mergeable(plan, adapter)
    _require_own(target, run_dir)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        how = _write(plan, adapter, partial, dtype)
        gap = compare(plan, adapter, partial, _prompts(run_dir)) if check else None
        if gap is not None and gap.kl > LARGEST_KL:
            raise NotMergeable(
                tr("the merged model answers differently from the adapter: {describe}", describe=describe(gap)),
                why=tr("the base is not the one that was trained on, or the merge was computed wrongly"),
                fix=tr("serve the adapter itself, and report this with run.json"),
            )
        _put_in_place(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    result = Merged(folder=target, how=how, gap=gap)
    _record(run_dir, result)
    return result


def _put_in_place(partial: Path, target: Path) -> None:
    """Two renames and nothing slow between them: at every moment the old or the new folder is whole."""
    previous = target.with_name(f".{target.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if target.exists():
        target.rename(previous)
    partial.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


def describe(gap: Gap) -> str:
    """The gap as a sentence."""
    return (
        f"KL {gap.kl:.1e} nats, largest logit difference {gap.max_logit_difference:.3g}, "
        f"same most likely token at {gap.equal_top_tokens:.1%} of positions ({gap.prompts} prompts)"
    )


def on_cpu(plan: TrainingPlan) -> TrainingPlan:
    """The plan as it is merged and compared: one process on the CPU, computing in fp32."""
    changes: dict[str, Any] = {
        "accelerator": "cpu",
        "compute_dtype": "fp32",
        "weights_dtype": "fp32",
        "num_gpus": 1,
        "num_nodes": 1,
        "sharding": "none",
        "device_uuids": (),
        "attention": "sdpa",
        "micro_batch_size": plan.global_batch_size // plan.gradient_accumulation_steps,
    }
    return msgspec.structs.replace(plan, **changes)


def compare(plan: TrainingPlan, adapter: Path, merged: Path, prompts: list[str]) -> Gap:
    """Logits of adapter and merged model on the same prompts. One after the other, so that only one is in memory."""
    from transformers import AutoTokenizer

    from trainers.methods.towers import auto_class

    tokenizer = AutoTokenizer.from_pretrained(str(adapter))
    rows = [_rendered(tokenizer, prompt) for prompt in prompts]
    model = backend(plan.method).attach(plan, adapter)
    expected = _all_logits(model, rows)
    del model
    gc.collect()
    model = auto_class(load_config(plan)).from_pretrained(str(merged), dtype="float32")
    return _gap(expected, _all_logits(model, rows), len(rows))


def _require_mergeable(plan: TrainingPlan, adapter: Path) -> None:
    reason = METHODS[plan.method].unmergeable
    if reason:
        raise NotMergeable(
            tr("method {method} has nothing to merge", method=plan.method),
            why=reason,
            fix=tr("serve {adapter} as it is", adapter=adapter),
        )
    if not (adapter / "adapter_model.safetensors").is_file():
        raise PlanRefused(
            tr("{adapter} holds no adapter", adapter=adapter),
            why=tr("the run has not finished"),
            fix=tr("`sft-advisor runs resume {parent}` first", parent=adapter.parent),
        )


def _require_own(target: Path, run_dir: Path) -> None:
    """The merged model takes the place of what is in the folder: that may only be an earlier one of this run."""
    last = (read_record(run_dir / layout.RUN).get("merge") or {}).get("folder")
    own = {(run_dir / layout.MERGED).resolve(), *([Path(last).resolve()] if last else [])}
    if target.exists() and target.resolve() not in own and not (target.is_dir() and not any(target.iterdir())):
        raise PlanRefused(
            tr("{target} holds something else already", target=target),
            why=tr("the merged model would take its place"),
            fix=tr("name a folder that does not exist, such as {target}", target=target / run_dir.resolve().name),
        )


def _write(plan: TrainingPlan, adapter: Path, target: Path, dtype: Dtype | None) -> str:
    from trainers.methods.towers import skeleton

    folder = _base_folder(plan)
    obstacle = "the base has no safetensors files"
    if folder is not None:
        with TensorFolder(folder) as base:
            bare = skeleton(load_config(plan))
            is_packed = plan.quantization != "none"
            delta = LoraDelta(
                adapter,
                base,
                known_as=loaded_names(bare, base),
                packed=packed_modules(bare) if is_packed else frozenset(),
                packed_experts=stored_experts(bare, base) if is_packed else frozenset(),
                tied=bool(bare.config.tie_word_embeddings),
            )
            obstacle = delta.obstacle or ""
            if not obstacle:
                _stream(delta, base, target, dtype)
                _write_config(plan, target, dtype)
    if obstacle:
        _write_whole(plan, adapter, target, dtype)
    _copy_tokenizer(adapter, target)
    copy_processor(plan, target)
    open_as_usual(target)
    return f"through the whole model ({obstacle})" if obstacle else "weight by weight"


def _stream(delta: LoraDelta, base: TensorFolder, target: Path, dtype: Dtype | None) -> None:
    """One output file for each file of the base, with the same tensors in it."""
    slots: dict[str, dict[str, Slot]] = {}
    for name in base:
        slots.setdefault(base.file_of[name], {})[name] = _slot(base, name, dtype)
    total = sum(slot.bytes for file in slots.values() for slot in file.values())
    require_space(target, total, tr("the merged model"))
    for file, inside in slots.items():
        with TensorWriter(target / file, inside) as writer:
            for name, slot in inside.items():
                writer.write(name, delta.merged(name).to(_torch_dtype(slot.dtype)))
    if len(slots) > 1:
        content = {"metadata": {"total_size": total}, "weight_map": dict(base.file_of)}
        write_atomically(target / INDEX_FILE, json.dumps(content, indent=2).encode())


def _slot(base: TensorFolder, name: str, dtype: Dtype | None) -> Slot:
    stored = base.dtype(name)
    shape = base.shape(name)
    wanted = _SAFETENSORS_NAME[dtype] if dtype and stored in _FLOATS else stored
    elements = 1
    for size in shape:
        elements *= size
    return Slot(wanted, shape, elements * _torch_dtype(wanted).itemsize)


def _torch_dtype(name: str) -> torch.dtype:
    import torch

    known = {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
        "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    }  # fmt: skip
    if name not in known:
        raise NotMergeable(
            tr("the base holds {name} tensors", name=name), fix=tr("take the unquantised version of the base model")
        )
    return known[name]


def _write_config(plan: TrainingPlan, target: Path, dtype: Dtype | None) -> None:
    from transformers import GenerationConfig

    from trainers.methods.models import torch_dtype

    config = load_config(plan)
    if dtype is not None:
        config.dtype = torch_dtype(dtype)
    config.save_pretrained(str(target))
    try:
        GenerationConfig.from_pretrained(plan.model.name, revision=plan.model.revision).save_pretrained(str(target))
    except OSError:
        return  # the base ships none; transformers then derives it from the config


def _write_whole(plan: TrainingPlan, adapter: Path, target: Path, dtype: Dtype | None) -> None:
    """The whole model through peft: for adapters and bases that cannot be taken weight by weight."""
    from trainers.methods.models import torch_dtype

    method = backend(plan.method)
    base = method.load(plan)
    if plan.quantization != "none":
        base = base.dequantize()
    model = method.merge(base, adapter)
    stored = load_config(plan).dtype
    model.to(torch_dtype(dtype) if dtype else stored or torch_dtype("bf16"))
    model.config.use_cache = True
    require_space(target, sum(p.numel() * p.element_size() for p in model.parameters()), tr("the merged model"))
    model.save_pretrained(str(target))


def _copy_tokenizer(adapter: Path, target: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(adapter)).save_pretrained(str(target))


def _base_folder(plan: TrainingPlan) -> Path | None:
    """The folder with the base's safetensors files, in the hub cache or on disk; None when it has none."""
    from transformers.utils import cached_file

    if plan.model.gguf_file:
        return None
    for name in (INDEX_FILE, "model.safetensors"):
        found = cached_file(
            plan.model.name, name, revision=plan.model.revision, _raise_exceptions_for_missing_entries=False
        )
        if found:
            return Path(found).parent
    return None


def _prompts(run_dir: Path) -> list[str]:
    """The run's own samples, which show what was learnt, and a few general ones."""
    try:
        samples = json.loads((run_dir / layout.SAMPLES).read_bytes())
    except (OSError, ValueError):
        samples = []
    entries = samples if isinstance(samples, list) else samples.get("samples", [])
    own = [str(entry["prompt"]) for entry in entries if isinstance(entry, dict) and entry.get("prompt")]
    return [*own[:14], *PROMPTS]


def _rendered(tokenizer: Any, prompt: str) -> list[int]:
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    return list(tokenizer(prompt)["input_ids"])


def _all_logits(model: Any, rows: list[list[int]]) -> list[torch.Tensor]:
    import torch

    model.eval()
    with torch.inference_mode():
        return [model(input_ids=torch.tensor([row]), use_cache=False).logits[0].float() for row in rows]


def _gap(expected: list[torch.Tensor], found: list[torch.Tensor], prompts: int) -> Gap:
    import torch

    before, after = torch.cat(expected), torch.cat(found)
    width = min(before.shape[-1], after.shape[-1])
    before, after = before[:, :width], after[:, :width]
    first, second = before.log_softmax(-1), after.log_softmax(-1)
    return Gap(
        max_logit_difference=(before - after).abs().max().item(),
        kl=(first.exp() * (first - second)).sum(-1).mean().item(),
        equal_top_tokens=(before.argmax(-1) == after.argmax(-1)).float().mean().item(),
        prompts=prompts,
    )


def _record(run_dir: Path, result: Merged) -> None:
    record = read_record(run_dir / layout.RUN)
    gap = msgspec.to_builtins(result.gap) if result.gap else None
    record["merge"] = {"folder": str(result.folder.resolve()), "how": result.how, "gap": gap}
    write_atomically(run_dir / layout.RUN, json.dumps(record, indent=2).encode())


def main(arguments: list[str] | None = None) -> int:
    """The command. Return an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.merging.merge", description="Merge an adapter into its base."
    )
    parser.add_argument("run_dir", type=Path, help="folder of a finished run")
    parser.add_argument("--out", type=Path, help="where to write the model (RUN_DIR/merged)")
    parser.add_argument("--dtype", choices=tuple(_SAFETENSORS_NAME), help="dtype to write (that of the base)")
    parser.add_argument("--no-check", action="store_true", help="do not compare logits of adapter and merged model")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(arguments)

    def merge() -> None:
        quiet.libraries()
        done = merge_run(options.run_dir, out=options.out, dtype=options.dtype, check=not options.no_check)
        if options.json:
            print(printable(done))
            return
        print(tr("merged {how} into {folder}", how=done.how, folder=done.folder))
        print(
            tr("adapter and merged model: {describe}", describe=describe(done.gap))
            if done.gap
            else tr("logits were not compared")
        )

    return explained(merge)


if __name__ == "__main__":
    sys.exit(main())
