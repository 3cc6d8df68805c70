"""The vocabulary: every fact a rule may name, with its type, unit and meaning.

The table is declared to CEL, so a misspelt fact or a comparison of text with a number is refused when a rule is
loaded. A fact that is not known is left out of the evaluation: never zero, never false. The same dotted path names
the thing as a flag (`--task-count`), in an answers file (`[task] count`) and in a rule (`task.count`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

FactType = Literal["int", "double", "bool", "string", "list"]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the vocabulary."""

    path: str
    type: FactType
    meaning: str
    unit: str = ""
    choices: tuple[str, ...] = ()


def _fact(path: str, type: FactType, meaning: str, unit: str = "", choices: tuple[str, ...] = ()) -> Fact:
    return Fact(path=path, type=type, meaning=meaning, unit=unit, choices=choices)


DATA_KINDS = ("chat", "instruct", "classification", "code", "math", "long_cot", "facts", "raw_text")
PRIORITIES = ("quality", "iteration", "cost")
SHIFTS = ("small", "medium", "large")
FEEDBACK = ("none", "pairs", "ratings", "checker", "teacher")
ENGINES = ("vllm", "sglang", "llama_cpp", "ollama", "transformers", "other")
WEIGHT_FORMATS = ("16bit", "fp8", "4bit", "gguf")
SERVED_FORMATS = ("none", "fp8", "Q4_K_M", "F16")
ARTIFACTS = ("merged", "adapters", "any")
DELIVERED = ("full_model", "merged_model", "adapter")
ACCELERATORS = ("cuda", "rocm", "xpu", "mps", "cpu")
METHODS = ("full", "lora", "qlora", "prefix", "adapter")

