"""The constants of the time model, in the same table as those of memory."""

from __future__ import annotations

from advisor.estimate.constants import share

MATRIX_EFFICIENCY = share(
    "MATRIX_EFFICIENCY",
    0.75,
    "of the dense peak",
    "measured",
    "rate of matrix products alone, whatever the card",
    "throughput.csv: fms-acceleration and xtuner rows on A100, checked on H20 and H100",
)
ATTENTION_EFFICIENCY = share(
    "ATTENTION_EFFICIENCY",
    0.5,
    "of the dense peak",
    "measured",
    "rate of the attention kernel",
    "throughput.csv: xtuner rows from 8k to 128k tokens",
)
TRAFFIC_FACTOR = share(
    "TRAFFIC_FACTOR",
    10.0,
    "times",
    "measured",
    "memory traffic of one pass over a block, over the inputs and outputs of its matrix products",
    "the same rows; makes the rate fall where a card has much compute for its bandwidth",
)
FUSED_TRAFFIC = share(
    "FUSED_TRAFFIC",
    0.7,
    "of that traffic",
    "measured",
    "with fused or compiled kernels",
    "fms rows with and without Triton kernels",
)
COMPILED_TRAFFIC = share(
    "COMPILED_TRAFFIC",
    0.3,
    "of that traffic",
    "measured",
    "where whole blocks are compiled",
    "norms, rotation and gating fused into one kernel each read and write 0.14 of it; torchtitan's pair with and "
    "without torch.compile (1.16 times) says 0.5",
)
FP8_RATE = share(
    "FP8_RATE", 2.0, "of the 16-bit peak", "format", "matrix products in 8-bit floating point", "vendor datasheets"
)
FP8_CAST_TRAFFIC = share(
    "FP8_CAST_TRAFFIC",
    2.5,
    "of what the products read and write",
    "implementation",
    "finding the scale of an operand and casting it",
    "two 16-bit reads and an 8-bit write of what a product itself reads once",
)
LAUNCH_SECONDS = share(
    "LAUNCH_SECONDS",
    0.0048,
    "seconds a block and micro-step",
    "measured",
    "kernel launches of a checkpointed block; no micro-step is shorter",
    "Qwen LoRA rows of 1.8B, 7B and 14B at 256 tokens (4.7 to 5.2 ms)",
)
LAUNCH_SECONDS_PACKED = share(
    "LAUNCH_SECONDS_PACKED",
    0.0073,
    "seconds a block and micro-step",
    "measured",
    "the same with a 4-bit base",
    "Qwen-1.8B QLoRA at 256 to 1024 tokens",
)
UNPACK_NF4_BYTES = share(
    "UNPACK_NF4_BYTES",
    6.0,
    "bytes a weight and pass",
    "measured",
    "traffic of unpacking NF4",
    "fms rows, bnb against LoRA",
)
UNPACK_GPTQ_BYTES = share(
    "UNPACK_GPTQ_BYTES",
    28.0,
    "bytes a weight and pass",
    "measured",
    "the same for GPTQ with the CUDA kernels of 2023",
    "Qwen rows of 7B, 14B and 72B: 42 ps a weight and micro-step",
)
UNPACK_TRITON_BYTES = share(
    "UNPACK_TRITON_BYTES",
    4.5,
    "bytes a weight and pass",
    "implementation",
    "the same for GPTQ where a Triton kernel unpacks a whole matrix before a usual product",
    "half a byte read, two written, two read again; fms-acceleration's AutoGPTQ (triton_v2)",
)
ADAPTED_TRAFFIC = share(
    "ADAPTED_TRAFFIC",
    2.0,
    "times",
    "measured",
    "traffic of a linear with an adapter beside it",
    "LoRA on every linear against attention only: x0.75 (ms-swift); Qwen LoRA rows",
)
LOGITS_TRAFFIC = share(
    "LOGITS_TRAFFIC",
    50.0,
    "bytes a cell",
    "implementation",
    "logits, copies, loss and gradient held whole",
    "14 bytes, each read or written three to four times",
)
LAUNCH_SHARE_KEPT = share(
    "LAUNCH_SHARE_KEPT", 0.7, "of the launches", "implementation", "without recomputation", "two passes of three"
)
SMALL_NODES_RATE = share(
    "SMALL_NODES_RATE",
    0.56,
    "times",
    "measured",
    "several nodes with fewer than eight GPUs each, hence no fast network",
    "Qwen LoRA on 2 servers x 2 GPUs, six lengths",
)
NEWEST_RATE = share(
    "NEWEST_RATE",
    0.6,
    "of the stated peak",
    "measured",
    "NVIDIA's Blackwell",
    "torchao rows of power-limited B200 boards; Megatron-Bridge on GB200 and GB300 reaches more",
)
HOPPER_RATE = share(
    "HOPPER_RATE",
    0.85,
    "of the stated peak",
    "measured",
    "H100 and H200, whose 700 W do not hold the clock of the stated peak (an H20, cut to a seventh, holds it)",
    "NeMo AutoModel's LoRA on one card; held against torchao, torchtitan and Megatron-Bridge rows",
)
CUT_RATE = share(
    "CUT_RATE",
    1.2,
    "of MATRIX_EFFICIENCY",
    "measured",
    "H20: its products are cut to a seventh, so that they never meet the limit of its power",
    "ms-swift rows of Qwen2.5-7B and Qwen3-14B; 0.9 of the peak is what products reach where the clock holds",
)
AMD_RATE = share(
    "AMD_RATE", 0.42, "of the stated peak", "measured", "AMD's MI300", "torchao rows of MI300X, bf16 and fp8"
)
FAST_NETWORK_GBS = share(
    "FAST_NETWORK_GBS",
    50.0,
    "GB/s a GPU",
    "implementation",
    "400 Gb/s adapters of H100 nodes and later",
    "vendor figures",
)
NETWORK_EFFICIENCY = share(
    "NETWORK_EFFICIENCY", 0.8, "of the network", "implementation", "in collectives", "vendor figures"
)
MOE_RATE = share(
    "MOE_RATE", 0.85, "times", "measured", "experts against dense at equal active parameters", "fms Mixtral rows"
)
FP32_RATE = share("FP32_RATE", 0.5, "of the 16-bit peak", "implementation", "TF32 tensor cores", "NVIDIA datasheets")
SLOW_STEP_SECONDS = share(
    "SLOW_STEP_SECONDS",
    0.65e-9,
    "seconds a trained value",
    "measured",
    "optimizer step of DeepSpeed in 2023, unfused",
    "Qwen full rows of 1.8B and 7B at 256 to 1024 tokens",
)
PCIE_GBS = share("PCIE_GBS", 25.0, "GB/s", "implementation", "one way, PCIe 4.0 x16 as reached", "vendor figures")
NETWORK_GBS = share(
    "NETWORK_GBS",
    25.0,
    "GB/s a GPU",
    "implementation",
    "one 200 Gb/s adapter for each GPU of a cluster node",
    "vendor figures",
)
SLOW_NETWORK_GBS = share(
    "SLOW_NETWORK_GBS",
    3.0,
    "GB/s a GPU",
    "implementation",
    "cards without NVLink share a 100 Gb/s adapter, four to a node",
    "vendor figures",
)
LINK_EFFICIENCY = share(
    "LINK_EFFICIENCY", 0.35, "of the link", "measured", "one way, in collectives", "fms rows on 2 GPUs"
)
OVERLAP = share("OVERLAP", 0.8, "of arithmetic", "measured", "arithmetic that hides traffic", "fms rows on 2 GPUs")
EXPOSED_SHARE = share(
    "EXPOSED_SHARE", 0.1, "of traffic", "measured", "traffic that never hides", "fms rows on 2 GPUs"
)
HOST_GBS = share(
    "HOST_GBS", 20.0, "GB/s", "implementation", "host memory as an optimizer step uses it", "vendor figures"
)
HOST_COPY_GBS = share(
    "HOST_COPY_GBS",
    14.0,
    "GB/s",
    "assumed",
    "between the host memory of a node and all its cards together, when weights wait there",
    "chosen so that fsdp_qlora's benchmarks of March 2024 hold: 34B and 7B on two RTX 3090 and 4090, with and "
    "without offload (0.96 to 1.00 of the time at up to twice the rows); slower than without on four and eight A5000",
)
GATHER_SECONDS = share(
    "GATHER_SECONDS",
    1e-4,
    "seconds a module",
    "assumed",
    "gathering one small module by itself: a collective and the hooks around it",
    "ZeRO-3 over experts that are modules of their own; a small collective alone takes NCCL 20 to 50 microseconds",
)
SELECTIVE_SHARE = share(
    "SELECTIVE_SHARE",
    0.5,
    "of a recomputation",
    "implementation",
    "recomputed where every second matrix product and the attention are kept",
    "torchtitan's selective checkpointing by operation",
)
PADDING_FACTOR = share(
    "PADDING_FACTOR",
    1.6,
    "times",
    "measured",
    "computed over real tokens in padded batches",
    "hardware.md section 6.2",
)
PACKED_FILL = share(
    "PACKED_FILL",
    0.95,
    "of a packed row",
    "measured",
    "real tokens, best-fit-decreasing packing",
    "trl's packing of short chats",
)
TIME_SPREAD = share(
    "TIME_SPREAD",
    1.5,
    "times",
    "measured",
    "a time is divided and multiplied by this",
    "throughput.csv, 90 % of A and B rows",
)
CPU_CORE_FLOPS = share(
    "CPU_CORE_FLOPS",
    75e9,
    "operations a second and core",
    "measured",
    "fp32 products in training on one core with AVX-512",
    "SmolLM2-135M in a plain loop, 256 tokens: full 3.6 s, LoRA 1.8 s a step",
)
CPU_LAUNCH_SECONDS = share(
    "CPU_LAUNCH_SECONDS",
    0.00035,
    "seconds a block and pass",
    "measured",
    "operations of a block on a CPU before they compute anything, whatever the cores",
    "Llama of 2 to 16 blocks of 64, 8 tokens, plain loop: 0.5 ms on busy cores, which is 1.5 times a quiet one's",
)
CPU_LAUNCH_SECONDS_ADAPTED = share(
    "CPU_LAUNCH_SECONDS_ADAPTED",
    0.0008,
    "seconds a block and pass",
    "measured",
    "the same with an adapter on all its linear layers",
    "the same loop with LoRA: 1.2 ms on busy cores",
)
TIME_SPREAD_CPU = share(
    "TIME_SPREAD_CPU",
    2.5,
    "times",
    "measured",
    "the spread of a time on a CPU",
    "the same runs on busy and quiet cores",
)
