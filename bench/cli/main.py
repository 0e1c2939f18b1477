"""The command line: options in, one-line errors out. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bench.errors import UserError, unknown

CONTINUED = (["run"], ["sweep"])
HELP = {"-h", "--help", "--help-all"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0 done, 1 faults found (``verify-data``, ``gate``), 2 bad input, 3 cannot tell (``gate``), 130 interrupted.
    """
    # Spinning worker threads slow every other process on the machine down; OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("-") and words[0] not in HELP | {"--version"}:
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
    from bench.cli.commands import COMMANDS, RENAMED
    from bench.cli.help import print_command_help, print_commands, print_version

    name, *rest = words or ["--help"]
    if name in COMMANDS:
        if HELP & set(rest):
            print_command_help(name, COMMANDS[name], rest)
            return 0
        return COMMANDS[name].run(COMMANDS[name].load_options(name, rest))
    if name in RENAMED:
        raise UserError(f"{name!r} is now `{RENAMED[name]}`")
    if name == "--version":
        print_version()
    elif name in HELP:
        print_commands(COMMANDS)
    else:
        raise UserError(unknown("command", name, list(COMMANDS)))
    return 0


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
