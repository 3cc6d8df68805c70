"""The pains that users of other tools report, each with the tests that show that it is prevented here.

The numbers are those of the table of pains that this project was planned by; those missing here are about advice and
are shown by the tests of the rule book. A test that is renamed or dropped without its pain being told fails here.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PAINS: dict[int, tuple[str, tuple[str, ...]]] = {
    4: (
        "out of memory hours in, at one long sample",
        ("trainers/supervision/test_faults.py::test_preflight_measures_the_longest_batch_and_leaves_no_trace",),
    ),
    5: (
        "the estimate is wrong",
        (
            "trainers/supervision/test_checks.py::test_the_plan_is_judged_again_by_what_was_measured",
            "commands/test_main_job.py::test_the_measured_peak_is_kept_for_later_estimates",
            "estimate/test_ledger.py::test_only_what_moves_is_scaled",
        ),
    ),
    6: (
        "an automatic batch finder that changes the batch, ignores evaluation or gives up",
        (
            "trainers/supervision/test_backoff.py::test_the_effective_batch_stays_and_the_ladder_ends",
            "trainers/supervision/test_backoff.py::test_an_evaluation_that_ran_out_shrinks_its_own_batch",
            "trainers/supervision/test_faults.py::test_out_of_memory_finishes_with_a_smaller_batch_and_the_same_curve",
            "commands/test_nextmethod.py::test_a_full_run_that_always_runs_out_ends_as_lora",
        ),
    ),
    7: (
        "the second GPU is idle",
        (
            "trainers/supervision/test_command.py::test_several_go_through_torchrun_on_the_chosen_devices",
            "trainers/supervision/test_processes.py::test_two_processes_learn_the_curve_of_one_also_when_stopped_and_resumed",
        ),
    ),
    8: (
        "device errors of 4-bit models under DDP",
        (
            "trainers/methods/test_backends.py::test_each_process_loads_onto_its_own_card",
            "trainers/training/test_distributed.py::test_ddp_on_a_quantised_base_has_the_curve_of_one_process",
        ),
    ),
    11: (
        "the model never stops",
        (
            "data/test_check.py::test_template_without_end_token",
            "data/test_check.py::test_pad_that_is_the_end_token_is_noted",
            "trainers/training/test_rendering.py::test_only_answers_and_the_token_that_ends_them_are_learnt",
            "trainers/training/test_rendering.py::test_an_end_token_is_added_where_the_template_writes_none",
            "trainers/training/test_rendering.py::test_padding_gets_a_token_of_its_own_and_none_is_added",
        ),
    ),
    12: (
        "the loss looks at nothing, or at the prompt",
        (
            "data/test_check.py::test_a_template_that_leaves_the_answers_out_blocks",
            "data/test_check.py::test_what_the_run_trains_on_decides_what_is_learnt",
            "trainers/training/test_dataset.py::test_nothing_left_is_refused_with_the_reasons",
        ),
    ),
    13: (
        "silent truncation",
        (
            "data/test_check.py::test_projected_counts_are_near_the_whole",
            "trainers/training/test_dataset.py::test_what_is_cut_and_what_is_lost_by_it_is_counted",
        ),
    ),
    14: (
        "merging QLoRA degrades or breaks",
        (
            "trainers/merging/test_merge.py::test_qlora_goes_into_the_dequantised_base",
            "trainers/merging/test_merge.py::test_merging_qlora_into_the_original_base_would_be_caught",
        ),
    ),
    15: (
        "an adapter saved without, or with resized, embeddings",
        (
            "decide/test_advise.py::test_new_tokens_of_a_local_model_train_and_those_of_the_hub_are_asked_for",
            "trainers/training/test_run.py::test_tokens_that_were_added_to_the_tokenizer_alone_are_refused_by_name",
            "trainers/training/test_run.py::test_every_method_learns_and_what_it_saves_answers_alike",
            "trainers/training/test_saving.py::test_a_checkpoint_that_lacks_what_was_trained_is_never_sealed",
        ),
    ),
    16: (
        "an adapter that cannot be served",
        (
            "trainers/supervision/test_checks.py::test_an_adapter_that_vllm_would_refuse_is_found_before_it_is_trained",
            "trainers/handover/test_deliver.py::test_what_an_engine_would_refuse_or_get_wrong_is_said",
        ),
    ),
    20: (
        "training on the CPU without a word",
        (
            "trainers/training/test_run.py::test_a_plan_for_a_gpu_does_not_train_on_the_cpu_unasked",
            "probe/test_doctor.py::test_the_most_common_fault_a_cpu_build_beside_a_card",
        ),
    ),
    21: (
        "a resume that starts over",
        (
            "trainers/run_folder/test_checkpoint.py::test_each_missing_file_is_noticed",
            "trainers/run_folder/test_fingerprint.py::test_what_changed_is_named",
            "trainers/supervision/test_faults.py::test_a_killed_run_goes_on_and_ends_as_the_undisturbed",
            "trainers/training/test_run.py::test_a_resumed_run_has_the_curve_of_an_undisturbed_one",
            "trainers/training/test_monitor.py::test_the_first_repeated_step_is_held_against_what_it_was",
        ),
    ),
    22: (
        "the disk is full at a checkpoint",
        (
            "estimate/test_storage.py::test_checkpoints_hold_optimizer_states_and_the_largest_moment_counts_one_more",
            "trainers/training/test_saving.py::test_a_save_without_room_is_stopped_before_it_begins",
            "trainers/supervision/test_faults.py::test_a_full_disk_loses_no_checkpoint_and_the_run_goes_on_later",
        ),
    ),
    23: (
        "killed while loading",
        (
            "trainers/supervision/test_checks.py::test_a_model_that_the_host_cannot_hold_while_it_loads_is_warned_of",
            "trainers/test_host_memory.py::test_free_memory_ends_at_the_tightest_limit_of_a_control_group",
            "trainers/test_host_memory.py::test_kills_for_lack_of_memory_are_read_from_the_own_group",
        ),
    ),
    24: (
        "out of memory at the merge, after a good run",
        (
            "trainers/merging/test_merge.py::test_memory_holds_one_weight_and_not_the_model",
            "estimate/test_memory.py::test_merging_takes_no_device_memory_and_no_host_memory_of_the_training",
        ),
    ),
    25: (
        "library renames break scripts",
        (
            "trainers/training/test_arguments.py::test_a_renamed_option_is_a_clear_error",
            "trainers/test_versions.py::test_installed_versions_are_in_the_tested_window_and_others_are_refused",
            "trainers/training/test_run.py::test_the_run_folder_is_complete",
        ),
    ),
    26: (
        "dataset format errors",
        (
            "commands/test_broken_data.py::test_every_breakage_is_named",
            "commands/test_broken_data.py::test_a_launch_names_what_blocks_and_starts_nothing",
            "trainers/examples/test_formats.py::test_every_chat_format_means_the_same_conversation",
        ),
    ),
    27: (
        "full fine-tuning of a 4-bit model",
        (
            "trainers/methods/test_backends.py::test_a_base_that_was_published_in_4_bits_is_not_trained_in_full",
            "rules/test_book.py::test_case",
        ),
    ),
}


@pytest.mark.parametrize("number", PAINS)
def test_each_pain_has_the_tests_that_show_its_prevention(number: int) -> None:
    for name in PAINS[number][1]:
        file, _, test = name.partition("::")
        assert test in names_in(ROOT / "tests" / file), name


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the test functions in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
    )
