"""The command line: options in, one-line errors out. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench.errors import UserError

COMMANDS = {
    "run": "run decoders on a data set: accuracy, time and a record for each",
    "train": "train a decoder, the encoder that decoders share, or a learned codec",
    "compare": "differences between runs with intervals, and a sentence for each pair",
    "report": "one offline page of runs: figures, tables, gallery, claims; the same as files for papers",
    "gate": "judge runs against their baselines: pass (0), fail (1) or cannot tell (3)",
    "history": "a metric of past runs as a plot, with the runs at which it changed",
    "planted-faults": "prove the gate: a slowed decoder, a garbled one, and twenty times the same",
    "sweep": "run every combination of options that a file names; what is finished is skipped",
    "list": "decoders, tasks and presets",
    "describe": "one decoder, task or preset in detail",
    "verify-data": "check a COCO or NYUv2 folder before hours are spent",
    "scenes": "render the embedded data set to a folder",
    "vocabulary": "train a caption tokenizer, or abbreviate one to the pieces that captions use",
    "study": "train and run the arms of a study, as far as that is not done, and compare them",
    "measure": "what perfect tokens and captions score, and CPU seconds at paper size",
    "parity": "recompute every array of a golden file with our code and show the differences",
    "import": "turn a released checkpoint into ours, with a report of unused and missing names",
    "schema": "print the JSON Schema of record.json",
}

CONTINUED = (["run"], ["sweep"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0 done, 1 faults found (``verify-data``, ``gate``), 2 bad input, 3 cannot tell (``gate``), 130 interrupted.
    """
    # Spinning worker threads slow every other process on the machine down; OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        words.insert(0, "run")  # `nox -s bench -- --decoder mad`
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        again = "; the same command, without --fresh, continues where it stopped" if words[:1] in CONTINUED else ""
        print(f"interrupted{again}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_users(error):
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2


def _dispatch(words: list[str]) -> int:
    from bench.cli import parser as parsers

    parser = parsers.top(COMMANDS)
    if not words:
        parser.print_help()
        return 0
    if words[0] in COMMANDS:
        options = parsers.parse(words[0], words[1:])
        return _runner(words[0])(options)
    if not words[0].startswith("-"):
        from bench.registry import unknown

        raise UserError(unknown("command", words[0], list(COMMANDS)))
    parser.parse_args(words)  # --help and --version leave here
    return 0


def _runner(command: str) -> Callable[[Any], int]:
    from bench.cli import analysis_commands, data_commands, info_commands, run_commands, study_commands

    name = "import_checkpoint" if command == "import" else command.replace("-", "_")
    for room in (study_commands, analysis_commands, data_commands, info_commands, run_commands):
        if hasattr(room, name) and getattr(room, name).__module__ == room.__name__:
            return getattr(room, name)  # type: ignore[no-any-return]
    raise UserError(command)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}; give a file or folder that can be used"
    return " ".join(str(error).split())


def _is_users(error: Exception) -> bool:
    """Return whether an error is about what the user gave, not about the program."""
    from decoders.network.errors import NetworkError
    from reports.errors import ReportError
    from results.store import StoreError
    from tasks.errors import TaskError

    if isinstance(error, OSError):
        return error.filename is not None
    return isinstance(error, UserError | StoreError | TaskError | NetworkError | ReportError)
