"""The command line: options in, one-line errors out. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from bench.errors import UserError, unknown

HELP = {"-h", "--help", "--help-all"}
CONTINUED = ("run", "sweep", "train", "study")
INTERRUPTED, TERMINATED = 130, 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM, by which Slurm and Docker end a program; everything that Ctrl-C leaves in order is left so."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0 done, 1 faults found (``verify-data``, ``gate``), 2 bad input, 3 cannot tell (``gate``), 130 interrupted, 143
    terminated.
    """
    # Spinning worker threads slow every other process on the machine down; OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("-") and words[0] not in HELP | {"--version"}:
        words.insert(0, "run")  # `nox -s bench -- --decoder mad`
    try:
        with _termination():
            return _dispatch(words)
    except KeyboardInterrupt as error:
        ended = "terminated" if isinstance(error, _Terminated) else "interrupted"
        again = "; the same command, without --fresh, continues where it stopped"
        print(f"{ended}{again if set(words[:1]) & set(CONTINUED) else ''}", file=sys.stderr)
        return TERMINATED if isinstance(error, _Terminated) else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_users(error):
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2


@contextmanager
def _termination() -> Iterator[None]:
    """Raise on the first SIGTERM; ignore further ones while files are closed."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    from results.files import FULL
    from results.names import printable

    message = str(error)
    if isinstance(error, OSError):
        remedy = "make room and run it again" if error.errno in FULL else "give a file or folder that can be used"
        message = f"{error.filename or 'cannot write'}: {error.strerror}; {remedy}"
    elif _is_memory(error):
        message = f"not enough memory ({message[:100]}); give smaller --batch, --image, --sizes or --network"
    return printable(" ".join(message.split()))


def _is_memory(error: Exception) -> bool:
    """Return whether memory ran out; torch has an error of its own for a GPU only."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _is_users(error: Exception) -> bool:
    """Return whether an error is about what the user gave, not about the program."""
    from decoders.network.errors import NetworkError
    from reports.errors import ReportError
    from results.files import FULL, StoreError
    from tasks.errors import TaskError

    if isinstance(error, OSError):
        return error.filename is not None or error.errno in FULL
    return _is_memory(error) or isinstance(error, UserError | StoreError | TaskError | NetworkError | ReportError)
