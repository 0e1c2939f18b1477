"""What decoders run on: data set, tasks and metrics, and how tasks and their vocabulary are made from sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from bench import registry
from bench.builders.task_choice import CODE_RANGES, make_vocabulary, task_names
from bench.builders.task_formats import Formats
from bench.checkpoints.codec import CODECS
from bench.config.parts import SuiteOptions
from bench.data.dataset import Dataset
from bench.errors import UserError
from tasks.base import Metric, Task, TaskParts
from tasks.codecs.formats import DepthCodes, MaskCodes
from tasks.codecs.vqvae import Codec
from tasks.formats.tokenizer import Tokenizer
from tasks.formats.vocabulary import Sizes, Vocabulary


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
    return {name: registry.load(registry.TASKS, name) for name in task_names(given, layout)}


def make_tasks(
    classes: Sequence[Any],
    *,
    sizes: Sizes,
    class_names: Sequence[str],
    tokenizer: Tokenizer | None,
    codecs: Mapping[str, Codec] | None = None,
    vocabulary: Vocabulary | None = None,
    **choices: Any,
) -> tuple[Vocabulary, list[Task]]:
    """Tasks and the vocabulary they share.

    ``codecs`` is task name to codec, for tasks whose sequences are codes; ``vocabulary`` replaces that of all installed
    tasks. ``choices`` are the further members of ``TaskParts``.
    """
    codecs = codecs or {}
    if vocabulary is None:
        codes = {name: codec.options.codes for name, codec in codecs.items()}
        vocabulary = make_vocabulary(sizes, words=None if tokenizer is None else len(tokenizer), codes=codes)
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


def with_formats(
    suite: Suite,
    formats: Formats,
    options: SuiteOptions,
    *,
    score_unseen: bool = False,
    card: Mapping[str, Any] | None = None,
) -> Suite:
    """Return the same data and metrics with the tasks and the vocabulary of one decoder.

    Weights know the ids that they were trained with; tasks of packages that were installed since are left out.

    Args:
        suite: data and tasks with plain formats.
        formats: of the decoder.
        options: of the run.
        score_unseen: as in ``TaskParts``.
        card: of the decoder's weights, if it has any.

    Raises:
        UserError: if ``--tasks`` names a task that the weights do not know.
    """
    codes = {task: codec.options.codes for task, codec in formats.modules.items()}
    words = None if suite.tokenizer is None else len(suite.tokenizer)
    vocabulary = make_vocabulary(options.sizes, words=words, codes=codes, added=(card or {}).get("added"))
    if card is not None and card.get("vocabulary") != len(vocabulary):
        with suppress(ValueError, TypeError):  # what fits neither way is refused when the weights are loaded
            vocabulary = vocabulary.first(card["vocabulary"])
    if not formats.codecs and list(vocabulary) == list(suite.vocabulary):
        return suite
    off = _unknown_tasks(suite.classes, vocabulary, options)
    classes = [cls for cls in suite.classes if cls.name not in off]
    vocabulary, tasks = make_tasks(
        classes,
        sizes=options.sizes,
        class_names=suite.dataset.class_names,
        tokenizer=suite.tokenizer,
        codecs=formats.modules,
        vocabulary=vocabulary,
        **task_choices(options, score_unseen=score_unseen),
    )
    return replace(
        suite,
        vocabulary=vocabulary,
        tasks=tasks,
        formats=formats.card,
        metrics={name: metric for name, metric in suite.metrics.items() if name not in off},
        off=suite.off | off,
        classes=classes,
    )


def _unknown_tasks(classes: Sequence[Any], vocabulary: Vocabulary, options: SuiteOptions) -> dict[str, str]:
    """Return the tasks whose ids a vocabulary lacks, and those that depend on them, each with the reason."""
    off: dict[str, str] = {}
    for cls in classes:
        ranges = registry.task(cls.name).ranges(options.sizes).keys()
        if ranges <= {each.name for each in vocabulary} and not off.keys() & set(cls.after):
            continue
        if options.tasks is not None:
            raise UserError(f"--tasks: weights were trained without {cls.name}; leave it out, or train again with it")
        off[cls.name] = "the weights were trained without it"
    return off
