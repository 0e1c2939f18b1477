"""Decoders and tasks by name, from the entry points of every installed package, ours and third parties' alike.

What a class declares is read here and nowhere else: the required attributes of ``decoders.base.Decoder`` and
``tasks.base.Task``, and the optional ones with their defaults. Of our own classes it is read from their source, so that
``list``, ``describe`` and mistakes in options take no seconds for torch; a class itself is imported by ``load``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from bench.class_source import read_class
from bench.errors import UserError, unknown

DECODERS = "decoder_bench.decoders"
TASKS = "decoder_bench.tasks"
OURS = "decoder-bench"

E = TypeVar("E", "DecoderEntry", "TaskEntry")


@dataclass(frozen=True)
class DecoderEntry:
    """What the class of a strategy declares; see ``decoders.base`` for the members.

    Args:
        name: on the command line.
        summary: one line for ``list``.
        needs_truth: whether it is given the ground truth's tokens.
        needs_network: whether an image is encoded for it.
        weights: name of its checkpoint.
        Options: class of its options; None: it has none.
        by_task: options that are mappings from task names.
        formats: task to the format that it wants.
    """

    name: str
    summary: str
    needs_truth: bool
    needs_network: bool
    weights: str
    Options: type[Any] | None = None
    by_task: tuple[str, ...] = ()
    formats: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskEntry:
    """What the class of a task declares; see ``tasks.base`` for the members.

    Args:
        name: in reports.
        summary: one line for ``list``.
        kind: annotation that it needs.
        after: tasks whose predictions it needs.
        headline: metrics shown in tables.
        layouts: layouts of the vocabulary that have its ids.
        ranges: sizes of the preset to name and size of every id range that it adds.
        sequence_format: vocabulary, sizes and shape of the codec (None: plain) to the format; None: a task is made.
    """

    name: str
    summary: str
    kind: str
    after: tuple[str, ...]
    headline: tuple[str, ...]
    layouts: tuple[str, ...] = ("mad",)
    ranges: Callable[[Any], Mapping[str, int]] = field(default=lambda sizes: {})
    sequence_format: Callable[[Any, Any, Any], Any] | None = None


def names(group: str) -> list[str]:
    """Return the names registered in a group, ours first, each part in alphabetical order."""
    return list(_points(group))


@cache
def usable(group: str) -> tuple[str, ...]:
    """Return the names whose class can be imported; each other one is named once on standard error, with the reason."""
    good = []
    read = decoder if group == DECODERS else task
    for name in names(group):
        try:
            read(name)
            good.append(name)
        except UserError as error:
            print(f"note: left out: {error}", file=sys.stderr)
    return tuple(good)


def check(group: str, name: str) -> EntryPoint:
    """Return the entry point of a name, not yet imported.

    Raises:
        UserError: if the name is unknown.
    """
    points = _points(group)
    if name not in points:
        raise UserError(unknown(_kind(group), name, list(points)))
    return points[name]


def load(group: str, name: str) -> Any:
    """Return the class behind a name.

    Raises:
        UserError: if the name is unknown, or the package that registered it cannot be imported.
    """
    point = check(group, name)
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does, the other entries still work
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{_kind(group)} {name!r} is registered as {point.value} but cannot be loaded ({reason}); "
            "mend, reinstall or uninstall its package"
        ) from error


@cache
def decoder(name: str) -> DecoderEntry:
    """Return what a decoder declares. Raises UserError as ``load``, or if a required attribute is missing."""
    return _registered(DecoderEntry, DECODERS, name)


@cache
def task(name: str) -> TaskEntry:
    """Return what a task declares. Raises UserError as ``load``, or if a required attribute is missing."""
    return _registered(TaskEntry, TASKS, name)


def entry_of(cls: type[E], declared: Any) -> E:
    """Return what a class or an instance declares, or a mapping of attributes.

    Raises:
        UserError: if a required attribute is missing.
    """
    attributes = declared
    if not isinstance(declared, Mapping):
        attributes = {name: getattr(declared, name) for name in dir(declared) if not name.startswith("_")}
    attributes = {"weights": attributes.get("name"), **attributes}
    values = {each.name: attributes[each.name] for each in fields(cls) if each.name in attributes}
    required = [each.name for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise UserError(f"it lacks {', '.join(missing)}, which decoders/base.py and tasks/base.py ask for")
    return cls(**values)


def documentation(group: str, name: str) -> str:
    """Return the docstring of the module that a decoder or task is written in."""
    point = check(group, name)
    if _is_ours(point):
        return read_class(point.module, point.attr).documentation
    return inspect.cleandoc(sys.modules[load(group, name).__module__].__doc__ or "")


def check_tasks(option: str, given: Collection[str]) -> None:
    """Refuse names that are no task's, wherever an option is set task by task.

    Raises:
        UserError: with the nearest name.
    """
    for name in given:
        if name not in names(TASKS):
            raise UserError(f"{option}: {unknown('task', name, names(TASKS))}")


def headline(name: str) -> tuple[str, ...] | None:
    """Return a task's metrics for tables; None (all) for a task that is not installed."""
    return task(name).headline if name in usable(TASKS) else None


def refresh() -> None:
    """Read entry points anew, after a package was installed into this process."""
    for cached in (_points, usable, decoder, task):
        cached.cache_clear()


def _registered(cls: type[E], group: str, name: str) -> E:
    point = check(group, name)
    declared = read_class(point.module, point.attr).attributes if _is_ours(point) else load(group, name)
    try:
        return entry_of(cls, declared)
    except UserError as error:
        raise UserError(f"{_kind(group)} {name!r} is registered as {point.value} but cannot be used: {error}") from None


def _kind(group: str) -> str:
    return group.rsplit(".", 1)[1].removesuffix("s")


@cache
def _points(group: str) -> Mapping[str, EntryPoint]:
    """Return name to entry point; installed metadata is read once a process."""
    every = sorted(entry_points(group=group), key=lambda point: (not _is_ours(point), point.name))
    if not every:
        raise UserError(f"no {group} are registered; install the project first: pip install -e .")
    points: dict[str, EntryPoint] = {}
    for point in every:
        if point.name in points and points[point.name].value != point.value:
            raise UserError(
                f"two packages register {point.name!r} in {group}: {points[point.name].value} and {point.value}; "
                "uninstall one of them"
            )
        points[point.name] = point
    return points


def _is_ours(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == OURS
