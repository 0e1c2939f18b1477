"""Decoders and tasks by name, from the entry points of every installed package, ours and third parties' alike."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bench.errors import UserError, unknown

DECODERS = "decoder_bench.decoders"
TASKS = "decoder_bench.tasks"


def names(group: str) -> list[str]:
    """Names registered in a group, ours first, each part in alphabetical order."""
    return list(_points(group))


def check(group: str, name: str) -> EntryPoint:
    """The entry point of a name, not yet imported.

    Raises:
        UserError: if the name is unknown.
    """
    points = _points(group)
    if name not in points:
        raise UserError(unknown(group.rsplit(".", 1)[1].removesuffix("s"), name, list(points)))
    return points[name]


def load(group: str, name: str) -> Any:
    """The class behind a name.

    Raises:
        UserError: if the name is unknown, or the package that registered it cannot be imported.
    """
    point = check(group, name)
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{name!r} is registered as {point.value} but cannot be loaded ({error}); reinstall its package"
        ) from error


def check_tasks(option: str, given: Collection[str]) -> None:
    """Refuse names that are no task's, wherever an option is set task by task.

    Raises:
        UserError: with the nearest name.
    """
    known = names(TASKS) if given else []
    for name in given:
        if name not in known:
            raise UserError(f"{option}: {unknown('task', name, known)}")


def headline(task: str) -> tuple[str, ...] | None:
    """Return a task's metrics for tables; None (all) for a task that is not installed."""
    if task not in names(TASKS):
        return None
    return tuple(load(TASKS, task).headline)


def _points(group: str) -> dict[str, EntryPoint]:
    found = list(entry_points(group=group))
    if not found:
        raise UserError(f"no {group} are registered; install the project first: pip install -e .")
    own = sorted((point for point in found if _is_ours(point)), key=lambda point: point.name)
    others = sorted((point for point in found if not _is_ours(point)), key=lambda point: point.name)
    points: dict[str, EntryPoint] = {}
    for point in own + others:
        if point.name in points and points[point.name].value != point.value:
            raise UserError(
                f"two packages register {point.name!r} in {group}: {points[point.name].value} and {point.value}; "
                "uninstall one of them"
            )
        points[point.name] = point
    return points


def _is_ours(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == "decoder-bench"
