"""Options of the commands that inspect and convert."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.config.parts import DataReading
from bench.data.scenes.worlds import WorldName


@dataclass(frozen=True)
class ListOptions:
    """Options of ``list``.

    Args:
        what: list only these.
    """

    what: Literal["all", "decoders", "tasks", "presets"] = "all"


@dataclass(frozen=True)
class DescribeOptions:
    """Options of ``describe``.

    Args:
        name: a decoder, task or preset.
        preset: preset whose sizes a task is described with; default: ``paper``, or one that has the task.
        formats: task to format that it is described with, as in ``run``.
    """

    name: str
    preset: str | None = None
    formats: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(DataReading):
    """Options of ``verify-data``.

    Args:
        split: which split; ``all`` takes those that are there.
        workers: threads that decode images.
        headers_only: read sizes only, do not decode images (much faster, misses truncated files).
    """

    split: Literal["val2017", "train2017", "all"] = "all"
    workers: int = 2
    headers_only: bool = False


@dataclass(frozen=True)
class ScenesOptions:
    """Options of ``scenes``.

    Args:
        out: folder to write; it is a COCO root and a NYUv2 root at once.
        split: which split to render.
        count: images; default: 300 for val2017, 16,000 for train2017, 1,000 for test2017.
        seed: seed of the scenes.
        scenes: world of the scenes.
    """

    out: Path
    split: Literal["val2017", "train2017", "test2017", "all"] = "val2017"
    count: int | None = None
    seed: int = 2017
    scenes: WorldName = "rooms"


@dataclass(frozen=True)
class VocabularyOptions:
    """Options of ``vocabulary``.

    Args:
        captions: COCO caption file (JSON), or a text file with one caption a line.
        out: ``.model`` file to write.
        size: most pieces of a newly trained model.
        abbreviate: existing ``.model`` to cut down to the pieces that the captions use, instead of training.
    """

    captions: Path
    out: Path
    size: int = 11421
    abbreviate: Path | None = None


@dataclass(frozen=True)
class SchemaOptions:
    """Options of ``schema``.

    Args:
        out: file to write instead of printing.
    """

    out: Path | None = None


@dataclass(frozen=True)
class ParityOptions:
    """Options of ``parity``.

    Args:
        file: golden ``.npz`` file.
    """

    file: Path


@dataclass(frozen=True)
class ImportOptions:
    """Options of ``import``.

    Args:
        kind: whose checkpoint it is.
        checkpoint: released state dict (safetensors, or a torch file that holds tensors only).
        out: ``.safetensors`` file to write; its card lies beside it.
        codecs: imported codecs that a task solver of AiT was trained with, where they do not lie in its checkpoint.
        tokenizer: SentencePiece ``.model`` that a checkpoint of MAD learned captions with; without it they cannot run.
        entry: state dict to take of a file that holds several, e.g. ``ema`` or ``ema.module``; default: the top, or
            ``model``, ``state_dict``, ``module`` or ``weights``.
        allow_missing: import a checkpoint that lacks more than 5 % of the network, which stays random.
    """

    kind: Literal["mad", "ait"]
    checkpoint: Path
    out: Path = Path("imported.safetensors")
    codecs: tuple[Path, ...] = ()
    tokenizer: Path | None = None
    entry: str | None = None
    allow_missing: bool = False


@dataclass(frozen=True)
class SweepOptions:
    """Options of ``sweep``.

    Args:
        file: YAML file with ``options`` and ``matrix``, or the name of a shipped one: ``gpu``.
        out: folder of the runs, in place of the file's.
        only: run those whose name contains this.
        fresh: run finished ones again, and discard unfinished ones.
        show: only print the names of the runs.
    """

    file: Path
    out: Path | None = None
    only: str | None = None
    fresh: bool = False
    show: bool = False
