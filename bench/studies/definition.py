"""A study as its YAML file defines it: arms, seeds, splits, contrasts and the published rows beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import paths
from bench.config.yaml_files import read_yaml
from bench.errors import UserError, unknown

Options = dict[str, Any]
SHIPPED, TRAINED = "shipped", "trained"


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of a study; its options come after those that all arms share, and win.

    Args:
        decoder: strategy; default: the study's.
        codec: codec that is trained in place of a strategy; default: the study's.
        weights: ``trained``, ``shipped``, or the arm whose weights this one runs with; default: the study's.
        shipped_seeds: seeds whose weights are the shipped ones although the others are trained.
        group: arms of the same group and seed are run interleaved, as one run; their strategies must differ.
        options: for training and running.
        train: for training.
        run: for running.
        codecs: codec to the options that it is trained with, before the strategy that uses it.
        encoder: options that the encoder is trained with, before the strategy; default: the shipped encoder.
        stages: further training options of each stage; a stage starts from the weights of the one before.
    """

    decoder: str = ""
    codec: Literal["", "depth", "masks"] = ""
    weights: str = ""
    shipped_seeds: list[int] = []
    group: str = ""
    options: Options = {}
    train: Options = {}
    run: Options = {}
    codecs: dict[Literal["depth", "masks"], Options] = {}
    encoder: Options | None = None
    stages: list[Options] = msgspec.field(default_factory=lambda: [{}])


class Effect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the paper says of one metric.

    Args:
        paper: its effect: the signed size, ``up`` or ``down`` where it gives only a direction, or null; of times the
            ratio.
        within: margin of a claim that nothing changes: the interval has to lie in ± this; of times 0.1 for ratios of
            1 / 1.1 to 1.1.
    """

    paper: float | Literal["up", "down"] | None = None
    within: float | None = None


class Contrast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weighted sum of arms, written down before its result; of times the product of their powers.

    Args:
        arms: arm to weight: ``{b: 1, a: -1}`` is b minus a, and b / a of times.
        metrics: ``task.metric``, or ``time.total`` or ``time.decode.<task>`` of arms of one group, to the effect or
            its ``paper`` alone.
        note: what the paper says.
    """

    arms: dict[str, float]
    metrics: dict[str, float | Literal["up", "down"] | Effect | None]
    note: str = ""

    @property
    def effects(self) -> dict[str, Effect]:
        """Metric to what the paper says of it."""
        return {k: e if isinstance(e, Effect) else Effect(paper=e) for k, e in self.metrics.items()}


class Splits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data splits that arms are trained, validated (by the training itself) and tested on (by the run)."""

    train: str = "train2017"
    validate: str = "val2017"
    test: str = "val2017"


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study.

    Args:
        title: what varies, in words.
        decoder: strategy of the arms that name none.
        codec: codec of the arms that name none; codecs are trained and scored by their reconstruction, nothing is run.
        weights: ``trained`` or ``shipped``: where the weights of an arm come from that says nothing else.
        budget: whether the arms trade accuracy for time.
        preset: of trainings and runs.
        seeds: a training or run for each.
        splits: of the data.
        data: folders that the command line must give, ``coco`` or ``nyu``.
        options: for training and running of all arms.
        train: for training.
        run: for running.
        arms: name to arm.
        contrasts: name to what is compared with what.
        published: ids of ``results/published/tables.yaml`` to show beside, with those that link to the study.
        tables: further tables of the page (``bench/studies/tables.py``), with the options of each.
    """

    title: str
    decoder: str = ""
    codec: Literal["", "depth", "masks"] = ""
    weights: Literal["trained", "shipped"] = "shipped"
    budget: bool = False
    preset: str = "embedded"
    seeds: list[int] = msgspec.field(default_factory=lambda: [0])
    splits: Splits = msgspec.field(default_factory=Splits)
    data: list[Literal["coco", "nyu"]] = []
    options: Options = {}
    train: Options = {}
    run: Options = {}
    arms: dict[str, Arm]
    contrasts: dict[str, Contrast] = {}
    published: list[str] = []
    tables: dict[str, Options] = {}

    def arm(self, name: str) -> Arm:
        """Return an arm with the study's decoder, codec and weights where it names none."""
        arm = self.arms[name]
        own = arm.decoder or arm.codec
        return msgspec.structs.replace(
            arm,
            decoder=arm.decoder if own else self.decoder,
            codec=arm.codec if own else self.codec,
            weights=arm.weights or (TRAINED if arm.codec or (self.codec and not own) else self.weights),
        )


