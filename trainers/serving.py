"""The exact commands that serve a result, for each engine, with its limits (vLLM 0.33, SGLang 0.5.23). No torch.

served = commands(plan, folder, base="org/model", name="support")
served["vllm"].command      what to paste, or None with the reason in `refused`
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import msgspec

from trainers.plan import Engine, TrainingPlan

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's --max-lora-rank. A larger one than needed only costs memory."""
LLAMA_CPP_PRECISION = "Q4_K_M"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve a result."""

    command: str | None
    """Lines to paste; None when this engine cannot serve it as it is."""
    refused: str = ""
    notes: tuple[str, ...] = ()


def commands(plan: TrainingPlan, folder: Path, *, base: str, name: str) -> dict[Engine, Served]:
    """How to serve `folder`: an adapter over `base` when it holds one, a whole model otherwise."""
    if (folder / "adapter_config.json").is_file():
        return {
            "vllm": _vllm_adapter(plan, folder, base, name),
            "sglang": _sglang_adapter(plan, folder, base, name),
            "llama_cpp": _llama_cpp_adapter(plan, folder, base),
            "transformers": _transformers(plan),
        }
    path = shlex.quote(str(folder))
    gguf = shlex.quote(f"{name}.gguf")
    small = shlex.quote(f"{name}-{LLAMA_CPP_PRECISION}.gguf")
    return {
        "vllm": Served(command=f"vllm serve {path} --served-model-name {shlex.quote(name)}"),
        "sglang": Served(
            command=f"python -m sglang.launch_server --model-path {path} --served-model-name {shlex.quote(name)}"
        ),
        "llama_cpp": Served(
            command=f"python convert_hf_to_gguf.py {path} --outtype bf16 --outfile {gguf}\n"
            f"llama-quantize {gguf} {small} {LLAMA_CPP_PRECISION}\n"
            f"llama-server --model {small} --jinja"
        ),
        "ollama": Served(
            command=f"python convert_hf_to_gguf.py {path} --outtype bf16 --outfile {path}/{gguf}\n"
            f"ollama create {shlex.quote(name)} -q q4_K_M -f {path}/Modelfile\n"
            f"ollama run {shlex.quote(name)}"
        ),
        "transformers": _transformers(plan),
    }


def vllm_rank(rank: int) -> int | None:
    """The smallest --max-lora-rank that takes this rank; None when there is none."""
    return next((limit for limit in VLLM_RANKS if limit >= rank), None)


def saved_rank(plan: TrainingPlan, folder: Path | None = None) -> int | None:
    """The rank in the adapter's files, or that they will have as long as there are none; None without a rank.

    PiSSA trains by the rank of the plan and is saved with twice as much: as the difference to where it started.
    """
    if plan.method not in ("lora", "qlora"):
        return None
    file = folder / "adapter_config.json" if folder else None
    rank = json.loads(file.read_bytes()).get("r") if file and file.is_file() else None
    if isinstance(rank, int):
        return rank
    return plan.lora_rank * 2 if plan.lora_rank and plan.lora_init == "pissa" else plan.lora_rank


def vllm_refusals(plan: TrainingPlan, folder: Path | None = None) -> list[str]:
    """Why vLLM would not load this plan's adapter, saved in `folder`, each as a phrase; empty when it would."""
    rank = saved_rank(plan, folder)
    found = []
    if plan.method in ("prefix", "adapter"):
        found.append(f"it serves no {plan.method} tuning")
    if plan.use_dora:
        found.append("it takes no DoRA")
    if plan.modules_to_save or plan.trainable_token_indices:
        found.append("it takes no adapter that carries embeddings or a head")
    if rank and vllm_rank(rank) is None:
        found.append(f"its ranks end at {VLLM_RANKS[-1]}, the adapter has {rank}")
    return found


def _vllm_adapter(plan: TrainingPlan, folder: Path, base: str, name: str) -> Served:
    refusals = vllm_refusals(plan, folder)
    if refusals:
        return _merge_first("; ".join(refusals), plan)
    parts = ["vllm serve", shlex.quote(base), "--enable-lora", "--lora-modules", shlex.quote(f"{name}={folder}")]
    parts += ["--max-lora-rank", str(vllm_rank(saved_rank(plan, folder) or 16)), "--max-loras", "1"]
    template = folder / "chat_template.jinja"
    if template.is_file():
        parts += ["--chat-template", shlex.quote(str(template))]
    return Served(command=" ".join(parts), notes=(f"ask for model {name!r}; the base answers under its own name",))


def _sglang_adapter(plan: TrainingPlan, folder: Path, base: str, name: str) -> Served:
    refusals = ["it serves no prefix or bottleneck adapters"] if plan.method in ("prefix", "adapter") else []
    refusals += ["it takes no DoRA"] if plan.use_dora else []
    # it always scales by alpha / rank, so an rsLoRA adapter would answer wrongly without an error
    refusals += ["it would scale an rsLoRA adapter wrongly, without an error"] if plan.use_rslora else []
    refusals += (
        ["it takes no added or trained tokens"] if plan.modules_to_save or plan.trainable_token_indices else []
    )
    if refusals:
        return _merge_first("; ".join(refusals), plan)
    quoted = shlex.quote(f"{name}={folder}")
    return Served(
        command=f"python -m sglang.launch_server --model-path {shlex.quote(base)} --lora-paths {quoted} "
        f"--max-lora-rank {saved_rank(plan, folder)} --max-loras-per-batch 1"
    )


def _llama_cpp_adapter(plan: TrainingPlan, folder: Path, base: str) -> Served:
    if plan.method in ("prefix", "adapter"):
        return _merge_first("llama.cpp knows only LoRA adapters", plan)
    if plan.modules_to_save or plan.trainable_token_indices or plan.use_dora:
        return _merge_first("its converter stops at anything but plain LoRA matrices", plan)
    out = shlex.quote(f"{folder}/adapter.gguf")
    return Served(
        command=f"python convert_lora_to_gguf.py {shlex.quote(str(folder))} --base-model-id {shlex.quote(base)} "
        f"--outtype f16 --outfile {out}\nllama-server --model BASE.gguf --lora {out} --jinja",
        notes=("BASE.gguf is the same base model; `--base DIR` instead of --base-model-id reads a local folder",),
    )


def _transformers(plan: TrainingPlan) -> Served:
    if plan.method == "adapter":
        return Served(
            command=None,
            refused="peft has no bottleneck adapters of its own; load it with trainers.adapter.attach(plan, folder)",
        )
    return Served(command="see the code in README.md")


def _merge_first(why: str, plan: TrainingPlan) -> Served:
    if plan.method in ("lora", "qlora"):
        return Served(command=None, refused=f"{why}; merge it first: sft-advisor merge RUN")
    return Served(command=None, refused=f"{why}, and {plan.method} cannot be merged; serve it with transformers")
