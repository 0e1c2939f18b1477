"""Largest values of options: beyond them a run would end for lack of memory, or never, without saying why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from bench.errors import UserError

ANY_NUMBER = 10**12
"""Largest size of a number whose option has no bound of its own."""
MOST = {
    "accumulate": 4096,
    "batch": 1_000_000,
    "bins": 100_000,
    "blocks": 100,
    "caption_length": 1000,
    "classes": 10_000,
    "code_width": 8192,
    "codes": 100_000,
    "count": 10_000_000,
    "decoder_layers": 200,
    "depth_bins": 10_000,
    "depth_grid": 500,
    "draws": 100_000,
    "encoder_layers": 200,
    "ffn": 131_072,
    "gallery": 1000,
    "heads": 1024,
    "image_side": 8192,
    "images": 10_000_000,
    "imagined": 1_000_000,
    "instances": 10_000,
    "jobs": 1024,
    "keypoints": 1000,
    "longest": 8192,
    "mask_size": 512,
    "max_depth": 10_000,
    "others": 100_000,
    "patch": 8192,
    "persons": 10_000,
    "positions": 100_000,
    "ratio": 1024,
    "readers": 256,
    "repeats": 100_000,
    "resamples": 1_000_000,
    "seed": 2**63 - 1,
    "short": 8192,
    "side": 8192,
    "slots": 10_000,
    "threads": 1024,
    "width": 8192,
    "windows": 1024,
    "words": 1_000_000,
    "workers": 256,
}
"""Last part of an option's name to its largest value."""


def check_values(values: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Refuse values that the parser lets through: null, a number for a section, and numbers beyond ``MOST``.

    Args:
        values: parsed options, members of a section nested.
        types: what ``option_types`` returns.

    Raises:
        UserError: with the option's name.
    """
    for name, hint in types.items():
        *sections, last = name.split(".")
        inner: Any = values
        for section in sections:
            inner = inner.get(section) if _is_section(inner) else None
        if not _is_section(inner) or last not in inner:
            continue
        value = inner[last]
        if dataclasses.is_dataclass(hint):
            if not _is_section(value):
                raise UserError(f"--{name} {value}: is a section; give its members, such as --{name}.{_first(hint)}")
        elif value is None and not (hint is Any or type(None) in get_args(hint)):
            raise UserError(f"--{name} null: give a value, or leave the option out")
        else:
            _check_numbers(name, value)


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "as_dict")  # a namespace of the parser


def _first(hint: Any) -> str:
    return dataclasses.fields(hint)[0].name


def _check_numbers(name: str, value: Any) -> None:
    """Refuse a number, also in lists and mappings, that is not finite or too large."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _check_numbers(f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_numbers(name, part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        most = MOST.get(name.rpartition(".")[2], ANY_NUMBER)
        if not -most <= value <= most:  # nor NaN
            raise UserError(f"--{name} {str(value)[:40]}: give a number up to {most:,}")
