"""Help of the command line: the list of commands, and the options of one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from bench.cli.commands import Command


def top_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser behind ``--help`` and ``--version``."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in commands.items()]
    parser = argparse.ArgumentParser(
        prog="decoder-bench",
        usage="decoder-bench COMMAND [options]   (without COMMAND: run)",
        description="How should an image's token sequence be decoded? One backbone, five tasks, accuracy and time.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`decoder-bench COMMAND --help` shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"decoder-bench {version('decoder-bench')}")
    return parser


def print_command_help(name: str, command: Command, words: Sequence[str]) -> None:
    """Print the options of a command with the defaults that hold for these words, and its words without an option."""
    from bench.config.codecs import CodecTrainOptions
    from bench.config.loading import choose_preset, option_parser, preset_file

    codec = name == "train" and any(word.split("=")[0] == "--codec" for word in words)
    preset = None if command.preset is None else preset_file(choose_preset(words, with_data=command.preset))
    parser = option_parser(CodecTrainOptions if codec else command.options_class, name, preset)
    positional = " ".join(f"[{option.upper()}]" for option in command.positional)
    parser.usage = " ".join(filter(None, [f"decoder-bench {name}", positional, "[options]"]))
    parser.description = command.summary + ("; `train --codec depth --help` shows those of codecs" * (name == "train"))
    parser.print_help()