def names() -> list[str]:
    """Return the names of the studies that ship with the program."""
    return sorted(path.stem for path in paths.STUDIES.glob("*.yaml"))


def read_definition(name: str) -> tuple[str, Definition]:
    """Return name and definition of a shipped study or of a YAML file.

    Raises:
        UserError: if there is none, or it is not a study.
    """
    path = paths.STUDIES / f"{name}.yaml"
    if name not in names():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            raise UserError(unknown("study", name, names()))
    try:
        definition = msgspec.convert(read_yaml(path), Definition)
    except msgspec.ValidationError as error:
        raise UserError(f"{path.name}: not a study ({error}); correct it as the shipped ones have it") from None
    if fault := _fault(definition):
        raise UserError(f"{path.name}: {fault}")
    return path.stem, definition


def _fault(definition: Definition) -> str:
    """What makes a definition unusable; empty if nothing does."""
    if not definition.arms or not definition.seeds:
        return "a study names arms and seeds; give at least one of each"
    if len({safe(name) for name in definition.arms}) < len(definition.arms):
        return "two arms would share a folder; let their names differ in letters or digits"
    faults = [_arm_fault(definition, name) for name in definition.arms]
    faults += [
        f"contrast {title!r}{fault}"
        for title, contrast in definition.contrasts.items()
        if (fault := _contrast_fault(definition, contrast))
    ]
    return next(filter(None, faults), "")


def _arm_fault(definition: Definition, name: str) -> str:
    arm = definition.arm(name)
    if bool(arm.decoder) == bool(arm.codec):
        return f"arm {name!r}: give a decoder or a codec"
    if arm.weights not in (SHIPPED, TRAINED) and arm.weights not in definition.arms:
        return f"arm {name!r}, weights: {unknown('arm', arm.weights, [SHIPPED, TRAINED, *definition.arms])}"
    if arm.weights in definition.arms and definition.arm(arm.weights).weights != TRAINED:
        return f"arm {name!r}: takes its weights of {arm.weights!r}, which is not trained; name one that is"
    return "" if arm.stages else f"arm {name!r}: give at least one stage, or leave stages out"


def _contrast_fault(definition: Definition, contrast: Contrast) -> str:
    for name in contrast.arms:
        if name not in definition.arms:
            return f": {unknown('arm', name, list(definition.arms))}"
    for key, effect in contrast.effects.items():
        if effect.within is not None and effect.within <= 0:
            return f", {key}: within {effect.within}; give a margin above 0"
        if not key.startswith("time."):
            continue
        if len({definition.arms[name].group or name for name in contrast.arms}) > 1 or sum(contrast.arms.values()) != 0:
            return f", {key}: times are a ratio of interleaved arms; give them one group and weights that add up to 0"
        if isinstance(effect.paper, float) and effect.paper <= 0:
            return f", {key}: paper {effect.paper}; give the ratio of times, above 0"
    return ""


def merged(*options: Mapping[str, Any]) -> Options:
    """Return later options over earlier ones, merged member by member."""
    result: Options = {}
    for layer in options:
        for name, value in layer.items():
            nested = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
            result[name] = merged(result[name], value) if nested else value
    return result


def safe(name: str) -> str:
    """Return a name of an arm as the name of a folder."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in name)
