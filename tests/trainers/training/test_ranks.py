"""What ranks agree on, alone and as two real processes."""

from pathlib import Path

import torch

from tests.trainers.warm import SERVER, free_port
from tests.waiting import PATIENCE_SECONDS
from trainers.training.ending import end_process
from trainers.training.ranks import in_group, largest_of_ranks


def test_alone_a_process_has_its_own_value() -> None:
    assert not in_group()
    assert largest_of_ranks(-3, torch.device("cpu")) == -3


def one_of_two(rank: int, port: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    large = largest_of_ranks((1 << 40) + rank, torch.device("cpu"))
    small = largest_of_ranks(-rank, torch.device("cpu"))
    (folder / str(rank)).write_text(f"{in_group()} {large - (1 << 40)} {small}")
    end_process(0)


def test_each_rank_hears_the_largest(tmp_path: Path) -> None:
    port = free_port()
    pair = [SERVER.Process(target=one_of_two, args=(rank, port, tmp_path)) for rank in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(PATIENCE_SECONDS)
        process.kill()
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["True 1 0", "True 1 0"]
