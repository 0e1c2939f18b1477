"""Commands that repeat runs, from the options in their records."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

from bench.config.loading import load_run, preset_names
from reports.runs import flat
from results.record import Record

LEFT_OUT = ("preset", "seed", "strategy", "report", "decoder", "out")


def commands(records: Sequence[Record]) -> list[str]:
    """Return one command per set of options, in the order of the runs."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(_options(record), []).append(record.decoder)
    return [
        f"python -m bench run --decoder {shlex.quote(','.join(dict.fromkeys(names)))}{options}"
        for options, names in groups.items()
    ]


def _options(record: Record) -> str:
    """Return the options that differ from the preset's, as words."""
    words = [f"--preset {shlex.quote(record.preset)}"]
    defaults = _defaults(record.preset)
    for name, value in flat(record.options).items():
        differs = name in defaults and _plain(value) != _plain(defaults[name])
        if differs and name.partition(".")[0] not in LEFT_OUT:
            words.append(f"--{name.replace('_', '-')} {_word(value)}")
    words += [f"--seed {record.seed}"] if record.seed else []
    strategy = record.options.get("strategy", {}).get(record.decoder)
    words += [f"--strategy {_word({record.decoder: strategy})}"] if strategy else []
    return "".join(f" {word}" for word in words)


def _defaults(preset: str) -> dict[str, Any]:
    """Return the flat options of a preset; none if it does not exist any more."""
    if preset not in preset_names():
        return {}
    return flat(msgspec.to_builtins(load_run({"decoder": "oracle", "preset": preset}), enc_hook=str))


def _plain(value: Any) -> Any:
    """Return the value as JSON data, so that tuples equal the lists of records."""
    return json.loads(json.dumps(value, default=str))


def _word(value: Any) -> str:
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))
