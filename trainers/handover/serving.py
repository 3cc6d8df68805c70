"""The exact commands that serve a result, for each engine, with its limits (vLLM 0.33, SGLang 0.5.23). No torch.

served = commands(plan, folder, base="org/model", name="support")
served["vllm"].command      what to paste, or None with the reason in `refused`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from trainers.foreign.files import json_object
from trainers.foreign.text import shell
from trainers.language import later, tr
from trainers.method import METHODS
from trainers.plan import Engine, TrainingPlan
from trainers.run_folder import layout

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of vLLM's --max-lora-rank. A larger one than needed only costs memory."""
LLAMA_CPP_PRECISION = "Q4_K_M"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve a result."""

    command: str | None
    """Lines to paste; None when this engine cannot serve it as it is."""
    refused: str = ""
    """Why it cannot; empty where it can."""
    notes: tuple[str, ...] = ()
    """What its user should know."""


def commands(plan: TrainingPlan, folder: Path, *, base: str, name: str) -> dict[Engine, Served]:
    """How to serve `folder`: an adapter over `base` when it holds one, a whole model otherwise."""
    if (folder / "adapter_config.json").is_file():
        return _of_adapter(plan, str(folder), base, name, folder)
    return _of_model(plan, str(folder), name)


def published(base: str) -> str:
    """How others read of the base: a hub id as it is, of a folder on this machine the last part only.

    The rest of a path tells who works here and on what.
    """
    path = Path(base).expanduser()
    return path.resolve().name if path.is_absolute() or path.exists() else base


def as_published(served: Mapping[Engine, Served], folder: Path, base: str) -> dict[Engine, Served]:
    """The same commands for whoever has `folder` in front of them: without a path of this machine."""

    def plain(text: str) -> str:
        return text.replace(str(folder), ".").replace(shell(base), shell(published(base)))

    return {
        engine: Served(
            command=None if how.command is None else plain(how.command),
            refused=plain(how.refused),
            notes=tuple(map(plain, how.notes)),
        )
        for engine, how in served.items()
    }


def planned_command(plan: TrainingPlan) -> str | None:
    """The command of the plan's engine before there is a run, on one line; RUN and NAME stand for what is open.

    None for an engine that needs none, or that cannot serve the result as it is.
    """
    engine = plan.delivery.engine
    if plan.delivery.artifact == "adapter":
        served = _of_adapter(plan, f"RUN/{layout.RESULT}", plan.model.name, "NAME", None)
        # Ollama loads adapters for few families; llama.cpp, which it is made of, for all of these
        engine = "llama_cpp" if engine == "ollama" else engine
    else:
        folder = layout.MERGED if plan.delivery.artifact == "merged_model" else layout.RESULT
        served = _of_model(plan, f"RUN/{folder}", "NAME")
    command = served[engine].command if engine in served and engine != "transformers" else None
    return command.replace("\n", " && ") if command else None


def _of_adapter(plan: TrainingPlan, place: str, base: str, name: str, saved: Path | None) -> dict[Engine, Served]:
    """`saved` is the folder to look into, where there is one already."""
    return {
        "vllm": _vllm_adapter(plan, place, base, name, saved),
        "sglang": _sglang_adapter(plan, place, base, name, saved),
        "llama_cpp": _llama_cpp_adapter(plan, place, base),
        "transformers": _transformers(plan),
    }


def _of_model(plan: TrainingPlan, place: str, name: str) -> dict[Engine, Served]:
    path, served_name = shell(place), shell(name)
    whole = shell(f"{name}-bf16.gguf")
    gguf, small = shell(f"{name}.gguf"), shell(f"{name}-{LLAMA_CPP_PRECISION}.gguf")
    quantized = f" --quantization {plan.delivery.quantization}" if plan.delivery.quantization == "fp8" else ""
    return {
        "vllm": Served(command=f"vllm serve {path} --served-model-name {served_name}{quantized}"),
        "sglang": Served(
            command=f"python -m sglang.launch_server --model-path {path} --served-model-name {served_name}{quantized}"
        ),
        "llama_cpp": Served(
            command=f"python convert_hf_to_gguf.py {path} --outtype bf16 --outfile {gguf}\n"
            f"llama-quantize {gguf} {small} {LLAMA_CPP_PRECISION}\n"
            f"llama-server --model {small} --jinja"
        ),
        "ollama": Served(
            # not `ollama create -q`: its older versions refuse bf16
            command=f"python convert_hf_to_gguf.py {path} --outtype bf16 --outfile {path}/{whole}\n"
            f"llama-quantize {path}/{whole} {path}/{gguf} {LLAMA_CPP_PRECISION}\n"
            f"ollama create {served_name} -f {path}/{layout.MODELFILE}\n"
            f"ollama run {served_name}"
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
    if not METHODS[plan.method].is_lora:
        return None
    file = folder / "adapter_config.json" if folder else None
    rank = (json_object(file) or {}).get("r") if file else None
    if isinstance(rank, int):
        return rank
    return plan.lora_rank * 2 if plan.lora_rank and plan.lora_init == "pissa" else plan.lora_rank


TWO_RANKS = later("it would scale experts of another rank wrongly, without an error")
"""vLLM and SGLang take one scale from alpha and r of the adapter; llama.cpp knows no rank patterns."""


def _has_two_ranks(plan: TrainingPlan) -> bool:
    return bool(plan.lora_expert_targets) and plan.lora_expert_rank not in (None, plan.lora_rank)


def vllm_refusals(plan: TrainingPlan, folder: Path | None = None) -> list[str]:
    """Why vLLM would not load this plan's adapter, saved in `folder`, each as a phrase; empty when it would."""
    rank = saved_rank(plan, folder)
    reasons = []
    if not METHODS[plan.method].is_lora:
        reasons.append(tr("it does not serve {title}", title=tr(METHODS[plan.method].title)))
    if plan.use_dora:
        reasons.append(tr("it does not load DoRA"))
    if plan.modules_to_save or plan.trainable_token_indices:
        reasons.append(tr("it does not load adapters that carry embeddings or a head"))
    if _has_two_ranks(plan):
        reasons.append(tr(TWO_RANKS))
    if rank and vllm_rank(rank) is None:
        reasons.append(tr("its ranks end at {most}, the adapter has {rank}", most=VLLM_RANKS[-1], rank=rank))
    return reasons


