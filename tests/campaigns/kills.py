"""Kill commands at random moments, and count results that are lost, files that are left, tracebacks and hangs.

    python -m tests.campaigns.kills --kills 200 --seed 0 --work /tmp/kills

Each command runs in a fork of this process, so that a kill costs no imports. A killed command is started again in the
same folder until it was killed ``CHAIN`` times; then it runs to its end, and what it wrote is compared with a run that
nothing interrupted. The moment of a kill is a random share of that run's time: a seed repeats the choices, not the
moments. The last lines are the counts; the exit code is 1 if one of them is not 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from bench.cli.main import main
from results.run_files import read_run
from results.store import PARTIAL
from tests.bench import tiny_presets as tiny

CHAIN = 5
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
HANG = 10.0
"""Seconds within which a killed command has to be gone."""
PATIENCE = 900.0
"""Seconds within which a command that nobody kills has to end."""
LOCKS = (".lock",)
"""Files that stay by intention."""
STUDY = """
title: one strategy, with and without captions
weights: shipped
options: {preset: embedded, limit: 3, accuracy_only: true}
arms: {depth: {decoder: parallel, run: {tasks: depth}}, boxes: {decoder: parallel, run: {tasks: detection}}}
"""


@dataclass(frozen=True)
class Subject:
    """A command that is killed.

    Args:
        name: for the log.
        words: maps the folder of its results to its words.
        outcome: maps that folder to what an uninterrupted command leaves too.
        copies: processes that are started at once in the same folder, of which the first is killed.
    """

    name: str
    words: Callable[[Path], list[str]]
    outcome: Callable[[Path], object]
    copies: int = 1


@dataclass
class Counts:
    """What the campaign counts; all but the first two must be 0."""

    kills: int = 0
    survived: int = 0
    lost: int = 0
    different: int = 0
    leftovers: int = 0
    tracebacks: int = 0
    hangs: int = 0
    failed: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Return the number of faults of any kind."""
        return self.lost + self.different + self.leftovers + self.tracebacks + self.hangs + self.failed


def start(words: Sequence[str], log: Path) -> int:
    """Run a command in a fork that writes to ``log``; return the number of its process."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = main(words)
        sys.stdout.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def wait(process: int, seconds: float) -> int | None:
    """Return the exit code of a process, or None if it has not ended by then."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.005)


def stored(folder: Path) -> int:
    """Return the number of images that partial files keep; a finished run's are all there."""
    files = [*folder.rglob(PARTIAL), *folder.rglob("samples.jsonl")]
    return max((path.read_bytes().count(b"\n") for path in files), default=0)


