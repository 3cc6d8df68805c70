"""One step instant by instant: its fullest instant is the peak, and it ends where it began."""

from __future__ import annotations

from hypothesis import given, settings

from advisor.estimate import Estimator
from tests.estimate.shapes import model, plan
from tests.estimate.test_memory import models, plans

TRAINING = ("forward", "backward", "optimizer_step")


@settings(max_examples=100, deadline=None)
@given(models, plans())
def test_the_fullest_instant_is_the_worst_moment_of_training(name, chosen):
    estimator = Estimator(model(name), chosen)
    worst = max(moment.allocated for moment in estimator.moments() if moment.phase in TRAINING)
    assert max(instant.allocated_bytes for instant in estimator.timeline()) == worst


@settings(max_examples=100, deadline=None)
@given(models, plans())
def test_what_is_reserved_only_grows_and_holds_the_tensors(name, chosen):
    timeline = Estimator(model(name), chosen).timeline()
    reserved = [instant.reserved_bytes for instant in timeline]
    assert reserved == sorted(reserved)
    assert all(instant.allocated_bytes <= instant.reserved_bytes for instant in timeline)
    assert timeline[0].parts == timeline[-1].parts


def test_the_way_through_the_blocks_is_told_in_both_directions():
    labels = [instant.label for instant in Estimator(model("Llama-3.1-8B"), plan("lora")).timeline()]
    assert labels == [
        "step begins",
        "forward, block 8 of 32",
        "forward, block 16 of 32",
        "forward, block 24 of 32",
        "forward, block 32 of 32",
        "loss",
        "backward, block 32 of 32",
        "backward, block 24 of 32",
        "backward, block 16 of 32",
        "backward, block 8 of 32",
        "backward ends",
        "optimizer step",
        "step ends",
    ]


def test_every_part_says_how_it_is_known():
    known = Estimator(model("Llama-3.1-8B"), plan("full", sharding="fsdp", num_gpus=2)).estimate().known_by
    kinds = {name: how.split(":")[0].split(",")[0] for name, how in known.items()}
    assert kinds["weights"] == kinds["optimizer_states"] == "counted"
    assert kinds["activations"] == kinds["logits"] == "derived"
    assert kinds["runtime"] == "derived"
    assert "published" in known["runtime"]
    shares = (
        Estimator(model("Llama-3.1-8B"), plan("lora", sharding="fsdp", num_gpus=2)).estimate().known_by["runtime"]
    )
    assert shares.startswith("published")
    assert "assumed" in shares
