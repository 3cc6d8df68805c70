"""How the benchmark reads published rows: what can be expressed, what cannot and why, units, counters, verdicts."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.memory_accuracy import predict, predict_all, report
from tests.benchmarks.published import GIB, NotExpressed, NotStated, express

ROOT = Path(__file__).resolve().parents[2]
ROW = {
    "id": "fms-lig-125",
    "source": "foundation-model-stack/fms-acceleration:benchmarks",
    "framework": "fms-hf-tuning (HF Trainer/trl) + fms-acceleration",
    "model": "mistralai/Mistral-7B-v0.1",
    "params_b": "7.242",
    "method": "qlora",
    "base_dtype": "gptq_int4",
    "training_precision": "mixed_fp16",
    "optimizer": "adamw_torch",
    "micro_batch": "4",
    "seq_len": "4096",
    "seq_is_padded_max": "yes",
    "grad_ckpt": "yes",
    "lora_r": "16",
    "lora_targets": "q_proj+k_proj+v_proj+o_proj",
    "train_embeddings": "no",
    "attention": "flash2",
    "fused_ce": "yes",
    "n_gpus": "1",
    "sharding": "none",
    "gpu": "A100-80GB",
    "reported_value": "12.168",
    "reported_unit": "GiB",
    "what_is_reported": "max_allocated",
    "oom": "no",
    "note": "framework_config=accelerated-peft-autogptq-foak-liger; torch peak bytes=13065335808",
}


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the benchmark sets it for its own process, which here is that of all tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


def test_a_complete_row_is_predicted_within_five_percent():
    prediction = predict(express(row()))
    assert prediction.run.value_bytes == 13_065_335_808
    assert prediction.run.grade == "A"
    assert abs(prediction.error) < 0.05
    assert prediction.verdict == "safe"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "osf"}, "method osf"),
        ({"model": "nobody/nothing"}, "not in the catalogue"),
        ({"seq_len": "unknown"}, "sequence length unknown"),
        ({"sharding": "pp4"}, "sharding pp4"),
        ({"sharding": "hsdp"}, "sharding hsdp"),
        ({"grad_ckpt": "unknown"}, "checkpointing unknown"),
        ({"lora_r": "unknown"}, "rank unknown"),
        ({"optimizer": "muon"}, "optimizer muon"),
        ({"optimizer": "adam_mini"}, "optimizer adam_mini"),
        ({"framework": "something new"}, "framework something new"),
    ],
)
def test_what_cannot_be_expressed_says_why(changes, reason):
    with pytest.raises(NotExpressed, match=reason.replace("(", r"\(")):
        express(row(**changes) if "framework" not in changes else row(**changes, note=""))


FULL = {"method": "full", "lora_r": "na", "lora_targets": "na", "fused_ce": "no"}


def test_pure_precision_over_a_16_bit_base_has_no_fp32_master_under_fsdp():
    sharded = FULL | {"n_gpus": "4", "sharding": "fsdp", "note": "framework_config=none"}
    pure = express(row(**sharded, base_dtype="fp16", training_precision="pure_fp16"))
    mixed = express(row(**sharded, base_dtype="fp32", training_precision="mixed_bf16"))
    assert (pure.stack.fsdp_fp32_master, mixed.stack.fsdp_fp32_master) == (False, True)
    assert predict(pure).estimate.allocated.likely < 0.7 * predict(mixed).estimate.allocated.likely


@pytest.mark.parametrize(
    ("sharding", "note", "degrees"),
    [
        ("fsdp4+cp4", "", (1, 4, 1)),
        ("tp2", "", (2, 1, 1)),
        ("fsdp+tp 2", "", (2, 1, 1)),
        ("cp8", "", (1, 8, 1)),
        ("ddp + sequence_parallel=2", "", (1, 2, 1)),
        ("fsdp+ep8", "", (1, 1, 8)),
        ("fsdp (+expert parallel as named)", "framework_config=moe-scattermoe-granite-ep2;", (1, 1, 2)),
        ("zero3+cpu offload", "", (1, 1, 1)),
    ],
)
def test_a_degree_glued_to_its_token_splits_the_run(sharding, note, degrees):
    """Quoted from fms-moe-020, swift-sp-002 and rows of TRL and torchtitan; never run at full length on each GPU."""
    split = express(row(n_gpus="8", sharding=sharding, note=note)).stack.split
    assert (split.tensor, split.context, split.expert) == degrees


def test_a_split_whose_degree_is_nowhere_stated_is_refused():
    with pytest.raises(NotStated, match="degree unknown"):
        express(row(n_gpus="8", sharding="fsdp + tensor parallel", note=""))


def test_layers_on_several_gpus_are_one_run_on_all_their_memory():
    """swift2-026: 140.75 GiB summed over two cards."""
    summed = row(sharding="device_map (layer split)", n_gpus="2", reported_value="140.75", note="[sum] Qwen-72B")
    run = express(summed | {"what_is_reported": "max_reserved"})
    assert (run.plan.num_gpus, run.value_bytes) == (1, int(140.75 * GIB))
    assert run.capacity_bytes == 2 * express(row()).capacity_bytes


@pytest.mark.parametrize(
    ("sharding", "kind", "offload"),
    [
        ("zero3+cpu offload", "zero3", True),
        ("zero2 (1 gpu)", "zero2", False),
        ("fsdp (shard_grad_op)", "zero2", False),
    ],
)
def test_offload_is_no_context_parallelism(sharding, kind, offload):
    plan = express(row(sharding=sharding, n_gpus="4")).plan
    assert (plan.sharding, plan.cpu_offload) == (kind, offload)


@pytest.mark.parametrize(
    ("model", "stated", "names"),
    [
        ("mistralai/Mistral-7B-v0.1", "query+key+value+projection", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("mistralai/Mistral-7B-v0.1", "q_proj+v_proj+output_proj+mlp", None),
        ("mistralai/Mistral-7B-v0.1", "query+value+head", {"q_proj", "v_proj"}),
        ("mistralai/Mistral-7B-v0.1", "all linear incl. output", {"all-linear"}),
        ("Qwen/Qwen-7B-Chat", "c_attn+c_proj+w1+w2", {"c_attn", "c_proj", "w1", "w2"}),
        ("Qwen/Qwen-7B-Chat", "query+value", {"c_attn"}),
    ],
)
def test_targets_in_any_words_become_the_names_of_the_model(model, stated, names):
    found = set(express(row(model=model, params_b="unknown", lora_targets=stated)).plan.lora_targets)
    assert found == (names or {"q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})


def test_a_list_of_targets_that_is_understood_in_part_is_refused():
    with pytest.raises(NotExpressed, match="gizmo of query"):
        express(row(lora_targets="query+gizmo"))


def test_mixed_precision_over_fp32_weights_switches_autocast_on_where_a_framework_has_it():
    litgpt = FULL | {"framework": "litgpt (finetune/full.py)", "base_dtype": "fp32", "note": ""}
    mixed = express(row(**litgpt, training_precision="mixed_bf16"))
    pure = express(row(**litgpt | {"base_dtype": "bf16"}, training_precision="pure_bf16"))
    assert (mixed.stack.autocast, pure.stack.autocast) == (True, False)
    assert (mixed.plan.weights_dtype, mixed.plan.compute_dtype) == ("fp32", "bf16")


def test_litgpt_holds_an_output_layer_of_its_own():
    tied = row(model="meta-llama/Llama-3.2-3B", params_b="3.213")
    own = express(tied | {"framework": "litgpt (finetune/lora.py)"}).model
    assert own.head_params == own.embedding_params > 0
    assert express(tied).model.head_params == 0


@pytest.mark.parametrize(
    ("note", "in_backward"),
    [
        ("config default: PagedAdamW8bit, optimizer_in_bwd", True),
        ("+ optimizer step fused into backward", True),
        ("step in backward", True),
        ("+ fuse optimizer step into backward", True),
        ("packed, no optimizer_in_bwd", False),
        ("without optimizer step in backward", False),
        ("checkpointing + activation offloading", False),
    ],
)
def test_a_step_in_backward_is_found_in_prose(note, in_backward):
    torchtune = FULL | {"framework": "torchtune", "base_dtype": "bf16", "training_precision": "pure_bf16"}
    assert express(row(**torchtune, note=note)).plan.optimizer_in_backward is in_backward


def test_a_row_of_a_cumulative_table_has_the_switches_of_the_rows_above_it():
    torchtune = FULL | {"framework": "torchtune", "base_dtype": "bf16", "training_precision": "pure_bf16"}
    cumulative = "published as 'peak memory active'; cumulative with the rows above"
    chunked = express(row(**torchtune, note=f"+ chunked cross-entropy; {cumulative}"))
    last = express(row(**torchtune, note=f"+ 8-bit AdamW; {cumulative}", optimizer="adamw_8bit"))
    packed = express(row(**torchtune, note=f"+ packed to 4096; {cumulative}"))
    assert [run.stack.compiled for run in (packed, chunked, last)] == [False, True, True]
    assert [run.plan.activation_offload for run in (packed, chunked, last)] == [False, False, True]
    assert [run.plan.optimizer_in_backward for run in (packed, chunked, last)] == [False, False, True]


@pytest.mark.parametrize(
    "name",
    ["unsloth/Meta-Llama-3.1-8B-bnb-4bit", "NousResearch/Meta-Llama-3.1-8B", "unsloth/Llama-3.1-8B-Instruct"],
)
def test_a_mirror_or_quantised_copy_has_the_shape_of_its_model(name):
    assert express(row(model=name, params_b="8.03")).model.num_params == 8_030_261_248


def test_a_mirror_whose_stated_size_is_another_model_s_is_refused():
    with pytest.raises(NotExpressed, match="billion parameters stated"):
        express(row(model="somebody/Llama-3.1-8B", params_b="4.1"))


def test_a_length_that_is_only_a_cap_is_reported_apart():
    capped = row(id="swift2-001", seq_is_padded_max="no")
    assert (express(row()).length_known, express(capped).length_known) == (True, False)
    result = report([row(), capped])
    assert result["length_is_a_cap"]["allocated"]["rows"] == 1
    assert result["hugging_face"]["allocated"]["rows"] == 1


def test_what_nvidia_smi_showed_is_read_beside_the_allocator_s_peak():
    both = express(row(note="framework_config=none; nvidia-smi peak averaged over GPUs=14234 MiB"))
    assert set(both.measured) == {"allocated", "device"}
    assert both.measured["device"] == 14234 * 1024**2


def test_the_plain_side_of_a_comparison_against_flash_attention_is_eager():
    plain = row(attention="unknown", note="[oom] HF on SlimOrca; rank 16")
    assert express(plain).plan.attention == "eager"
    assert express(plain | {"note": ""}).plan.attention == "sdpa"


@pytest.mark.parametrize(
    ("model", "kernel"),
    [("THUDM/chatglm-6b", "eager"), ("THUDM/chatglm2-6b", "eager"), ("THUDM/chatglm3-6b", "sdpa")],
)
def test_the_code_that_came_with_chatglm_is_eager(model, kernel):
    """liu-018 and liu-022: 45 and 43 GB where activations are kept, 20 where they are recomputed."""
    glm = {"framework": "DeepSpeed train.py", "method": "lora", "base_dtype": "fp16"}
    glm |= {"params_b": "unknown", "attention": "unknown"}
    assert express(row(**glm, model=model, lora_targets="query_key_value", note="")).plan.attention == kernel


def test_a_counter_that_was_sampled_once_is_no_peak():
    assert express(row(id="titan-001", note="nightly, counter sampled once at step 50")).grade == "C"


def test_a_precision_that_no_column_or_note_states_is_refused():
    unknown = row(training_precision="unknown", note="")
    with pytest.raises(NotExpressed, match="training precision unknown"):
        express(unknown)
    assert express(unknown | {"note": "bf16 weights under HF bf16 autocast"}).plan.compute_dtype == "bf16"


def test_what_a_row_leaves_out_is_told_apart_from_what_cannot_be_said():
    rows = [row(id=f"x-00{i}", **changes) for i, changes in enumerate(({"seq_len": "unknown"}, {"method": "osf"}))]
    result = report(rows)
    assert (result["not_stated"], len(result["not_expressed"])) == (1, 2)


def test_rows_that_an_evaluation_generates_are_read():
    """peft-mm: generation eval (batch_size_eval 50); glm-004: evaluation with generation (batch 16)."""
    notes = ("generation eval (batch_size_eval 50)", "evaluation with generation (batch 16)", "")
    assert [express(row(note=note)).stack.generates for note in notes] == [50, 16, 0]


def test_units_and_sums():
    value = express(row(note="", reported_value="12", reported_unit="GB")).value_bytes
    assert value == 12 * 10**9
    summed = express(row(note="[sum] framework_config=none", reported_value="24", n_gpus="2", sharding="fsdp"))
    assert summed.value_bytes == 12 * GIB


def test_an_oom_row_of_a_much_too_large_run_is_called_impossible():
    failed = row(
        oom="yes", what_is_reported="card_size", method="full", base_dtype="bf16", training_precision="pure_bf16"
    )
    prediction = predict(
        express(failed | {"lora_r": "na", "lora_targets": "na", "model": "meta-llama/Llama-2-70b-hf"})
    )
    assert prediction.error is None
    assert prediction.verdict == "impossible"


def test_every_row_is_counted_once():
    rows = [row(), row(id="x-001", method="osf"), row(id="y-001", micro_batch="two")]
    result = report(rows)
    assert (result["rows"], result["expressed"]) == (3, 1)
    assert {entry["id"] for entry in result["not_expressed"]} == {"x-001", "y-001"}
    assert len(predict_all(rows)[0]) == 1


@pytest.mark.slow
def test_the_commands_print_text_and_json(tmp_path):
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerows([ROW, row(id="x-001", method="osf")])
    command = [sys.executable, str(ROOT / "tests/benchmarks/memory_accuracy.py"), str(table)]
    kept = tmp_path / "figures.json"
    done = subprocess.run([*command, "--output", str(kept)], capture_output=True, text=True, check=True)
    text = done.stdout
    assert "1 of 2 rows expressed" in text
    assert "method osf: x-001" in text
    data = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert data["by_source"]["fms-lig (A)"]["rows"] == 1
    assert json.loads(kept.read_text()) == data
