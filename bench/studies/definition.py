"""A study as its YAML file defines it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from bench.errors import UserError
from bench.paths import STUDIES
from bench.registry import unknown

DEFINITIONS = STUDIES


Options = dict[str, Any]


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of an ablation: options beside those that all settings share.

    Args:
        options: for training and running.
        train: for training.
        run: for running.
        codecs: codec to the options that it is trained with, before the strategy that uses it.
    """

    options: Options = {}
    train: Options = {}
    run: Options = {}
    codecs: dict[str, Options] = {}


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ablation as its YAML file defines it.

    Args:
        title: what varies, in words.
        decoder: strategy; or give ``codec``.
        codec: ``depth`` or ``masks``: train codecs and keep what they score; nothing is run.
        trained: whether every setting is trained anew; otherwise the shipped weights are decoded.
        budget: whether the settings trade accuracy for time.
        preset: of trainings and runs.
        seeds: a training or run for each.
        options: for training and running of all settings.
        train: for training.
        run: for running.
        points: name to setting.
    """

    title: str
    decoder: str = ""
    codec: str = ""
    trained: bool = False
    budget: bool = False
    preset: str = "embedded"
    seeds: list[int] = msgspec.field(default_factory=lambda: [0])
    options: Options = {}
    train: Options = {}
    run: Options = {}
    points: dict[str, Setting]


def names() -> list[str]:
    """Names of the ablations that ship with the program."""
    return sorted(path.stem for path in DEFINITIONS.glob("*.yaml"))


def read_definition(given: str) -> tuple[str, Definition]:
    """Name and definition of an ablation that is named, or lies in a YAML file.

    Raises:
        UserError: if there is none, or it is not an ablation.
    """
    path = DEFINITIONS / f"{given}.yaml"
    if given not in names():
        path = Path(given)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise UserError(unknown("ablation", given, names()))
    try:
        found = msgspec.convert(yaml.safe_load(path.read_text()), Definition)
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UserError(f"{path.name}: not an ablation ({' '.join(str(error).split())})") from None
    if not found.points or not found.seeds or bool(found.decoder) == bool(found.codec):
        raise UserError(f"{path.name}: an ablation names points, seeds, and a decoder or a codec")
    if len({_safe(point) for point in found.points}) < len(found.points):
        raise UserError(f"{path.name}: two points would share a folder; let their names differ in letters or digits")
    return path.stem, found


def _safe(point: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in point)
