"""Commands that show what there is: `list`, `describe`, `schema`."""

from __future__ import annotations

import builtins
import json
import sys
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
        "decoders": _summaries(registry.DECODERS),
        "tasks": _summaries(registry.TASKS),
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
        cls = registry.load(registry.DECODERS, options.name)
        print(f"decoder {options.name}: {cls.summary}\n")
        print(sys.modules[cls.__module__].__doc__)
        if hasattr(cls, "Options"):
            from bench.builders.decoder import options_of
            from bench.cli.describe import describe_options

            print(f"options (--strategy '{{{options.name}: {{name: value}}}}'):\n")
            print(describe_options(cls.Options))
            print(f"\ndefaults: {json.dumps({options.name: options_of(cls())})}")
        if cls.needs_network:
            from bench.cli.describe import describe_weights

            print("\nweights:\n" + "\n".join(describe_weights(cls) or ["none are shipped"]))
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


def _summaries(group: str) -> dict[str, str]:
    """Name to summary; an entry that cannot be loaded says so and hides no other."""
    summaries = {}
    for name in registry.names(group):
        try:
            summaries[name] = registry.load(group, name).summary
        except UserError as error:
            summaries[name] = f"cannot be used: {error}"
    return summaries


def _header(preset: Path) -> builtins.list[str]:
    """Comment lines at the top of a preset."""
    lines: builtins.list[str] = []
    for line in preset.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines or [""]
