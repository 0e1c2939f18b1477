"""Open the data that options name and build everything that depends on it: tokenizer, vocabulary, tasks, metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.builders.suite import Suite, make_tasks, task_choices, task_classes
from bench.checkpoints.codec import CODECS, load_codec
from bench.config.parts import DataOptions, SuiteOptions, TaskOptions
from bench.data.coco.annotations import KINDS
from bench.data.coco.captions import folder_captions
from bench.data.coco.classes import COCO_CLASSES
from bench.data.coco.reader import Coco
from bench.data.coco.remarks import NO_OUTLINE, note
from bench.data.dataset import Dataset
from bench.data.nyu.reader import Nyu
from bench.errors import UserError
from bench.paths import PRESETS, cache_folder
from tasks.base import MetricParts
from tasks.codecs.vqvae import Codec
from tasks.formats import tokenizer as text

Progress = Callable[[int, int], None]


def build_suite(
    options: SuiteOptions, *, annotated: bool = False, score_unseen: bool = False, progress: Progress | None = None
) -> Suite:
    """Open the data and make everything that depends on it.

    Raises:
        UserError: if data, options or their combination cannot be used.
    """
    classes = task_classes(options.tasks, options.sizes.layout)
    _check_windows(options, classes)
    dataset = open_dataset(options, progress=progress)
    off = _switched_off(classes, dataset)
    _check_outlines([cls for name, cls in classes.items() if name not in off], dataset)
    if annotated:
        off |= {name: "annotated objects take its place" for cls in classes.values() for name in cls.after}
    scored = [cls for name, cls in classes.items() if name not in off]
    needed = {earlier for cls in scored for earlier in cls.after}
    running = [cls for name, cls in classes.items() if name not in off or name in needed]
    if not scored:
        raise UserError("no task is left to run: " + "; ".join(f"{name}: {why}" for name, why in off.items()))
    captioned = dataset.coco if "captions" in {cls.kind for cls in running} else None
    tokenizer, source = (None, None) if captioned is None else _tokenizer(options, captioned)
    vocabulary, tasks = make_tasks(
        running,
        sizes=options.sizes,
        class_names=dataset.class_names,
        tokenizer=tokenizer,
        codecs=_compulsory_codecs(options, running),
        **task_choices(options, score_unseen=score_unseen),
    )
    return Suite(
        dataset=dataset,
        tasks=tasks,
        metrics={t.name: t.metric(_metric_parts(t.kind, dataset, options)) for t in tasks if t.name not in off},
        off=off,
        vocabulary=vocabulary,
        data=dataset.summary() | ({"tokenizer": source} if source else {}),
        classes=running,
        tokenizer=tokenizer,
    )


def open_dataset(options: DataOptions, *, progress: Progress | None = None) -> Dataset:
    """The data folders that the options name, or the embedded scenes where they name none."""
    coco_root, nyu_root, list_file = options.coco, options.nyu, options.nyu_list
    if coco_root is None and nyu_root is None:
        from bench.data.scenes import dataset as scenes
        from bench.data.scenes.coco_format import LISTS

        coco_root = nyu_root = scenes.cached(
            splits=(options.split,), world=options.scenes, cache=cache_folder(), progress=progress
        )
        list_file = coco_root / LISTS[options.split]
    coco = nyu = None
    if coco_root is not None:
        official = COCO_CLASSES if options.sizes.classes == len(COCO_CLASSES) else None
        coco = Coco(coco_root, split=options.split, classes=official)
        if coco.category_ids and len(coco.category_ids) > options.sizes.classes:
            raise UserError(
                f"{coco_root.name}: has {len(coco.category_ids)} categories, the preset "
                f"{options.sizes.classes} classes; choose another --preset or give --sizes.classes"
            )
    if nyu_root is not None:
        nyu = Nyu(
            nyu_root,
            split="train" if options.split == "train2017" else "test",
            list_file=list_file,
            depths=options.nyu_depths,
            scale=options.nyu_scale,
            exif=options.exif,
        )
    return Dataset(coco=coco, nyu=nyu, limit=options.limit, exif=options.exif)


def _compulsory_codecs(options: SuiteOptions, running: Sequence[Any]) -> dict[str, Codec]:
    """Task to codec where there is no plain format: in layout ``ait``."""
    if options.sizes.layout == "mad":
        return {}
    kinds = {cls.name: CODECS[cls.name] for cls in running if cls.name in CODECS}
    return {name: load_codec(kind, options.preset, options.checkpoints).codec for name, kind in kinds.items()}


def _check_windows(options: SuiteOptions, classes: Mapping[str, Any]) -> None:
    """Windows are merged as maps, and AiT's coordinates count in pixels of a square."""
    transform = options.image.transform
    if transform == "windows" and list(classes) != ["depth"]:
        raise UserError(f"--image.transform windows: merges depth only, not {', '.join(classes)}; give --tasks depth")
    canvas = [name for name, cls in classes.items() if cls.kind == "instances" and options.sizes.layout == "ait"]
    if canvas and transform not in ("letterbox", "square"):
        raise UserError(
            f"--image.transform {transform}: coordinates of {canvas[0]} count in pixels of a square; give letterbox"
        )


