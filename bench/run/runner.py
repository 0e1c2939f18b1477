"""A run: decoders take turns over the data set, each image kept as it is finished, metrics and records at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from bench.builders.decoder import (
    UNSIGNED,
    build_decoder,
    build_pipeline,
    choose_device,
    image_transform,
    plain_options,
)
from bench.builders.random_inputs import IMAGES, random_suite
from bench.builders.suite import Suite, build_suite
from bench.config.run import RunOptions
from bench.console import Report, progress
from bench.distributed import Team, joined
from bench.errors import UserError
from bench.inference.execution_modes import compared, stand_in
from bench.inference.flops import CostCounter
from bench.paths import cache_folder
from bench.run.batch_size import probe
from bench.run.decoder_run import Lane, Reader, Surroundings, kinds, reader
from bench.run.interleaving import Measurement, planned
from bench.run.peak_rates import machine_rates
from bench.run.plan import Entry, chosen, entries, scenario_of
from bench.run.recording import Circumstances, Seen, record, seen, together
from bench.run.stopping import Limits, seconds
from bench.run.summary import timing
from bench.system.calibration import Workload
from bench.system.environment import describe_environment, fingerprint, source_hash
from bench.system.gpu import watch_gpu
from bench.system.host import BUSY_CORES, HostLoad, core_seconds
from results.record import Key, Rates, Record
from results.run_files import checksum
from results.store import RunFolder, StoreError, open_run, read_record

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
        for cls in chosen(options, lambda text: None).values():  # mistakes are found before seconds of work
            build_decoder(cls, options.strategy)
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
            lanes = [one.lane for one in opened]
            measurement = Measurement(lanes, self.limits, self.options.speed_only, self.team, self.tell)
            if not self.options.accuracy_only:
                measurement.warm_up()
            ended = measurement.take_turns()
            intact = [one for one in opened if not one.lane.failed]
            gathered = [self._gathered(one.lane) for one in intact]
            around = self._circumstances(ended, rates, measurement.intact)
            written = {}
            if self.team.first:
                for one, own in zip(intact, gathered, strict=True):
                    eager = _eager(one, intact)
                    mode = compared(own.mode, one.lane.folder.samples, eager.lane.folder.samples) if eager else own.mode
                    written[self.root / one.entry.name] = self._write(one, replace(own, mode=mode), around)
            self.team.wait()
            for lane in measurement.intact:
                lane.folder.discard()
            return written

    def _gathered(self, lane: Lane) -> Seen:
        """What all processes saw; each learns the lines of the others."""
        for samples in self.team.everyone(list(lane.folder.samples.values())):
            lane.folder.learn(samples)
        return together(self.team.everyone(seen(lane)))

    def _write(self, one: _Opened, own: Seen, circumstances: Circumstances) -> Record:
        folder = one.lane.folder
        order = [sample.image_id for sample in self.suite.dataset.samples]
        keys: list[Key] = [image for image in order if image in folder.samples]
        if self.options.speed_only:
            place = {image: number for number, image in enumerate(order)}
            keys = sorted(folder.samples, key=lambda key: _repeated(key, place))
        samples = [folder.samples[key] for key in keys]
        made = record(one.entry, one.lane, samples, circumstances, one.signature, seen=own)
        folder.write(made, keys)
        return made

    def _surroundings(self) -> Surroundings:
        if self.options.accuracy_only:
            return Surroundings()
        pids = self.team.neighbors()
        gpu, reason = watch_gpu(self.device, pids)
        if reason:
            self.tell(f"note: {reason}")
        host = HostLoad(own=partial(core_seconds, pids))
        return Surroundings(host, gpu, Workload(self.device).warm_up() if self.options.calibrate else None)

    def _reader(self) -> Reader:
        """Reads an image once for all decoders, which come to it one after the other."""
        largest = max(entry.options.batch or MOST[self.device.type] for entry in self.entries)
        return lru_cache(maxsize=largest + AHEAD)(reader(self.suite.dataset, self.suite.tasks))

    def _open(self, entry: Entry, reading: Reader, started: str, stack: ExitStack) -> _Opened:
        eager = build_pipeline(entry.decoder, entry.suite, entry.network, entry.options, self.device)
        if entry.options.batch is None:
            entry = replace(entry, options=replace(entry.options, batch=self._largest(eager, reading)))
        signature = _signature(entry)
        if self.team.first and (others := _replaced(self.root / entry.name, entry.options)):
            self.tell(f"note: {self.root / entry.name}: the finished run there, of other {others}, will be replaced")
        folder = self._folder(self.root / entry.name, signature, started, stack)
        samples, size = entry.suite.dataset.samples, entry.options.batch or 1
        batches = planned(samples, size, kinds(entry.suite.dataset, entry.suite))
        pipeline = eager
        if entry.options.mode != "eager":
            network = stand_in(entry.options.mode, entry.network)
            pipeline = build_pipeline(entry.decoder, entry.suite, network, entry.options, self.device)
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
            eager=eager if pipeline is not eager else None,
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
        samples, most = self.suite.dataset.samples, MOST[self.device.type]
        if not self.options.speed_only:
            most = min(most, len(samples))
        alike = kinds(self.suite.dataset, self.suite)
        found = probe(pipeline, reading, self.suite.dataset.roomiest(), alike, most=most)
        return int(min(self.team.everyone(found)))

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


def _eager(one: _Opened, opened: Sequence[_Opened]) -> _Opened | None:
    """The same decoder and batch in eager mode, if ``one`` is of another and the run measured both."""
    own = one.entry
    for other in opened:
        plain = other.entry
        same = plain.decoder is own.decoder and plain.options.batch == own.options.batch
        if same and plain.options.mode == "eager" != own.options.mode:
            return other
    return None


def _signature(entry: Entry) -> dict[str, Any]:
    suite, options = entry.suite, entry.options
    return {
        "decoder": entry.decoder.name,
        "options": {name: value for name, value in plain_options(options).items() if name not in UNSIGNED},
        "data": suite.data["hash"],
        "tokenizer": suite.data.get("tokenizer"),
        "tasks": [task.name for task in suite.tasks],
        "seed": options.seed,
        "code": {"source": source_hash(), "torch": str(torch.__version__)},  # predictions of two are not one run
        "weights": entry.weights,
        **suite.formats,
    }


def _repeated(key: Key, place: dict[int, int]) -> tuple[int, int]:
    image, repeat = key if isinstance(key, tuple) else (key, 0)
    return repeat, place[image]


def _replaced(path: Path, options: RunOptions) -> str:
    """In which options a finished run in a folder differs; nothing where there is none, or it is alike."""
    try:
        before = read_record(path).options
    except StoreError:
        return ""
    wanted = json.loads(json.dumps(plain_options(options), default=str))
    return ", ".join(sorted(name for name in wanted.keys() - set(UNSIGNED) if before.get(name) != wanted[name]))


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
