"""Mistakes that options and file names show by themselves, refused before torch is imported."""

from __future__ import annotations

from pathlib import Path

from bench.builders.task_choice import task_names
from bench.builders.task_formats import check_formats, default_formats
from bench.config.parts import SuiteOptions
from bench.data.folders import existing_folder
from bench.data.problems import refuse
from bench.errors import UserError
from tasks.formats.tokenizer import SentencePieceTokenizer


def check_suite(options: SuiteOptions) -> None:
    """Refuse tasks, formats and paths that cannot be used.

    Raises:
        UserError: for a name or a path that does not exist.
        TaskError: for a tokenizer that cannot be read.
    """
    names = task_names(options.tasks, options.sizes.layout)
    default_formats(options.sizes.layout, names, check_formats(options.formats))
    if options.coco is not None:
        existing_folder(options.coco, f"annotations/ and {options.split}/", refuse)
    if options.nyu is not None and not options.nyu.is_file():
        existing_folder(options.nyu, "the list file and the images, or give the labeled .mat file", refuse)
    if options.tokenizer is not None:
        SentencePieceTokenizer(options.tokenizer)
    check_file("--nyu-list", options.nyu_list)


def check_file(option: str, path: Path | None) -> None:
    """Raise UserError if an option names a file that does not exist."""
    if path is not None and not path.is_file():
        raise UserError(f"{option} {path}: no such file; give one that exists, or leave the option out")
