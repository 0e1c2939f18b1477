"""A run: decoders take turns over the data set, each image kept as it is finished, metrics and records at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench.building import (
    UNSIGNED,
    build_decoder,
    build_pipeline,
    choose_device,
    image_transform,
    plain_options,
)
from bench.calibration import Workload
from bench.conditions import fingerprint
from bench.config import RunOptions, cache_folder
from bench.cost import CostCounter
from bench.entries import Entry, chosen, entries, scenario_of
from bench.environment import SOURCE, describe_environment, git_state
from bench.errors import UserError
from bench.gpu import watch_gpu
from bench.hardware import BUSY_CORES, HostLoad
from bench.lanes import Lane, Reader, Surroundings, kinds, reader
from bench.modes import stand_in
from bench.progress import Report, progress
from bench.rates import machine_rates
from bench.recording import Circumstances, record
from bench.suite import Suite, build_suite
from bench.summary import checksum, timing
from bench.synthetic import IMAGES, random_suite
from bench.team import Team, joined
from bench.timing import Limits, WarmUpRule, largest_batch, seconds
from bench.turns import level, planned, turns
from results.record import Key, Rates, Record
from results.store import RunFolder, StoreError, open_run

__all__ = ["build_decoder", "checksum", "image_transform", "plain_options", "run", "timing"]

MOST = {"cpu": 8, "cuda": 128}  # images of the largest batch that is tried
AHEAD = 4  # images that are kept for the decoders that have not had them yet, beyond the largest batch

Tell = Callable[[str], None]


def run(options: RunOptions, tell: Tell | None = None, team: Team | None = None) -> dict[Path, Record]:
    """Run every decoder of ``options``; the same as the command ``run``.

    Args:
        options: of the run.
        tell: what is said of decoders and modes that are left out; by default on standard error.
        team: the processes of ``torchrun``, if they were joined before.

    Returns:
        Run folder to record, in the order in which the decoders were named; nothing in processes of ``torchrun`` that
        only helped.

    Raises:
        UserError: if data, options or their combination cannot be used.
        StoreError: if the results cannot be written.
    """
    with nullcontext(team) if team else joined() as own:
        said = (tell or (lambda text: print(text, file=sys.stderr))) if own.first else (lambda text: None)
        return _Run(options, own, said).records()


@dataclass(frozen=True)
class _Opened:
    """An entry whose folder is open."""

    entry: Entry
    lane: Lane
    signature: dict[str, Any]


class _Run:
    """One run in one process: what all its decoders share."""

    def __init__(self, options: RunOptions, team: Team, tell: Tell) -> None:
        chosen(options, lambda text: None)  # unknown names are found before seconds of work
        self.options = options
        self.team = team
        self.tell = tell
        if options.threads:
            torch.set_num_threads(options.threads)
        self.device = choose_device(options, local=team.local)
        self.limits = Limits(
            seconds=options.min_seconds,
            images=options.min_images,
            budget=None if options.budget is None else seconds(options.budget),
        )
        self.surroundings = self._surroundings()
        with team.one_at_first(), progress("rendering scenes") as report:
            self.suite = _suite(options, team, report)
        self.suite.dataset.check_files()
        self.root = options.out or Path("results") / "runs" / _run_name(options)
        self.entries = entries(options, self.suite, self.device, tell)

    def records(self) -> dict[Path, Record]:
        """Measure everything and write the records."""
        rates = self._rates()
        reading = self._reader()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        with ExitStack() as stack:
            opened: Sequence[_Opened] = [self._open(entry, reading, started, stack) for entry in self.entries]
            start = time.perf_counter()
            opened = opened if self.options.accuracy_only else self._prepared(opened)
            lanes = [one.lane for one in opened]
            ended = self._measure(lanes, start)
            for lane in lanes:
                for samples in self.team.everyone(list(lane.folder.samples.values())):
                    lane.folder.learn(samples)
            circumstances = self._circumstances(self._agreed(ended), rates, lanes)
            written = {self.root / one.entry.name: self._write(one, circumstances) for one in self._writing(opened)}
            self.team.wait()
            for lane in lanes:
                lane.folder.discard()
            return written

    def _writing(self, opened: Sequence[_Opened]) -> Sequence[_Opened]:
        return opened if self.team.first else []

    def _write(self, one: _Opened, circumstances: Circumstances) -> Record:
        folder = one.lane.folder
        order = [sample.image_id for sample in self.suite.dataset.samples]
        keys: list[Key] = [image for image in order if image in folder.samples]
        if self.options.speed_only:
            place = {image: number for number, image in enumerate(order)}
            keys = sorted(folder.samples, key=lambda key: _repeated(key, place))
        samples = [folder.samples[key] for key in keys]
        made = record(one.entry, one.lane, samples, circumstances, one.signature)
        folder.write(made, keys)
        return made

    def _surroundings(self) -> Surroundings:
        if self.options.accuracy_only:
            return Surroundings()
        gpu, reason = watch_gpu(self.device)
        if reason:
            self.tell(f"note: {reason}")
        return Surroundings(HostLoad(), gpu, Workload(self.device).warm_up() if self.options.calibrate else None)

    def _reader(self) -> Reader:
        """Reads an image once for all decoders, which come to it one after the other."""
        largest = max(entry.options.batch or MOST[self.device.type] for entry in self.entries)
        return lru_cache(maxsize=largest + AHEAD)(reader(self.suite.dataset, self.suite.tasks))

    def _open(self, entry: Entry, reading: Reader, started: str, stack: ExitStack) -> _Opened:
        network = stand_in(entry.options.mode, entry.network)
        pipeline = build_pipeline(entry.decoder, entry.suite, network, entry.options, self.device)
        if entry.options.batch is None:
            entry = replace(entry, options=replace(entry.options, batch=self._largest(pipeline, reading)))
        signature = _signature(entry)
        folder = self._folder(self.root / entry.name, signature, started, stack)
        samples, size = entry.suite.dataset.samples, entry.options.batch or 1
        batches = planned(samples, size, kinds(entry.suite.dataset, entry.suite))
        eager = None
        if entry.options.mode != "eager":
            eager = build_pipeline(entry.decoder, entry.suite, entry.network, entry.options, self.device)
        lane = Lane(
            name=entry.name,
            suite=entry.suite,
            pipeline=pipeline,
            batches=batches[self.team.rank :: self.team.world],
            read=reading,
            folder=folder,
            endless=self.options.speed_only,
            scored=not self.options.speed_only,
            surroundings=self.surroundings,
            counter=None if self.options.accuracy_only or entry.network is None else CostCounter(entry.network),
            eager=eager,
            mode=entry.options.mode,
        )
        return _Opened(entry, lane, signature)

    def _folder(self, path: Path, signature: dict[str, Any], started: str, stack: ExitStack) -> RunFolder:
        """The open folder, with what other processes did of the run already."""

        def opening() -> RunFolder:
            own = open_run(path, signature=signature, started=started, fresh=self.options.fresh, rank=self.team.rank)
            return stack.enter_context(own)

        folder = opening() if self.team.first else None
        self.team.wait()
        folder = folder or opening()
        self.team.wait()
        folder.learn(folder.others(signature).values())
        for samples in self.team.everyone(list(folder.samples.values())):
            folder.learn(samples)
        return folder

    def _largest(self, pipeline: Any, reading: Reader) -> int:
        samples = self.suite.dataset.samples

        def fits(size: int) -> bool:
            items = [reading(samples[number % len(samples)]).item for number in range(size)]
            try:
                pipeline.predict(items)
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                return False
            return True

        most = min(MOST[self.device.type], len(samples) if not self.options.speed_only else MOST[self.device.type])
        return int(min(self.team.everyone(largest_batch(fits, most=most))))

    def _prepared(self, opened: Sequence[_Opened]) -> Sequence[_Opened]:
        """Warm up; modes that fail are left out, in all processes that share the run."""
        found = []
        for one in opened:
            reasons = [reason for reason in self.team.everyone(self._failure(one.lane, len(opened))) if reason]
            if reasons:
                self.tell(f"left out: {one.entry.decoder.name}, {one.lane.mode}: {reasons[0]}")
            else:
                found.append(one)
        if not found:
            raise UserError(f"--mode {self.options.mode}: nothing is left to measure; see the lines above")
        return found

    def _failure(self, lane: Lane, lanes: int) -> str | None:
        """What was said when a mode failed: compilers and recorders raise whatever they like. Eager mode must work."""
        try:
            lane.prepare(self._warm_up(lanes))
        except (UserError, StoreError):
            raise
        except Exception as error:
            if lane.mode == "eager":
                raise
            return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:200]}"
        return None

    def _agreed(self, ended: str) -> str:
        """Why all processes together stopped."""
        reasons = self.team.everyone(ended)
        return "budget" if "budget" in reasons else ended

    def _measure(self, lanes: Sequence[Lane], start: float) -> str:
        """Let decoders take turns until there is nothing left, or enough; gives the reason."""
        total = sum(len(batch) for lane in lanes for batch in lane.batches)
        if self.options.speed_only:
            total = self.options.min_images * len(lanes)
        with progress(", ".join(lane.name for lane in lanes)) as report:
            before = time.perf_counter()
            for lane in turns(lanes):
                if ended := self._ended(lanes, time.perf_counter() - start):
                    return ended
                lane.advance()
                done = sum(lane.images for lane in lanes)
                report(done, max(total, done))
                now = time.perf_counter()
                lane.settle((now - before) * 1000)
                before = now
        return "data"

    def _warm_up(self, lanes: int) -> WarmUpRule:
        """A tenth of the budget goes to the warm-up of all decoders, if there is one."""
        rule = WarmUpRule()
        return rule if self.limits.budget is None else replace(rule, seconds=self.limits.budget / 10 / lanes)

    def _ended(self, lanes: Sequence[Lane], passed: float) -> str | None:
        least = min(lane.images for lane in lanes)
        if not least:
            return None
        if self.options.speed_only:
            return self.limits.ended(images=least, measured=min(lane.seconds for lane in lanes), passed=passed)
        if not level(lanes):  # all decoders are scored on the same images
            return None
        return replace(self.limits, images=sys.maxsize).ended(images=least, measured=0, passed=passed)

    def _rates(self) -> Rates | None:
        computing = any(entry.network is not None for entry in self.entries)
        if self.options.accuracy_only or not computing or not self.team.first:
            return None
        host = self.surroundings.host
        before = host.others() if host else None
        return machine_rates(
            self.device,
            self.options.precision,
            folder=cache_folder() / "rates",
            fingerprint=fingerprint(describe_environment(self.device)),
            keep=before is None or before <= BUSY_CORES,
        )

    def _circumstances(self, ended: str, rates: Rates | None, lanes: Sequence[Lane]) -> Circumstances:
        environment = describe_environment(self.device)
        minimum = f"{self.limits.images} images and {self.limits.seconds:g} s of each decoder were measured"
        if not self.options.speed_only:
            done, images = min(len(lane.folder.samples) for lane in lanes), len(self.suite.dataset.samples)
            minimum = f"all images were decoded: accuracy and times are of {done} of {images}"
        return Circumstances(
            environment=environment,
            fingerprint=fingerprint(environment),
            rates=rates,
            ended=ended,
            minimum=minimum if ended == "budget" else "",
            least=(self.limits.images, self.limits.seconds),
            lanes=[lane.name for lane in lanes],
            processes=self.team.world,
            timed=not self.options.accuracy_only,
        )


def _suite(options: RunOptions, team: Team, report: Report) -> Suite:
    if options.random_weights and options.coco is None and options.nyu is None:
        most = max(size or MOST["cuda"] for size in scenario_of(options)[1])
        return random_suite(options, images=max(IMAGES, most) * team.world)
    return build_suite(options, progress=report)


def _signature(entry: Entry) -> dict[str, Any]:
    suite, options = entry.suite, entry.options
    return {
        "decoder": entry.decoder.name,
        "options": {name: value for name, value in plain_options(options).items() if name not in UNSIGNED},
        "data": suite.data["hash"],
        "tokenizer": suite.data.get("tokenizer"),
        "tasks": [task.name for task in suite.tasks],
        "seed": options.seed,
        "code": {**git_state(SOURCE), "torch": str(torch.__version__)},  # predictions of two versions are not one run
        **suite.formats,
    }


def _repeated(key: Key, place: dict[int, int]) -> tuple[int, int]:
    image, repeat = key if isinstance(key, tuple) else (key, 0)
    return repeat, place[image]


def _run_name(options: RunOptions) -> str:
    roots = [path.resolve().name for path in (options.coco, options.nyu) if path is not None]
    if options.random_weights and not roots:
        return f"random-{options.preset}"
    parts = ["+".join(roots) or "embedded", options.split]
    if options.limit is not None:
        parts.append(f"first{options.limit}")
    if any(part in ("", ".", "..") for part in roots):
        raise UserError("a data folder has no name; give it as a path with one")
    return "-".join(parts)