def names(folder: Path) -> set[str]:
    """Return the names of all files that a command has left."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name not in LOCKS}


def campaign(
    subjects: Sequence[Subject],
    *,
    kills: int,
    work: Path,
    choose: random.Random,
    moment: Callable[[Path], None] | None = None,
) -> Counts:
    """Kill the subjects in turns, ``kills`` times in all.

    Args:
        subjects: commands.
        kills: processes to kill.
        work: empty folder.
        choose: decides signals and moments.
        moment: waits for the moment of a kill, from the folder of the results; default: a random share of the time that
            a whole command takes.
    """
    counts = Counts()
    wholes: dict[str, tuple[object, set[str], float]] = {}
    while counts.kills < kills:
        for subject in subjects:
            if counts.kills >= kills:
                break
            if subject.name not in wholes:
                wholes[subject.name] = _whole(subject, work)
            outcome, files, seconds = wholes[subject.name]
            folder, log = work / f"{subject.name}-{counts.kills}" / "out", work / "log.txt"
            folder.parent.mkdir()
            log.unlink(missing_ok=True)

            def strike(folder: Path = folder, seconds: float = seconds) -> signal.Signals:
                if moment is None:
                    time.sleep(choose.uniform(0, 1.1 * seconds))
                else:
                    moment(folder)
                return choose.choice(SIGNALS)

            for _ in range(min(CHAIN, kills - counts.kills)):
                _kill(subject, folder, log, counts, strike)
            code = wait(start(subject.words(folder), log), PATIENCE)
            text = log.read_text()
            counts.tracebacks += text.count("Traceback")
            if code != 0:
                counts.failed += 1
                counts.remarks.append(f"{subject.name}: exit code {code} at the end: {text[-300:]}")
                continue
            counts.different += subject.outcome(folder) != outcome
            extra = names(folder) - files
            counts.leftovers += len(extra)
            counts.remarks += [f"{subject.name}: left {name}" for name in sorted(extra)]
            if "Traceback" in text:
                counts.remarks.append(f"{subject.name}: {text[text.index('Traceback') :][-400:]}")
            shutil.rmtree(folder.parent)
    return counts


def _whole(subject: Subject, work: Path) -> tuple[object, set[str], float]:
    """Return outcome, files and seconds of a command that nothing interrupts."""
    folder, log = work / f"{subject.name}-whole" / "out", work / f"{subject.name}.txt"
    folder.parent.mkdir()
    begun = time.monotonic()
    if (code := wait(start(subject.words(folder), log), PATIENCE)) != 0:
        raise RuntimeError(f"{subject.name}: exit code {code}: {log.read_text()[-2000:]}")
    return subject.outcome(folder), names(folder), time.monotonic() - begun


def _kill(subject: Subject, folder: Path, log: Path, counts: Counts, strike: Callable[[], signal.Signals]) -> None:
    """Start a subject, end its first process with what ``strike`` returns at its moment, and wait for the others."""
    before = stored(folder)
    processes = [start(subject.words(folder), log) for _ in range(subject.copies)]
    sent = strike()
    os.kill(processes[0], sent)
    counts.kills += 1
    for place, process in enumerate(processes):
        code = wait(process, PATIENCE if place else HANG)
        if code is None:
            counts.hangs += 1
            counts.remarks.append(f"{subject.name}: not gone {HANG:.0f} s after {sent.name}")
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        counts.survived += place == 0 and code == 0
    if stored(folder) < before:
        counts.lost += 1
        counts.remarks.append(f"{subject.name}: {before} images before, {stored(folder)} after {sent.name}")


def subjects(work: Path) -> list[Subject]:
    """Return runs, two runs in one folder, trainings, reports and a study, on a few scenes of their own."""
    root = tiny.data(work / "scenes")
    data = ["--coco", str(root), "--nyu", str(root), "--preset", "embedded"]
    run = ["run", "--decoder", "parallel", "--tasks", "detection,depth", *data]
    encoder, finished = work / "encoder" / "run", work / "finished"
    for folder, words in (
        (encoder, ["train", *tiny.words(_made(encoder), root, "encoder")]),
        (finished, ["run", "--decoder", "oracle", "--tasks", "detection,depth", *data, "--out", str(finished)]),
    ):
        if wait(start(words, work / "prepare.txt"), 600) != 0:
            raise RuntimeError(f"{folder}: {(work / 'prepare.txt').read_text()[-2000:]}")
    (work / "study.yaml").write_text(STUDY)
    weights = ["--encoder", str(encoder / "encoder.safetensors")]

    def checksum(folder: Path) -> object:
        return read_run(folder / "parallel").record.checksum

    def curve(folder: Path) -> object:
        return tiny.curve(folder), json.loads((folder / "parallel.json").read_text())["hash"]

    def page(folder: Path) -> object:
        return (folder / "index.html").stat().st_size > 0

    def study(folder: Path) -> object:
        return sorted(json.loads((folder / "pages" / "study.json").read_text())["points"])

    return [
        Subject("run", lambda out: [*run, "--out", str(out)], checksum),
        Subject("two-runs", lambda out: [*run, "--out", str(out)], checksum, copies=2),
        Subject("train", lambda out: ["train", *tiny.words(out, root, "parallel", *weights)], curve),
        Subject("report", lambda out: ["report", str(finished), *data[:4], "--out", str(out)], page),
        Subject(
            "study",
            lambda out: ["study", str(work / "study.yaml"), "--work", str(out / "work"), "--out", str(out / "pages")],
            study,
        ),
    ]


def _made(folder: Path) -> Path:
    folder.parent.mkdir(parents=True)
    return folder


def _load() -> None:
    """Import what the commands need, once for all forks."""
    for module in (
        "bench.report.gather",
        "bench.run.runner",
        "bench.studies.engine",
        "bench.train.network",
        "reports.page.sections",
    ):
        import_module(module)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True, help="empty folder")
    parser.add_argument("--only", help="subjects, separated by commas")
    given = parser.parse_args()
    given.work.mkdir(parents=True)
    os.environ["DECODER_BENCH_CACHE"] = str(given.work / "cache")
    _load()
    chosen = [each for each in subjects(given.work) if not given.only or each.name in given.only.split(",")]
    found = campaign(chosen, kills=given.kills, work=given.work, choose=random.Random(given.seed))
    print(*found.remarks, sep="\n")
    print({name: value for name, value in vars(found).items() if name != "remarks"})
    sys.exit(1 if found.faults else 0)
