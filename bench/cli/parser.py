"""Parsers of the commands, made from typed option classes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from bench.config.analysis import (
    CompareOptions,
    GateOptions,
    HistoryOptions,
    PlantedOptions,
    ReportOptions,
)
from bench.config.loading import load, parse_codec, parse_run, parse_train
from bench.config.studies import MeasureOptions, StudyOptions
from bench.config.tools import (
    DescribeOptions,
    ImportOptions,
    ListOptions,
    ParityOptions,
    ScenesOptions,
    SchemaOptions,
    SweepOptions,
    VerifyOptions,
    VocabularyOptions,
)

OPTIONS: dict[str, type] = {
    "sweep": SweepOptions,
    "parity": ParityOptions,
    "import": ImportOptions,
    "list": ListOptions,
    "describe": DescribeOptions,
    "verify-data": VerifyOptions,
    "scenes": ScenesOptions,
    "vocabulary": VocabularyOptions,
    "schema": SchemaOptions,
    "compare": CompareOptions,
    "gate": GateOptions,
    "history": HistoryOptions,
    "planted-faults": PlantedOptions,
    "report": ReportOptions,
    "study": StudyOptions,
    "measure": MeasureOptions,
}
MANY = {"compare": "runs", "gate": "runs", "report": "runs"}  # commands whose leading words are one list
POSITIONAL = {
    "sweep": ("file",),
    "list": ("what",),
    "describe": ("name",),
    "parity": ("file",),
    "import": ("kind", "checkpoint"),
    "study": ("name",),
    "measure": ("name",),
    "history": ("metric",),
}


def top(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser behind ``--help``; a command's own options are shown by ``COMMAND --help``."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {text}" for name, text in commands.items()]
    parser = argparse.ArgumentParser(
        prog="decoder-bench",
        usage="decoder-bench COMMAND [options]   (without COMMAND: run)",
        description="How should an image's token sequence be decoded? One backbone, five tasks, accuracy and time.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`decoder-bench COMMAND --help` shows the options of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"decoder-bench {_own_version()}")
    return parser


def parse(command: str, words: list[str]) -> Any:
    """Typed options of a command from its words."""
    if command == "run":
        return parse_run(words)
    if command == "train":
        codec = any(word.split("=")[0] == "--codec" for word in words)
        return parse_codec(words) if codec else parse_train(words)
    positional = (MANY[command],) if command in MANY else POSITIONAL.get(command, ())
    return load(OPTIONS[command], words, command=command, positional=positional)


def _own_version() -> str:
    return version("decoder-bench")
