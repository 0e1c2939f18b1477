"""The environment of a run: machine, threads, versions, state of the source tree."""

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

import psutil

from bench.paths import REPOSITORY
from bench.system.host import load_average

COMPUTING = ("bench/**/*.py", "decoders/**/*.py", "tasks/**/*.py", "results/*.py")
WRITTEN_BY_HAND = (  # as git names paths; the rest of results/ and the pages are written by the program
    "bench", "decoders", "tasks", "reports", ":(glob)results/*.py", "results/published", "results/claims.yaml",
    "results/baselines/thresholds.yaml", "constraints.txt", "pyproject.toml",
)  # fmt: skip
PACKAGES = (
    "decoder-bench", "torch", "torchvision", "timm", "numpy", "pillow", "pycocotools", "pycocoevalcap", "sentencepiece",
    "triton", "nvidia-ml-py",
)  # fmt: skip
DIRTY = "note: the source tree has uncommitted changes; commit them before publishing what is measured here"
HARDWARE = ("cpu", "cores", "usable_cores", "memory_gib", "gpu", "system")


def describe_environment(device: Any = None) -> dict[str, Any]:
    """Return what decides speed and may decide accuracy, as JSON data that identifies no person and no path.

    Args:
        device: torch's device that computes; default: a GPU if there is one. A GPU is described only if it computes.
    """
    import torch

    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "device": device.type,
        **_gpu(device),
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
        "load_average": load_average(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        **git_state(REPOSITORY),
    }


def _gpu(device: Any) -> dict[str, Any]:
    """Return name, versions and settings of the GPU that computes; all None where none does."""
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
    """Return 16 hexadecimal digits of the code that makes predictions and samples, committed or not.

    Later calls in a process return the same.
    """
    digest = hashlib.sha256()
    for pattern in COMPUTING:
        for path in sorted(root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def git_state(root: Path) -> dict[str, Any]:
    """Return ``git_commit`` and ``git_dirty`` of a source tree; both None outside a repository.

    Files that the program itself writes do not make a tree dirty. A record has hashes of its weights.
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
    """Return the processor's model. Neither psutil nor ``platform`` knows it on Linux."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def hardware(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a record's environment decides speed and is not chosen by a run."""
    values = {name: environment.get(name) for name in HARDWARE}
    if isinstance(values["memory_gib"], (int, float)):
        values["memory_gib"] = round(values["memory_gib"])  # kernels reserve a little more or less of it
    return values


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that are equal on equal hardware."""
    plain = json.dumps(hardware(environment), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def hardware_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return what differs, as ``name: first and second``; empty on equal hardware."""
    a, b = hardware(first), hardware(second)
    return [f"{name}: {a[name]} and {b[name]}" for name in HARDWARE if a[name] != b[name]]
