"""Commands that make runs again, from what their records say."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from reports.runs import flat
from results.record import Record

LEFT_OUT = ("preset", "seed", "strategy", "report", "decoder", "out")


def commands(records: Sequence[Record]) -> list[str]:
    """One command for all runs with the same options, in the order of the runs."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(_options(record), []).append(record.decoder)
    return [
        f"python -m bench run --decoder {','.join(dict.fromkeys(names))}{options}" for options, names in groups.items()
    ]


def _options(record: Record) -> str:
    """What has to be given beside the decoder: everything that is not the preset's own."""
    words = [f"--preset {record.preset}"]
    usual = _preset(record.preset)
    for name, value in flat(record.options).items():
        known = usual is not None and name in usual
        if name.partition(".")[0] not in LEFT_OUT and known and _plain(value) != _plain((usual or {})[name]):
            words.append(f"--{name.replace('_', '-')} {_word(value)}")
    words += [f"--seed {record.seed}"] if record.seed else []
    strategy = record.options.get("strategy", {}).get(record.decoder)
    words += [f"--strategy {_word({record.decoder: strategy})}"] if strategy else []
    return "".join(f" {word}" for word in words)


def _preset(name: str) -> Mapping[str, Any] | None:
    """Flat options of a preset; None where it is not one of ours any more."""
    import msgspec

    from bench.config.loading import parse_run, preset_names

    if name not in preset_names():
        return None
    plain = msgspec.to_builtins(parse_run(["--decoder", "oracle", "--preset", name]), enc_hook=str)
    return flat(plain)


def _plain(value: Any) -> Any:
    """As JSON has it, so that tuples equal the lists that records hold."""
    return json.loads(json.dumps(value, default=str))


def _word(value: Any) -> str:
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))