def _vllm_adapter(plan: TrainingPlan, place: str, base: str, name: str, saved: Path | None) -> Served:
    refusals = vllm_refusals(plan, saved)
    if refusals:
        return _merge_first("; ".join(refusals), plan)
    parts = ["vllm serve", shell(base), "--enable-lora", "--lora-modules", shell(f"{name}={place}")]
    parts += ["--max-lora-rank", str(vllm_rank(saved_rank(plan, saved) or 16))]
    parts += ["--max-loras", str(plan.delivery.max_loras)]
    if plan.delivery.max_cpu_loras > plan.delivery.max_loras:
        parts += ["--max-cpu-loras", str(plan.delivery.max_cpu_loras)]
    template = saved / "chat_template.jinja" if saved else None
    if template and template.is_file():
        parts += ["--chat-template", shell(str(template))]
    return Served(
        command=" ".join(parts), notes=(tr("ask for model {name!r}; the base answers under its own name", name=name),)
    )


def _sglang_adapter(plan: TrainingPlan, place: str, base: str, name: str, saved: Path | None) -> Served:
    refusals = (
        []
        if METHODS[plan.method].is_lora
        else [tr("it does not serve {title}", title=tr(METHODS[plan.method].title))]
    )
    refusals += [tr("it does not load DoRA")] if plan.use_dora else []
    # it always scales by alpha / rank, so an rsLoRA adapter would answer wrongly without an error
    refusals += [tr("it would scale an rsLoRA adapter wrongly, without an error")] if plan.use_rslora else []
    refusals += [tr(TWO_RANKS)] if _has_two_ranks(plan) else []
    if plan.modules_to_save or plan.trainable_token_indices:
        refusals.append(tr("it does not load added or trained tokens"))
    if refusals:
        return _merge_first("; ".join(refusals), plan)
    quoted = shell(f"{name}={place}")
    return Served(
        command=f"python -m sglang.launch_server --model-path {shell(base)} --lora-paths {quoted} "
        f"--max-lora-rank {saved_rank(plan, saved)} --max-loras-per-batch {plan.delivery.max_loras}"
    )


def _llama_cpp_adapter(plan: TrainingPlan, place: str, base: str) -> Served:
    if not METHODS[plan.method].is_lora:
        return _merge_first(tr("llama.cpp knows only LoRA adapters"), plan)
    if plan.modules_to_save or plan.trainable_token_indices or plan.use_dora:
        return _merge_first(tr("its converter stops at anything but plain LoRA matrices"), plan)
    if _has_two_ranks(plan):
        return _merge_first(tr(TWO_RANKS), plan)
    out = shell(f"{place}/adapter.gguf")
    # a hub id is looked up, and a path in its place is refused
    named = f"--base {shell(base)}" if Path(base).expanduser().is_dir() else f"--base-model-id {shell(base)}"
    return Served(
        command=f"python convert_lora_to_gguf.py {shell(place)} {named} "
        f"--outtype f16 --outfile {out}\nllama-server --model BASE.gguf --lora {out} --jinja",
        notes=(tr("BASE.gguf is the same base model"),),
    )


def _transformers(plan: TrainingPlan) -> Served:
    method = METHODS[plan.method]
    if not method.read_by_peft:
        return Served(
            command=None,
            refused=tr(
                "peft has no {title} of its own; load it with trainers.methods.{method}.attach(plan, folder)",
                title=tr(method.title),
                method=plan.method,
            ),
        )
    return Served(command=tr("see the code in README.md"))


def _merge_first(why: str, plan: TrainingPlan) -> Served:
    if METHODS[plan.method].is_lora:
        return Served(command=None, refused=tr("{why}; merge it first: sft-advisor runs merge RUN", why=why))
    cannot = tr("{why}, and {method} cannot be merged; serve it with transformers", why=why, method=plan.method)
    return Served(command=None, refused=cannot)
