"""What of the machine a container may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelport.pool import sizing

HOST = len(os.sched_getaffinity(0))


def group(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_without_a_control_group_the_affinity_counts(tmp_path: Path) -> None:
    assert sizing.cpus(tmp_path) == HOST


@pytest.mark.parametrize(("quota", "cpus"), [("50000 100000", 0.5), ("100000 100000", 1.0), ("max 100000", HOST)])
def test_the_quota_of_a_second_version_group(tmp_path: Path, quota: str, cpus: float) -> None:
    assert sizing.cpus(group(tmp_path, cpu_DOT_max=quota)) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("50000", 0.5), ("-1", HOST)])
def test_the_quota_of_a_first_version_group(tmp_path: Path, quota: str, cpus: float) -> None:
    folder = group(tmp_path, **{"cpu/cpu_DOT_cfs_quota_us": quota, "cpu/cpu_DOT_cfs_period_us": "100000"})
    assert sizing.cpus(folder) == cpus


def test_at_least_one_worker_may_start(tmp_path: Path) -> None:
    assert sizing.starts_at_once(group(tmp_path, cpu_DOT_max="10000 100000")) == 1


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_memory_limit_of_the_group(tmp_path: Path, name: str) -> None:
    assert sizing.memory(group(tmp_path, **{name: "1048576\n"})) == 1048576
    assert sizing.memory(tmp_path / "nothing here") > 1048576