def _switched_off(classes: dict[str, Any], dataset: Dataset) -> dict[str, str]:
    off: dict[str, str] = {}
    for name, cls in classes.items():
        if cls.kind in dataset.absent:
            off[name] = dataset.absent[cls.kind]
        elif _needs_outlines(cls) and dataset.coco and dataset.coco.boxes_alone:
            off[name] = "no object has an outline (segmentation)"
        elif cls.kind == "person_keypoints" and "person" not in dataset.class_names:
            off[name] = "the annotations have no category 'person'"
    return off


def _needs_outlines(cls: Any) -> bool:
    return bool(cls.kind == "instances" and cls.name != "detection")


def _check_outlines(scored: Sequence[Any], dataset: Dataset) -> None:
    """Refuse objects without an outline where a task needs it."""
    names = [cls.name for cls in scored if _needs_outlines(cls)]
    coco = dataset.coco
    if coco is not None and names and (ids := coco.remarks.get(NO_OUTLINE)):
        raise UserError(
            f"{coco.root.name}: {note(NO_OUTLINE, ids)}, which {names[0]} needs; give their segmentation, or "
            "--tasks detection"
        )


def _metric_parts(kind: str, dataset: Dataset, options: TaskOptions) -> MetricParts:
    if dataset.coco is None or kind not in KINDS:
        return MetricParts()
    return MetricParts(
        ground_truth=dataset.coco.ground_truth(kind) if kind != "captions" else None,
        category_ids=dataset.coco.category_ids,
        references=dataset.coco.references() if kind == "captions" else None,
        caption_tokenizer=options.caption_tokenizer,
    )


def _tokenizer(options: SuiteOptions, coco: Coco) -> tuple[text.SentencePieceTokenizer, dict[str, Any]]:
    """The caption tokenizer and what the record says of it: given, shipped with the preset, or trained and cached."""
    shipped = PRESETS / f"{options.preset}.model"
    if options.tokenizer is not None:
        path, source = options.tokenizer, options.tokenizer.name
    elif shipped.exists():
        path, source = shipped, f"preset {options.preset}"
    else:
        path, source = _trained(coco, options.sizes.words)
    tokenizer = text.SentencePieceTokenizer(path)
    if len(tokenizer) > options.sizes.words:
        raise UserError(
            f"{path.name}: {len(tokenizer)} pieces, preset {options.preset!r} has room for "
            f"{options.sizes.words}; "
            "give --sizes.words or abbreviate the model with `vocabulary --abbreviate`"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return tokenizer, {"source": source, "pieces": len(tokenizer), "hash": digest}


def _trained(coco: Coco, words: int) -> tuple[Path, str]:
    captions, files = folder_captions(coco.root)
    digest = hashlib.sha256("\n".join([text.METHOD, str(words), *captions]).encode()).hexdigest()[:16]
    path = cache_folder() / "tokenizers" / f"{digest}.model"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        text.train(captions, path, size=words)
    return path, f"trained on {' and '.join(files)}"
