"""Commands that show what there is: `list`, `describe`, `schema`."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

from bench import registry
from bench.config.loading import preset_file, preset_names
from bench.config.tools import (
    DescribeOptions,
    ListOptions,
    SchemaOptions,
)
from bench.errors import UserError, unknown


def list(options: ListOptions) -> int:  # noqa: A001
    """Print names with one line each."""
    sections = {
        "decoders": {name: registry.decoder(name).summary for name in registry.usable(registry.DECODERS)},
        "tasks": {name: registry.task(name).summary for name in registry.usable(registry.TASKS)},
        "presets": {name: _header(preset_file(name))[0] for name in preset_names()},
    }
    for section, entries in sections.items():
        if options.what in ("all", section):
            print(f"{section}:")
            width = max(map(len, entries))
            for name, summary in entries.items():
                print(f"  {name:<{width}}  {summary}")
    return 0


def describe(options: DescribeOptions) -> int:
    """Print one decoder, task or preset."""
    decoders, tasks, presets = registry.names(registry.DECODERS), registry.names(registry.TASKS), preset_names()
    if options.preset is not None:
        preset_file(options.preset)  # an unknown one is refused, also where nothing depends on it
    if options.name in decoders:
        from bench.cli.describe import describe_decoder

        print(describe_decoder(options.name))
    elif options.name in tasks:
        from bench.cli.describe import describe_task

        print(describe_task(options.name, options.preset, options.formats))
    elif options.name in presets:
        print(preset_file(options.name).read_text(), end="")
    else:
        raise UserError(unknown("name", options.name, decoders + tasks + presets))
    return 0


def schema(options: SchemaOptions) -> int:
    """Print or write the JSON Schema of a record."""
    from results.record import json_schema
    from results.store import write_atomically

    text = json.dumps(json_schema(), indent=2) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        write_atomically(options.out, text.encode())
        print(options.out)
    return 0


def _header(preset: Path) -> builtins.list[str]:
    """Comment lines at the top of a preset."""
    lines: builtins.list[str] = []
    for line in preset.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines or [""]
