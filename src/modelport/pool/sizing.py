"""How much of the machine this process may use: the control group's word counts, not the host's."""

from __future__ import annotations

import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def cpus(group: Path = _GROUP) -> float:
    """Processors available: affinity, bounded by the control group's quota (v2 or v1)."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _words(group / "cpu.max")
    if len(quota) == 2 and quota[0] != "max":
        return min(count, int(quota[0]) / int(quota[1]))
    old_quota, old_period = _words(group / "cpu/cpu.cfs_quota_us"), _words(group / "cpu/cpu.cfs_period_us")
    if old_quota and old_period and int(old_quota[0]) > 0:
        return min(count, int(old_quota[0]) / int(old_period[0]))
    return count


def memory(group: Path = _GROUP) -> int:
    """Bytes available: physical memory, bounded by the control group's limit (v2 or v1)."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _words(group / name)
        if limit and limit[0] != "max":
            return min(total, int(limit[0]))
    return total


def starts_at_once(group: Path = _GROUP) -> int:
    """How many workers may load at the same time: one a processor, so that loading has no peaks."""
    return max(1, int(cpus(group)))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
