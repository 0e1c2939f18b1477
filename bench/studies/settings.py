"""All options of an ablation's setting, defaults and weights included: what its folder was filled with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bench import registry
from bench.builders.decoder import build_decoder, options_of
from bench.checkpoints.checkpoint import weights_hashes
from bench.config.loading import parse_codec, parse_run, parse_train
from bench.config.run import RunOptions
from bench.config.training import TrainOptions

PLACES = ("out", "checkpoints", "fresh", "report")  # where things lie, and what decides no number


def settings(
    *, train: Sequence[str] | None, run: Sequence[str] | None, codecs: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Options by the name of what they are for, as plain JSON data.

    Args:
        train: words of the training's command line, if there is one.
        run: words of the run's.
        codecs: words of the trainings of codecs before.

    Raises:
        UserError: if a command would refuse them.
    """
    found: dict[str, Any] = {}
    for number, words in enumerate(codecs):
        found[f"codec {number}"] = _plain(parse_codec(list(words)))
    if train is not None and any(word.startswith("--codec=") for word in train):
        found["training"] = _plain(parse_codec(list(train)))
    elif train is not None:
        found["training"] = _of_training(parse_train(list(train)))
    if run is not None:
        found["run"] = _of_run(parse_run(list(run)), shipped=train is None)
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _of_training(options: TrainOptions) -> dict[str, Any]:
    return {**_plain(options), "strategy": _options(options.decoder, options.strategy)}


def _of_run(options: RunOptions, *, shipped: bool) -> dict[str, Any]:
    """Options of a run and, where it decodes shipped weights, their hashes."""
    name = options.decoder
    cls = registry.load(registry.DECODERS, name)
    known: dict[str, str] = {}
    if shipped and cls.needs_network:
        with suppress(OSError):  # the run says which weights are missing
            known = weights_hashes(getattr(cls, "weights", name), options)
    return {**_plain(options), "strategy": _options(name, options.strategy), "weights": known}


def _options(name: str, given: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return options_of(build_decoder(registry.load(registry.DECODERS, name), given))


def _plain(options: Any) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(options).items() if name not in PLACES}
