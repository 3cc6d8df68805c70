"""What is alive in each phase: the parts of every moment, on plans chosen so that each part counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimate import Estimator, stacks
from advisor.estimate import constants as const
from advisor.estimate.host import merge_host_bytes
from advisor.estimate.logits import head_bytes
from advisor.estimate.moment import Moment
from advisor.estimate.result import Phase
from advisor.estimate.runtime import Calibration, cached_bytes, context_bytes, workspace_bytes
from advisor.estimate.stacks import HF_TRAINER
from advisor.estimate.training import MicroBatch, work_out_micro_batch
from tests.estimate.shapes import MODELS, model, plan
from trainers.plan import Delivery, TrainingPlan

LLAMA = "Llama-3.1-8B"
ON_CPU = {"accelerator": "cpu", "compute_dtype": "fp32", "weights_dtype": "fp32"}
ORDER: list[Phase] = ["load", "forward", "backward", "optimizer_step", "evaluation", "save", "merge"]

PLANS = {
    "lora": plan(packing=True),
    "lora, every activation kept": plan(gradient_checkpointing=False, packing=True),
    "full": plan("full", weights_dtype="fp32", loss_kernel="full"),
    "full, accumulating": plan("full", gradient_accumulation_steps=4, max_seq_len=128),
    "full in shards": plan("full", sharding="fsdp", num_gpus=8, max_seq_len=128),
    "qlora": plan("qlora", micro_batch_size=2, loss_kernel="liger"),
    "prefix": plan("prefix", attention="eager"),
    "on a CPU": plan(**ON_CPU, max_seq_len=256),
}


def by_phase(estimator: Estimator, micro: int | None = None, length: int | None = None) -> dict[Phase, Moment]:
    return {moment.phase: moment for moment in estimator.moments(micro, length)}


def micro_batch(estimator: Estimator, chosen: TrainingPlan) -> MicroBatch:
    length = chosen.max_seq_len
    blocks = estimator.blocks(length + (chosen.num_virtual_tokens or 0), chosen.micro_batch_size)
    return work_out_micro_batch(
        estimator.model, chosen, estimator.stack, estimator.state, blocks, chosen.micro_batch_size, length
    )


@pytest.mark.parametrize("name", PLANS)
def test_phases_come_in_the_order_of_a_run_and_nothing_is_merged_on_the_device(name: str) -> None:
    estimator = Estimator(model(LLAMA), PLANS[name])
    moments = estimator.moments()
    assert [moment.phase for moment in moments] == ORDER
    assert moments[-1] == Moment("merge")
    estimate = estimator.estimate()
    assert estimate.peak_phase == max(moments, key=lambda moment: moment.device).phase
    assert estimate.stack == estimator.stack.name


@pytest.mark.parametrize("name", PLANS)
def test_weights_adapters_and_states_stay_through_the_run(name: str) -> None:
    estimator = Estimator(model(LLAMA), PLANS[name])
    placed = estimator.state.placed
    for moment in estimator.moments()[:-1]:
        assert (moment.weights, moment.adapters) == (placed.weights, placed.adapters)
        assert moment.states == (0 if moment.phase == "load" else placed.states)
    assert estimator.static_bytes == placed.weights + placed.adapters + placed.states


@pytest.mark.parametrize("sm", [None, 80, 90])
def test_every_phase_on_a_gpu_holds_the_workspaces_of_cublas_and_the_context(sm: int | None) -> None:
    for world in (1, 2):
        chosen = plan(num_gpus=world, sharding="ddp" if world > 1 else "none")
        moments = Estimator(model(LLAMA), chosen, sm=sm).moments()[:-1]
        assert {moment.workspace for moment in moments} == {workspace_bytes(sm)}
        assert {moment.context for moment in moments} == {context_bytes(world, kernels_at_start=False)}
    assert 0 < workspace_bytes(80) < workspace_bytes(90)


def test_a_cpu_has_no_workspaces_and_a_process_of_its_own_size() -> None:
    for compute, process in (
        ("fp32", const.PROCESS_BYTES_CPU),
        ("bf16", const.PROCESS_BYTES_CPU + const.PROCESS_BYTES_CPU_BF16),
    ):
        chosen = plan(accelerator="cpu", compute_dtype=compute, weights_dtype="fp32", max_seq_len=256)
        moments = Estimator(model("SmolLM2-135M"), chosen, sm=90).moments()[:-1]
        assert {(moment.workspace, moment.context) for moment in moments} == {(0, process)}


def test_a_quantised_base_passes_through_its_widest_tensor_in_16_bit() -> None:
    load = by_phase(Estimator(model(LLAMA), plan("qlora")))["load"]
    assert load.buffers == 2 * 4096 * 14336
    assert load.gradients == load.activations == load.logits == load.cached == 0
    assert by_phase(Estimator(model(LLAMA), plan()))["load"].buffers == 0


def test_a_stack_that_reads_the_whole_model_holds_it_whole_while_it_loads() -> None:
    whole = next(stack for stack in stacks.PROFILES if stack.loads_whole)
    estimator = Estimator(model(LLAMA), plan("full", sharding="fsdp", num_gpus=8), whole)
    moments = by_phase(estimator)
    assert moments["load"].weights == estimator.state.stored.total
    assert moments["load"].weights > 4 * moments["forward"].weights
    alone = Estimator(model(LLAMA), plan("full"), whole)
    assert by_phase(alone)["load"].weights == alone.state.placed.weights


@pytest.mark.parametrize("name", PLANS)
def test_forward_holds_what_waits_for_backward_and_the_head(name: str) -> None:
    chosen = PLANS[name]
    estimator = Estimator(model(LLAMA), chosen)
    batch, placed, forward = micro_batch(estimator, chosen), estimator.state.placed, by_phase(estimator)["forward"]
    assert forward.activations == batch.kept + batch.final + batch.inputs
    assert forward.logits == head_bytes(estimator.state.head, batch.tokens)
    assert forward.buffers == placed.outer + placed.bucket + batch.copies_forward + placed.last_block
    assert forward.gradients == (placed.gradients if chosen.gradient_accumulation_steps > 1 else 0)


def backward_moments(estimator: Estimator, batch: MicroBatch) -> list[Moment]:
    return [
        estimator._backward_at_head(batch),
        estimator._backward_in_last_block(batch),
        estimator._backward_ends(batch),
    ]


@pytest.mark.parametrize("name", PLANS)
def test_backward_is_the_worst_of_its_three_moments(name: str) -> None:
    chosen = PLANS[name]
    estimator = Estimator(model(LLAMA), chosen)
    batch, placed, gradients = micro_batch(estimator, chosen), estimator.state.placed, estimator._gradients
    around = placed.outer + placed.bucket + estimator.state.stored.dequantised + batch.copies
    kept = max(batch.left, batch.kept)
    expected = [
        (
            gradients.at_head,
            batch.kept + batch.beside_kept + batch.inputs,
            around + 2 * placed.block + placed.block_gradient,
            estimator._cached(batch.kept + batch.beside_kept),
        ),
        (
            gradients.before_last,
            batch.left + batch.worst + batch.inputs,
            around + placed.block + placed.block_gradient,
            estimator._cached(kept + batch.beside_kept),
        ),
        (
            gradients.whole,
            batch.left + 2 * batch.boundary + batch.inputs,
            placed.outer + placed.outer_gradient + placed.bucket + gradients.extra_copy,
            estimator._cached(kept + batch.beside_kept),
        ),
    ]
    moments = backward_moments(estimator, batch)
    assert [(moment.gradients, moment.activations, moment.buffers, moment.cached) for moment in moments] == expected
    assert {(moment.phase, moment.logits) for moment in moments} == {("backward", 0)}
    assert by_phase(estimator)["backward"] == max(moments, key=lambda moment: moment.device)


def test_each_moment_of_backward_is_the_worst_of_some_plan() -> None:
    winners = set()
    for chosen in PLANS.values():
        estimator = Estimator(model(LLAMA), chosen)
        devices = [moment.device for moment in backward_moments(estimator, micro_batch(estimator, chosen))]
        winners.add(devices.index(max(devices)))
    assert winners == {0, 1, 2}


@pytest.mark.parametrize("name", PLANS)
def test_the_optimizer_steps_over_whole_gradients_and_no_activations(name: str) -> None:
    chosen = PLANS[name]
    estimator = Estimator(model(LLAMA), chosen)
    batch, placed, step = (
        micro_batch(estimator, chosen),
        estimator.state.placed,
        by_phase(estimator)["optimizer_step"],
    )
    assert step.gradients == estimator._gradients.whole
    assert (step.activations, step.logits) == (batch.inputs, 0)
    assert step.buffers == placed.step + placed.bucket


def test_the_mask_of_padded_rows_counts_one_byte_a_pair() -> None:
    """sdpa makes it where heads share keys; flash attention needs none."""
    tokens = 3 * 1024
    for kind, mask in (("sdpa", tokens * 1024), ("flash2", 0)):
        chosen = plan(attention=kind, max_seq_len=1024, micro_batch_size=3)
        step = by_phase(Estimator(model(LLAMA), chosen))["optimizer_step"]
        assert step.activations == const.BATCH_TOKEN_BYTES * tokens + mask


# evaluation, saving


def test_evaluation_runs_its_own_batch_whatever_training_does() -> None:
    here = by_phase(Estimator(model(LLAMA), plan(eval_micro_batch_size=2)), 1)["evaluation"]
    assert by_phase(Estimator(model(LLAMA), plan(eval_micro_batch_size=2)), 16)["evaluation"] == here
    twice = by_phase(Estimator(model(LLAMA), plan(eval_micro_batch_size=4)))["evaluation"]
    assert twice.logits == 2 * here.logits
    assert twice.activations == 2 * here.activations
    longer = by_phase(Estimator(model(LLAMA), plan(eval_micro_batch_size=2)), length=4096)["evaluation"]
    assert longer.logits == 2 * here.logits


def test_evaluation_holds_two_thirds_of_the_head_or_the_widest_block() -> None:
    tokens = 2 * 2048
    head = Estimator(model(LLAMA), plan(eval_micro_batch_size=2, loss_kernel="full"), HF_TRAINER)
    moment = by_phase(head)["evaluation"]
    untrained = head.state.head._replace(trained=False)
    assert moment.logits == head_bytes(untrained, tokens) * 2 // 3
    assert moment.activations == const.BATCH_TOKEN_BYTES * tokens
    block = Estimator(model("Mixtral-8x7B-Instruct-v0.1"), plan(eval_micro_batch_size=2, loss_kernel="liger"))
    moment = by_phase(block)["evaluation"]
    widest = block.blocks(2048).worst // const.EVALUATION_BLOCK_PARTS * tokens
    assert moment.logits == 0
    assert moment.activations == widest + const.BATCH_TOKEN_BYTES * tokens
    assert moment.cached == cached_bytes(widest, sharding=None, lengths_vary=True)
    assert moment.gradients == 0


def test_evaluation_gathers_two_blocks_and_dequantises_one_tensor() -> None:
    for chosen in (PLANS["full in shards"], PLANS["qlora"]):
        estimator = Estimator(model(LLAMA), chosen)
        placed, moments = estimator.state.placed, by_phase(estimator)
        assert moments["evaluation"].buffers == placed.outer + 2 * placed.block + estimator.state.stored.dequantised
        assert moments["save"].buffers == placed.outer
        assert moments["save"].activations == moments["save"].logits == moments["save"].cached == 0
    assert Estimator(model(LLAMA), PLANS["full in shards"]).state.placed.block > 0
    assert Estimator(model(LLAMA), PLANS["qlora"]).state.stored.dequantised > 0


# what depends on the length


def test_blocks_depend_on_the_length_under_eager_attention_only() -> None:
    eager = Estimator(model(LLAMA), plan(attention="eager", gradient_checkpointing=False))
    assert eager.blocks(4096).saved > eager.blocks(2048).saved
    assert eager.blocks(2048) is eager.blocks(2048)
    sdpa = Estimator(model(LLAMA), plan(attention="sdpa"))
    assert sdpa.blocks(4096) is sdpa.blocks(2048)


def test_virtual_tokens_lengthen_the_rows_of_eager_attention() -> None:
    kept = {
        number: by_phase(Estimator(model(LLAMA), plan("prefix", attention="eager", num_virtual_tokens=number)))[
            "forward"
        ].activations
        for number in (10, 200)
    }
    assert kept[200] > kept[10]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(sorted(PLANS)),
    st.integers(1, 9),
    st.sampled_from((64, 1000, 4096)),
    st.sampled_from((None, 0.7, 1.4)),
)
def test_the_quick_answer_is_the_upper_end_of_the_whole_estimate(
    name: str, chosen: str, micro: int, length: int, factor: float | None
) -> None:
    correction = Calibration(factor, 0.1, 3, "three runs") if factor else None
    estimator = Estimator(model(name), PLANS[chosen], calibration=correction)
    assert estimator.need_bytes(micro, length) == estimator.estimate(micro, length, replayed=False).device.high
    assert estimator.need_bytes(micro, length) == estimator.need_bytes(micro, length), "remembered"
    assert estimator.need_bytes() == estimator.estimate(replayed=False).device.high


def test_lengths_vary_unless_the_plan_packs() -> None:
    assert Estimator(model(LLAMA), plan()).lengths_vary
    assert not Estimator(model(LLAMA), plan(packing=True)).lengths_vary
    assert Estimator(model(LLAMA), plan(packing=True), lengths_vary=True).lengths_vary


def test_a_correction_scales_each_part_that_moves_and_no_other() -> None:
    for name in ("full, accumulating", "qlora", "full in shards"):
        before = Estimator(model(LLAMA), PLANS[name]).moments()
        after = Estimator(model(LLAMA), PLANS[name], calibration=Calibration(1.5, 0.1, 3, "runs")).moments()
        for plain, scaled in zip(before[:-1], after[:-1], strict=True):
            assert (scaled.weights, scaled.adapters, scaled.states) == (plain.weights, plain.adapters, plain.states)
            if plain.phase == "backward":
                continue  # another of its moments may be the worst now
            for part in ("gradients", "activations", "logits", "buffers", "workspace", "cached", "context"):
                assert getattr(scaled, part) == int(1.5 * getattr(plain, part)), (name, plain.phase, part)


# the host


def test_each_process_of_a_node_takes_host_memory() -> None:
    def host(**fields: object) -> int:
        return Estimator(model(LLAMA), plan(**fields)).estimate().host_bytes

    assert host() == const.PROCESS_HOST_BYTES
    assert host(num_gpus=8, num_nodes=2, sharding="ddp") == 4 * const.PROCESS_HOST_BYTES
    assert host(num_gpus=1, num_nodes=2, sharding="ddp") == const.PROCESS_HOST_BYTES


def test_fsdp_reads_the_model_once_and_a_4_bit_base_in_each_process() -> None:
    for method, times in (("lora", 1), ("qlora", 4)):
        estimator = Estimator(model(LLAMA), plan(method, num_gpus=4, sharding="fsdp"))
        expected = 4 * const.PROCESS_HOST_BYTES + times * estimator.state.stored.total
        assert estimator.estimate().host_bytes == expected


def test_a_merge_is_no_part_of_training_and_its_check_takes_one_process_with_the_model_in_fp32() -> None:
    spec = model(LLAMA)
    merged, kept = plan(delivery=Delivery(artifact="merged_model")), plan()
    assert Estimator(spec, merged).estimate().host_bytes == Estimator(spec, kept).estimate().host_bytes
    assert merge_host_bytes(spec) == const.PROCESS_HOST_BYTES + 4 * spec.num_params


def test_offloaded_activations_of_every_process_wait_on_the_host() -> None:
    spec = model(LLAMA)
    for checkpointing in (True, False):
        chosen = plan(activation_offload=True, gradient_checkpointing=checkpointing, num_gpus=2, sharding="ddp")
        estimator = Estimator(spec, chosen)
        blocks = estimator.blocks(512)
        kept = blocks.boundary if checkpointing else blocks.saved
        waiting = estimator.estimate(3, 512).host_bytes - 2 * const.PROCESS_HOST_BYTES
        assert waiting == 2 * kept * 3 * 512
        assert estimator.host_bytes(0) - 2 * const.PROCESS_HOST_BYTES == 2 * kept * chosen.micro_batch_size * 2048


def test_on_a_cpu_the_processes_are_the_host_memory() -> None:
    chosen = plan(**ON_CPU, max_seq_len=256, activation_offload=True)
    estimator = Estimator(model("SmolLM2-135M"), chosen)
    assert estimator.estimate().host_bytes == estimator.estimate().device.likely
    two = Estimator(model("SmolLM2-135M"), plan(**ON_CPU, max_seq_len=256, num_gpus=2, sharding="ddp"))
    assert two.host_bytes(100) == 200
