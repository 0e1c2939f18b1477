"""Where a run took place: machine, threads, versions, state of the source tree."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.paths import REPOSITORY

COMPUTING = ("bench/**/*.py", "decoders/**/*.py", "tasks/**/*.py", "results/*.py")
WRITTEN_BY_HAND = (  # as git names paths; the rest of results/ and the pages are written by the program
    "bench", "decoders", "tasks", "reports", ":(glob)results/*.py", "results/published", "results/claims.json",
    "results/baselines/thresholds.yaml", "constraints.txt", "pyproject.toml",
)  # fmt: skip
PACKAGES = (
    "decoder-bench", "torch", "torchvision", "timm", "numpy", "pillow", "pycocotools", "pycocoevalcap", "sentencepiece",
    "triton", "nvidia-ml-py",
)  # fmt: skip


def describe_environment(device: Any = None) -> dict[str, Any]:
    """What decides speed and may decide accuracy, as plain JSON data; nothing that identifies a person or a path.

    Args:
        device: torch's device that computes; the GPU is described only if it is one. Without it, any GPU that is there.
    """
    import torch

    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "device": device.type,
        **_gpu(device),
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        **git_state(REPOSITORY),
    }


def _gpu(device: Any) -> dict[str, Any]:
    """Name, versions and settings of the GPU that computes; names without values where none does."""
    import torch

    from bench.system.gpu import gpu_facts

    facts = dict.fromkeys(("gpu", "cuda", "tf32", "cudnn", "cudnn_benchmark", "driver", "power_limit_watts"))
    if device.type != "cuda":
        return facts
    return {
        **facts,
        "gpu": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        **gpu_facts(device),
    }


@cache
def source_hash(root: Path = REPOSITORY) -> str:
    """16 hexadecimal letters over the code that makes predictions and lines, committed or not, as it was when asked
    first in this process."""
    digest = hashlib.sha256()
    for place in COMPUTING:
        for path in sorted(root.glob(place)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def git_state(root: Path) -> dict[str, Any]:
    """``git_commit`` and ``git_dirty`` of a source tree; both None outside a repository.

    What the program itself writes does not make a tree dirty; the weights of a run are told by their hashes.
    """
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", *WRITTEN_BY_HAND) if commit else None
    return {"git_commit": commit, "git_dirty": None if changed is None else bool(changed)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


HARDWARE = ("cpu", "cores", "usable_cores", "memory_gib", "gpu", "system")


def hardware(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record's environment decides speed and is not chosen by a run."""
    found = {name: environment.get(name) for name in HARDWARE}
    if isinstance(found["memory_gib"], (int, float)):
        found["memory_gib"] = round(found["memory_gib"])  # kernels reserve a little more or less of it
    return found


def fingerprint(environment: Mapping[str, Any]) -> str:
    """12 letters that are equal on equal hardware."""
    plain = json.dumps(hardware(environment), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def hardware_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What differs, as ``name: one and other``; nothing on equal hardware."""
    a, b = hardware(first), hardware(second)
    return [f"{name}: {a[name]} and {b[name]}" for name in HARDWARE if a[name] != b[name]]
