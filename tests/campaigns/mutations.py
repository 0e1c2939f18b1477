"""The mutation campaign: see README.md beside it."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.paths import REPOSITORY

HANG = 10.0  # seconds
MEMORY = 16 << 30  # bytes of a child's addresses, so that an absurd size is an error and not the end of the machine
GOOD = ("refused", "accepted")
FAULTS = ("traceback", "crash", "hang", "outside", "leftovers")


@dataclass(frozen=True)
class Result:
    """What became of one input: its number, its kind, one of ``GOOD`` or ``FAULTS``, and a line of explanation."""

    number: int
    kind: str
    outcome: str
    line: str = ""


def campaign(count: int, *, seed: int, first: int = 0) -> list[Result]:
    """Results of ``count`` inputs from number ``first``; a child that dies or hangs is replaced."""
    results: list[Result] = []
    while len(results) < count:
        results += _child(count - len(results), seed, first + len(results))
    return results


def _child(count: int, seed: int, first: int) -> list[Result]:
    """Results of one child process; the last may be its death."""
    words = [sys.executable, "-m", "tests.campaigns.mutations", "--child", "--inputs", str(count)]
    command = [*words, "--seed", str(seed), "--first", str(first)]
    results: list[Result] = []
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors) as process:
            for line in _lines(process, count):
                results.append(Result(*json.loads(line)))
            hangs = process.poll() is None and len(results) < count
            process.kill()
        if len(results) < count:
            errors.seek(0)
            reason = errors.read()[-500:].decode(errors="replace").strip().splitlines()[-1:] or ["no word"]
            kind = _kind(first + len(results))
            outcome = "hang" if hangs else "crash"
            results.append(Result(first + len(results), kind, outcome, f"code {process.returncode}: {reason[0]}"))
    return results


def _lines(process: subprocess.Popen[bytes], count: int) -> Iterator[bytes]:
    """Lines of a child, until it ends or is silent for too long; the first one waits for its imports."""
    assert process.stdout is not None
    patience = 30 * HANG
    for _ in range(count):
        if not select.select([process.stdout], [], [], patience)[0]:
            return
        line = process.stdout.readline()
        if not line:
            process.wait()
            return
        yield line
        patience = 3 * HANG  # the child itself calls more than ``HANG`` of its own time a hang


def _kind(number: int) -> str:
    from tests.campaigns.inputs import inputs

    names = list(inputs())
    return names[number % len(names)]


def _run_child(count: int, seed: int, first: int) -> None:
    from tests.campaigns.inputs import inputs

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kinds = inputs()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for number in range(first, first + count):
        kind = list(kinds)[number % len(kinds)]
        outcome, line = _try(kinds[kind], random.Random(f"{seed} {number}"))
        out.write(json.dumps([number, kind, outcome, line]) + "\n")


def _try(entry: object, dice: random.Random) -> tuple[str, str]:
    """Outcome of one mutated input in a sandbox of its own."""
    with tempfile.TemporaryDirectory() as outer:
        sandbox, home = Path(outer) / "sandbox", Path(outer) / "home"
        for folder in (sandbox, home):
            folder.mkdir()
        with contextlib.chdir(home):
            return _use(entry, sandbox, dice)


def _use(entry: object, sandbox: Path, dice: random.Random) -> tuple[str, str]:
    from tests.campaigns.inputs import Input

    assert isinstance(entry, Input)
    entry.write(sandbox)
    path = sandbox / entry.file
    path.write_bytes(entry.mutate(path.read_bytes(), dice))
    start, said = time.process_time(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        outcome, line = _outcome(entry, sandbox)
    if "Traceback" in said.getvalue():
        return "traceback", said.getvalue().strip().splitlines()[-1]
    if time.process_time() - start > HANG:
        return "hang", f"{time.process_time() - start:.0f} s"
    allowed = {sandbox, sandbox.parent / "home"}
    outside = [each for each in sandbox.parent.rglob("*") if sandbox not in each.parents and each not in allowed]
    if outside:
        return "outside", ", ".join(each.name for each in outside)
    if names := [each.name for each in sandbox.rglob(".*") if each.name.endswith((".part", ".tmp"))]:
        return "leftovers", ", ".join(names)
    return outcome, line


def _outcome(entry: object, sandbox: Path) -> tuple[str, str]:
    from bench.cli.main import _is_users
    from tests.campaigns.inputs import Input

    assert isinstance(entry, Input)
    try:
        entry.use(sandbox)
    except Exception as error:
        message = str(error)
        if _is_users(error) and message.isprintable():
            return "refused", message[:200]
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = "more than one printable line: " if _is_users(error) else ""
        return (
            "traceback",
            f"{kind}{type(error).__name__}: {message[:150]!r} at {Path(where.filename).name}:{where.lineno}",
        )
    return "accepted", ""


def table(results: list[Result]) -> str:
    """Return counts by kind, and every input with a fault."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        counts[result.kind][result.outcome] += 1
        counts["all"][result.outcome] += 1
    names = (*GOOD, *FAULTS)
    lines = [f"{'kind':28} {' '.join(f'{name:>9}' for name in names)}"]
    for kind in [*sorted(counts.keys() - {"all"}), "all"]:
        lines.append(f"{kind:28} {' '.join(f'{counts[kind][name]:9}' for name in names)}")
    lines += [f"{r.outcome}: input {r.number}, {r.kind}: {r.line}" for r in results if r.outcome in FAULTS]
    return "\n".join(lines)


def main() -> int:
    """Run the campaign; 1 if an input has a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _run_child(given.inputs, given.seed, given.first)
        return 0
    results = campaign(given.inputs, seed=given.seed, first=given.first)
    print(table(results))
    return int(any(result.outcome in FAULTS for result in results))


if __name__ == "__main__":
    sys.exit(main())