FACTS: tuple[Fact, ...] = (
    # the machine
    _fact("machine.accelerator", "string", "what computes", choices=ACCELERATORS),
    _fact("machine.nodes", "int", "machines that work together"),
    _fact(
        "machine.class",
        "string",
        "the guide's three hardware classes",
        choices=("limited", "medium", "ample"),
    ),
    _fact("gpu.count", "int", "usable GPUs over all nodes (0 on a CPU)"),
    _fact("gpu.name", "string", "name of the smallest GPU used"),
    _fact("gpu.memory_bytes", "int", "usable memory of the smallest GPU used, when empty", "bytes"),
    _fact("gpu.free_bytes", "int", "free memory of the smallest GPU used, now", "bytes"),
    _fact("gpu.sm", "int", "compute capability as two digits, 8.9 -> 89"),
    _fact("gpu.link", "string", "weakest link between two GPUs", choices=("nvlink", "p2p", "pcie", "unknown")),
    _fact("gpu.unified", "bool", "GPU and CPU share one memory"),
    _fact("gpu.vgpu", "bool", "a virtual GPU profile"),
    _fact("gpu.display", "bool", "a display is attached to the GPU"),
    _fact("host.ram_bytes", "int", "RAM available to this process, cgroup limits applied", "bytes"),
    _fact("host.disk_free_bytes", "int", "free disk at the output folder", "bytes"),
    _fact("host.cpu_cores", "int", "CPU cores this process may use"),
    _fact("host.cpu_bf16", "bool", "the CPU multiplies bf16 in hardware"),
    _fact("env.flash_attention", "bool", "flash-attention is installed and supports the GPU"),
    _fact("env.bitsandbytes", "bool", "bitsandbytes supports this accelerator"),
    _fact("env.liger", "bool", "Liger kernels are installed"),
    # the model
    _fact("model.name", "string", "what the trainer loads: hub id or folder"),
    _fact("model.family", "string", "model_type of its config.json"),
    _fact("model.params", "int", "parameters, tied ones once"),
    _fact("model.active_params", "int", "parameters that one token passes through"),
    _fact("model.hidden_size", "int", "width of the residual stream"),
    _fact("model.vocab_size", "int", "rows of the embedding"),
    _fact("model.max_position_embeddings", "int", "longest sequence it was built for", "tokens"),
    _fact("model.is_moe", "bool", "a mixture of experts"),
    _fact("model.experts_fused", "bool", "experts are stored as 3-D parameters"),
    _fact("model.active_experts", "int", "experts that one token meets"),
    _fact(
        "model.native_quant",
        "string",
        "how the published weights are quantised",
        choices=("none", "mxfp4", "fp8", "int8", "int4", "nf4", "nvfp4", "gguf"),
    ),
    _fact("model.sdpa", "bool", "transformers' class of it takes PyTorch's fused attention"),
    _fact("model.flash2", "bool", "transformers' class of it takes FlashAttention 2"),
    _fact("model.packs_apart", "bool", "its family was seen to train packed rows apart without FlashAttention"),
    _fact("model.reads_images", "bool", "it reads images, and its family was seen to learn from them here"),
    _fact("model.merged_bytes", "int", "size of one merged model in the delivered number format", "bytes"),
    _fact("model.adapter_params_per_rank", "int", "LoRA parameters per unit of rank, every block linear"),
    _fact("model.expert_params_per_rank", "int", "of these, the parameters on experts held as 3-D parameters"),
    _fact(
        "model.held_params_per_rank", "int", "parameters per unit of rank that data can fill: experts by their rank"
    ),
    _fact("model.held_params_per_rank_in_4_bits", "int", "the same for QLoRA, where 3-D experts stay frozen"),
    _fact("model.lora_targets", "list", "block linears that take an adapter, as peft names them"),
    _fact("model.adapter", "string", "folder of the LoRA adapter that was named instead of the model, to go on from"),
    _fact("model.adapter_rank", "int", "its rank"),
    _fact("model.adapter_alpha", "int", "its alpha"),
    _fact("model.adapter_targets", "list", "the layers that it adapts"),
    _fact("model.stage", "string", "base or already instruction-tuned", choices=("base", "instruct")),
    _fact("model.known", "bool", "the family's shape is known exactly"),
    _fact("model.encoder_decoder", "bool", "an encoder-decoder such as T5"),
    # the data
    _fact("data.kind", "string", "what the examples are", choices=DATA_KINDS),
    _fact("data.examples", "int", "usable training examples"),
    _fact("data.total_tokens", "int", "tokens of all examples", "tokens"),
    _fact("data.completion_tokens", "int", "tokens of the answers, those that train", "tokens"),
    _fact("data.completion_ratio", "double", "share of tokens that belong to answers"),
    _fact("data.len_mean", "double", "mean length of an example", "tokens"),
    _fact("data.len_p95", "int", "95th percentile of the length", "tokens"),
    _fact("data.len_p99", "int", "99th percentile of the length", "tokens"),
    _fact("data.len_max", "int", "longest example", "tokens"),
    _fact("data.picture_rows", "int", "examples that bring pictures"),
    _fact("data.multi_turn_share", "double", "share of examples with more than one answer"),
    _fact("data.new_tokens", "int", "tokens to be added to the vocabulary"),
    _fact("data.new_language", "bool", "a language or script that the base model hardly knows"),
    _fact("data.has_facts_that_change", "bool", "the answers hold facts that go out of date"),
    _fact("data.has_eval", "bool", "a held-out evaluation set exists"),
    # the task
    _fact("task.count", "int", "tasks or tenants, each with behaviour of its own"),
    _fact("task.switch_per_request", "bool", "the server must switch between them from request to request"),
    _fact("task.priority", "string", "what matters most", choices=PRIORITIES),
    _fact("task.shift", "string", "how far from what the base model knows", choices=SHIFTS),
    _fact("task.retention_critical", "bool", "general ability must be kept"),
    _fact("task.retention_failed", "bool", "an earlier tune lost too much general ability"),
    _fact("task.prompting_tried", "bool", "prompting was measured first"),
    _fact("task.feedback", "string", "what tells good answers from bad ones", choices=FEEDBACK),
    # deployment and storage
    _fact("deploy.engine", "string", "what will serve the model", choices=ENGINES),
    _fact("deploy.commercial", "bool", "the result is meant to earn money"),
    _fact("deploy.latency_critical", "bool", "the lowest latency is required"),
    _fact("deploy.artifact", "string", "merged model, separate adapters, or any", choices=ARTIFACTS),
    _fact("deploy.weights", "string", "number format that is served", choices=WEIGHT_FORMATS),
    _fact("storage.budget_bytes", "int", "space for all delivered variants together", "bytes"),
    _fact("storage.variants", "int", "variants that are kept"),
    # wishes
    _fact("wish.method", "string", "a method the user asks for", choices=METHODS),
    _fact("wish.max_seq_len", "int", "a sequence length the user asks for", "tokens"),
    _fact("wish.variant", "string", "a LoRA variant", choices=("dora", "rslora", "pissa", "loftq", "loraplus")),
    _fact("wish.neftune", "bool", "noisy embeddings asked for"),
    # how the methods compare, by the best variant of each
    _fact("fits.full", "bool", "full fine-tuning fits the memory in some variant"),
    _fact("fits.lora", "bool", "LoRA fits the memory in some variant"),
    _fact("fits.lora_offloaded", "bool", "LoRA fits only with its weights in host memory"),
    _fact("fits.qlora", "bool", "QLoRA fits the memory in some variant"),
    _fact("usable.full", "bool", "full fine-tuning fits and no rule forbids it"),
    _fact("usable.lora", "bool", "LoRA fits and no rule forbids it"),
    _fact("usable.qlora", "bool", "QLoRA fits and no rule forbids it"),
    _fact("seconds.full", "double", "predicted duration of full fine-tuning", "seconds"),
    _fact("seconds.lora", "double", "predicted duration of LoRA", "seconds"),
    _fact("seconds.qlora", "double", "predicted duration of QLoRA", "seconds"),
    # what a race on this machine, with this model and these data, has shown; absent where it could not be told
    _fact("trial.method", "string", "method whose loss was lower than that of every other raced", choices=METHODS),
    _fact("trial.method_gain", "double", "by how much lower than the next method, nats per token"),
    _fact("trial.rate_method", "string", "method whose learning rate was raced", choices=METHODS),
    _fact("trial.learning_rate", "double", "rate whose loss was lower than that of the rate advised"),
    _fact("trial.rate_gain", "double", "by how much lower, nats per token"),
    _fact("trial.count", "int", "trials of that race"),
    # what should be known of inputs from elsewhere; absent when nothing was found
    _fact("trust.own_code", "string", "program code that the model would have imported"),
    _fact("trust.pickles", "string", "files that run code when they are loaded"),
    _fact("trust.programs", "string", "scripts and libraries among the files"),
    _fact("trust.template_reach", "string", "what a chat template reaches for beside the conversation"),
    _fact("trust.hidden_text", "string", "characters that are obeyed or not seen"),
    _fact("trust.private_paths", "string", "paths of somebody's machine"),
    _fact("trust.leads_out", "string", "links and names that leave the folder"),
    _fact("trust.licence_limits", "string", "licence that keeps some use back"),
    _fact("trust.damaged", "string", "what cannot be read"),
    _fact("trust.odd_tokens", "string", "special tokens that look like text"),
    _fact("trust.sends_to", "string", "trackers that a plan reports to"),
    _fact("trust.serve_command", "string", "a command to serve that does more"),
    _fact("trust.unsealed", "string", "checkpoints without a seal"),
    _fact("trust.contradicts", "string", "figures of a profile that no such machine has"),
    _fact("trust.differs", "string", "files that are not those that the hub publishes"),
    _fact("trust.silences", "string", "rules of the book that others take the place of"),
    _fact("trust.secrets", "string", "keys and tokens in plain text"),
    # the plan being judged
    _fact("plan.method", "string", "its method", choices=METHODS),
    _fact("plan.quantization", "string", "storage of the frozen base", choices=("none", "nf4")),
    _fact("plan.compute_dtype", "string", "dtype of matrix products", choices=("bf16", "fp16", "fp32")),
    _fact("plan.weights_dtype", "string", "dtype of unquantised weights", choices=("bf16", "fp16", "fp32")),
    _fact("plan.lora_rank", "int", "rank r"),
    _fact("plan.lora_alpha", "int", "alpha; the update is scaled by alpha / r"),
    _fact("plan.lora_dropout", "double", "dropout before A"),
    _fact("plan.lora_targets", "list", "module names that get adapters"),
    _fact("plan.lora_expert_targets", "list", "3-D expert parameters that get adapters"),
    _fact("plan.lora_expert_rank", "int", "rank on 3-D expert parameters, where it is not lora_rank"),
    _fact("plan.start_adapter", "string", "folder of the adapter that the run goes on from"),
    _fact("plan.lora_init", "string", "initialisation", choices=("default", "pissa", "loftq")),
    _fact("plan.use_rslora", "bool", "scale by alpha / sqrt(r)"),
    _fact("plan.use_dora", "bool", "magnitude vectors too"),
    _fact("plan.loraplus_lr_ratio", "double", "learning rate of B over that of A"),
    _fact("plan.modules_to_save", "list", "modules trained in full beside the adapter"),
    _fact("plan.num_virtual_tokens", "int", "length of the prefix"),
    _fact("plan.adapter_bottleneck", "int", "width of a bottleneck adapter"),
    _fact("plan.optimizer", "string", "optimizer name"),
    _fact("plan.optimizer_in_backward", "bool", "optimizer step fused into backward"),
    _fact("plan.learning_rate", "double", "peak learning rate"),
    _fact("plan.lr_scheduler", "string", "schedule"),
    _fact("plan.min_lr_ratio", "double", "final over peak learning rate"),
    _fact("plan.warmup_steps", "int", "warm-up", "steps"),
    _fact("plan.weight_decay", "double", "weight decay"),
    _fact("plan.max_grad_norm", "double", "clipping threshold"),
    _fact("plan.neftune_noise_alpha", "double", "NEFTune noise"),
    _fact("plan.micro_batch_size", "int", "sequences per GPU and forward"),
    _fact("plan.gradient_accumulation_steps", "int", "forwards per optimizer step"),
    _fact("plan.global_batch_size", "int", "sequences per optimizer step over all GPUs"),
    _fact("plan.eval_micro_batch_size", "int", "sequences per GPU in evaluation"),
    _fact("plan.max_seq_len", "int", "longest sequence", "tokens"),
    _fact("plan.packing", "bool", "several examples in one row"),
    _fact("plan.length_grouping", "bool", "batches of similar lengths"),
    _fact("plan.reads_images", "bool", "the pictures of the data are read; the vision tower stays loaded, frozen"),
    _fact("plan.max_pixels", "int", "most pixels of a picture", "pixels"),
    _fact("plan.loss_on", "string", "which tokens train", choices=("assistant", "completion", "all")),
    _fact("plan.num_epochs", "double", "passes over the data"),
    _fact("plan.num_steps", "int", "optimizer steps of the whole run"),
    _fact("plan.gradient_checkpointing", "bool", "activations are recomputed"),
    _fact("plan.activation_offload", "bool", "activations wait in host memory"),
    _fact("plan.attention", "string", "attention kernel", choices=("eager", "sdpa", "flash2")),
    _fact("plan.loss_kernel", "string", "loss kernel", choices=("full", "chunked", "liger")),
    _fact("plan.accelerator", "string", "device type", choices=ACCELERATORS),
    _fact("plan.num_gpus", "int", "processes over all nodes"),
    _fact("plan.num_nodes", "int", "nodes"),
    _fact("plan.sharding", "string", "how GPUs share", choices=("none", "ddp", "fsdp", "zero2", "zero3")),
    _fact("plan.cpu_offload", "bool", "states live in host memory"),
    _fact("plan.only_offloaded", "bool", "states live in host memory because no device holds them"),
    _fact("plan.save_steps", "int", "steps between checkpoints"),
    _fact("plan.save_total_limit", "int", "checkpoints kept"),
    _fact("plan.eval_steps", "int", "steps between evaluations"),
    _fact("plan.load_best_model_at_end", "bool", "the step with the lowest evaluation loss is delivered"),
    _fact("plan.early_stopping_patience", "int", "evaluations without a lower loss that end the run", "evaluations"),
    _fact("plan.seed", "int", "random seed"),
    _fact("plan.merge", "bool", "the adapter is merged before it is delivered"),
    _fact("plan.engine", "string", "engine that serves it", choices=ENGINES),
    _fact("plan.weights", "string", "number format delivered", choices=WEIGHT_FORMATS),
    _fact("plan.artifact", "string", "what leaves the run", choices=DELIVERED),
    _fact("plan.serve_max_loras", "int", "adapters that share a batch in the serving engine"),
    _fact("plan.serve_max_cpu_loras", "int", "adapters that the serving engine holds in host memory"),
    _fact("plan.serve_quantization", "string", "format that weights are served in", choices=SERVED_FORMATS),
    _fact("plan.train_new_tokens", "bool", "only the rows of new tokens train (trainable_token_indices)"),
    _fact("plan.logging_steps", "int", "steps between log lines"),
    _fact("plan.dataloader_workers", "int", "processes that prepare batches"),
    # steps on the way to a setting: filled by set rules, read by others, not fields of the plan
    _fact("plan.rank_for_task", "int", "rank that the kind of task asks for"),
    _fact("plan.rank_for_data", "int", "smallest rank whose adapter holds the data"),
    _fact("plan.rank_in_storage", "int", "largest rank that storage allows"),
    _fact("plan.rank_in_memory", "int", "largest rank that the memory of the devices holds"),
    _fact("plan.rank_limit", "int", "largest rank that serving, storage and memory allow"),
    _fact("plan.step32", "double", "step size: alpha x learning rate / 32"),
    _fact("plan.lr_for_model", "double", "learning rate for this model, method and rank, before adjustments"),
    _fact("plan.length_wanted", "int", "sequence length that the data ask for", "tokens"),
    # what the estimators say of that plan
    _fact("plan.need_bytes", "int", "upper end of the device memory of one GPU", "bytes"),
    _fact("plan.fits", "bool", "need_bytes is within the free memory of the smallest GPU"),
    _fact("plan.optimizer_steps", "bool", "its optimizer was seen to step on parameters sharded as the plan's are"),
    _fact("plan.need_share", "double", "need_bytes over free memory"),
    _fact("plan.host_bytes", "int", "host RAM that training needs on one node", "bytes"),
    _fact("plan.merge_host_bytes", "int", "host RAM of a merge with its check, after training", "bytes"),
    _fact("plan.trainable_params", "int", "parameters that train"),
    _fact("plan.artifact_bytes", "int", "size of one delivered variant", "bytes"),
    _fact("plan.variants_bytes", "int", "size of all delivered variants together", "bytes"),
    _fact("plan.checkpoint_bytes", "int", "size of one checkpoint", "bytes"),
    _fact("plan.disk_bytes", "int", "largest moment in the output folder", "bytes"),
    _fact("plan.seconds", "double", "predicted duration", "seconds"),
)

BY_PATH: dict[str, Fact] = {fact.path: fact for fact in FACTS}
