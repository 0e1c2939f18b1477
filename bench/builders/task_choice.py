"""Which tasks run, and the vocabulary that they share. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping

from bench import registry
from bench.errors import UserError
from tasks.formats.vocabulary import DEPTH_CODE, MASK_CODE, Sizes, Vocabulary

CODE_RANGES = {"segmentation": MASK_CODE, "instances": MASK_CODE, "depth": DEPTH_CODE}
"""Task to the range of its learned codes, in the order in which they are appended to the vocabulary."""


def task_names(given: str | None, layout: str = "mad") -> list[str]:
    """Return the named tasks (comma-separated, None for all) and those they depend on, dependencies first.

    Raises:
        UserError: if a name is unknown, is of another layout of the vocabulary, or there is none.
    """
    choices = [name for name in registry.usable(registry.TASKS) if layout in registry.task(name).layouts]
    ordered: list[str] = []

    def add(name: str) -> None:
        if name in ordered:
            return
        entry = registry.task(name)
        if layout not in entry.layouts:
            raise UserError(
                f"--tasks: {name} is not a task of layout {layout!r} (sizes.layout), which has {', '.join(choices)}"
            )
        for earlier in entry.after:
            add(earlier)
        ordered.append(name)

    for name in choices if given is None else filter(None, map(str.strip, given.split(","))):
        add(name)
    if not ordered:
        raise UserError(f"--tasks {given}: names no task; known: {', '.join(choices)}")
    return ordered


def make_vocabulary(
    sizes: Sizes,
    *,
    words: int | None = None,
    codes: Mapping[str, int] | None = None,
    added: Mapping[str, int] | None = None,
) -> Vocabulary:
    """Return the ids of all tokens.

    Behind those of the layout come learned codes, then the ranges that tasks of other packages bring, in order of task
    name. All installed tasks count, whichever of them run, so that ids do not depend on the choice of tasks.

    Args:
        sizes: of the preset.
        words: pieces of the caption tokenizer; None: as many as ``sizes`` has.
        codes: task to the number of its learned codes, for tasks whose sequences are codes.
        added: ranges of other packages' tasks that come first, as weights were trained with them.

    Raises:
        UserError: if two tasks add a range of the same name.
    """
    codes = codes or {}
    extra = {CODE_RANGES[task]: codes[task] for task in CODE_RANGES if task in codes}
    brought: dict[str, int] = {}
    for name in sorted(registry.usable(registry.TASKS)):
        ranges = registry.task(name).ranges(sizes)
        if taken := ranges.keys() & (brought.keys() | extra.keys()):
            raise UserError(f"task {name!r} adds the id range {min(taken)!r}, which another adds too; rename one")
        brought |= ranges
    return Vocabulary(sizes, words=words, extra=extra | dict(added or {}) | brought)
