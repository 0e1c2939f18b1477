"""What decoders run on: data set, tasks and metrics, and how tasks and their vocabulary are made from sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench import registry
from bench.builders.task_formats import Formats
from bench.checkpoints.codec import CODECS
from bench.config.parts import SuiteOptions
from bench.data.dataset import Dataset
from bench.errors import UserError
from tasks.base import Metric, Task, TaskParts
from tasks.codecs.formats import DepthCodes, MaskCodes
from tasks.codecs.vqvae import Codec
from tasks.formats.tokenizer import Tokenizer
from tasks.formats.vocabulary import DEPTH_CODE, MASK_CODE, Sizes, Vocabulary

CODE_RANGES = {"segmentation": MASK_CODE, "instances": MASK_CODE, "depth": DEPTH_CODE}
"""Task to the range of its learned codes, in the order in which they are appended to the vocabulary."""


@dataclass(frozen=True)
class Suite:
    """What decoders are run on.

    Args:
        dataset: images with their annotations.
        tasks: tasks that run, each behind those it depends on.
        metrics: one per task that is scored; a task may run only because another needs its predictions.
        off: tasks that do not run, each with the reason.
        vocabulary: ids of all tokens.
        data: what the record says of the data, the tokenizer included.
        classes: classes of ``tasks``.
        tokenizer: of captions, if there are any.
        formats: what the record says of formats that are not plain.
    """

    dataset: Dataset
    tasks: Sequence[Task]
    metrics: dict[str, Metric]
    off: dict[str, str]
    vocabulary: Vocabulary
    data: dict[str, Any]
    classes: Sequence[Any]
    tokenizer: Tokenizer | None
    formats: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in self.tasks]


def task_classes(given: str | None, layout: str = "mad") -> dict[str, Any]:
    """Classes of the named tasks (comma-separated, None for all) and of those they depend on, dependencies first.

    Raises:
        UserError: if a name is unknown, is of another layout of the vocabulary, or there is none.
    """
    known = [n for n in registry.names(registry.TASKS) if layout in layouts(registry.load(registry.TASKS, n))]
    wanted = known if given is None else [name.strip() for name in given.split(",") if name.strip()]
    ordered: dict[str, Any] = {}

    def add(name: str) -> None:
        if name not in ordered:
            cls = registry.load(registry.TASKS, name)
            if layout not in layouts(cls):
                raise UserError(
                    f"--tasks: {name} is not a task of layout {layout!r} (sizes.layout), which has {', '.join(known)}"
                )
            for earlier in cls.after:
                add(earlier)
            ordered[name] = cls

    for name in wanted:
        add(name)
    if not ordered:
        raise UserError(f"--tasks {given}: names no task; known: {', '.join(known)}")
    return ordered


def make_tasks(
    classes: Sequence[Any],
    *,
    sizes: Sizes,
    class_names: Sequence[str],
    tokenizer: Tokenizer | None,
    codecs: Mapping[str, Codec] | None = None,
    **choices: Any,
) -> tuple[Vocabulary, list[Task]]:
    """Tasks and the vocabulary they share.

    Tasks of other packages may bring id ranges (``ranges(sizes)``). Those of all installed tasks are appended in order
    of task name, whichever of them run, so that ids do not depend on the choice of tasks. Behind them come the ranges
    of learned codes: ``codecs`` is task name to codec, for tasks whose sequences are codes. ``choices`` are the further
    members of ``TaskParts``.
    """
    codecs = codecs or {}
    extra: dict[str, int] = {}
    for name in sorted(registry.names(registry.TASKS)):
        own: Mapping[str, int] = getattr(registry.load(registry.TASKS, name), "ranges", lambda sizes: {})(sizes)
        if taken := own.keys() & extra.keys():
            raise UserError(f"task {name!r} adds the id range {min(taken)!r}, which another task adds too; rename one")
        extra |= own
    extra |= {CODE_RANGES[name]: codecs[name].options.codes for name in CODE_RANGES if name in codecs}
    vocabulary = Vocabulary(sizes, words=None if tokenizer is None else len(tokenizer), extra=extra)
    parts = TaskParts(vocabulary=vocabulary, sizes=sizes, class_names=class_names, tokenizer=tokenizer, **choices)
    return vocabulary, [cls(parts, **_code_format(cls.name, parts, codecs)) for cls in classes]


def _code_format(task: str, parts: TaskParts, codecs: Mapping[str, Codec]) -> dict[str, Any]:
    """What a task is given beside its parts where its sequences are learned codes."""
    if task not in codecs:
        return {}
    ids = parts.vocabulary[CODE_RANGES[task]]
    kind = CODECS[task]
    given = {"temperature": parts.temperatures[kind]} if kind in parts.temperatures else {}
    if kind == "masks":
        return {"masks": MaskCodes(ids, codecs[task], **given)}
    return {"depths": DepthCodes(ids, codecs[task], grid=parts.sizes.depth_grid, **given)}


def task_choices(options: SuiteOptions, *, score_unseen: bool) -> dict[str, Any]:
    """What the options say of tasks beside their sizes."""
    return {
        "reading": options.reading,
        "score_unseen": score_unseen,
        "canvas": options.image.side,
        "temperatures": options.temperatures,
    }


def layouts(cls: Any) -> tuple[str, ...]:
    """Layouts of the vocabulary that have a task's ids."""
    return getattr(cls, "layouts", ("mad",))


def with_formats(suite: Suite, formats: Formats, options: SuiteOptions, *, score_unseen: bool = False) -> Suite:
    """The same data and metrics with the tasks and the vocabulary of these formats."""
    if not formats.codecs:
        return suite
    vocabulary, tasks = make_tasks(
        suite.classes,
        sizes=options.sizes,
        class_names=suite.dataset.class_names,
        tokenizer=suite.tokenizer,
        codecs=formats.modules,
        **task_choices(options, score_unseen=score_unseen),
    )
    return replace(suite, vocabulary=vocabulary, tasks=tasks, formats=formats.card)
