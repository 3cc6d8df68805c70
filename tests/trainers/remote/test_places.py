"""A real Ray cluster: a job with data and model trains there, is preempted once, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.places import carry


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_ray_cluster_carries_a_job_out_and_brings_it_back(tmp_path: Path) -> None:
    carry("ray", tmp_path)
