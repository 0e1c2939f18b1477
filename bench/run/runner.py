"""Run decoders over a data set, alternating image by image, and write one record per decoder."""

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

from bench.builders.decoder import UNSIGNED, build_pipeline, choose_device, plain_options
from bench.builders.open_suite import build_suite
from bench.builders.random_inputs import IMAGES, random_suite
from bench.builders.suite import Suite
from bench.config.run import RunOptions
from bench.console import Report, progress
from bench.data.dataset import Dataset
from bench.data.file_checks import check_files
from bench.distributed import ProcessGroup, join
from bench.errors import UserError
from bench.inference.execution_modes import compared, wrap_network
from bench.inference.flops import FlopCounter
from bench.inference.image_batches import annotation_kinds, make_batches
from bench.paths import cache_folder
from bench.run.batch_size import find_batch_size
from bench.run.choice import check_run, scenario_of
from bench.run.decoder_run import DecoderRun, Monitors, Reader, sample_reader
from bench.run.interleaving import Interleaving
from bench.run.peak_rates import peak_rates
from bench.run.plan import PlannedRun, plan
from bench.run.recording import ProcessStats, RecordedRun, RunContext, make_record, reduce_stats
from bench.run.resuming import check_images
from bench.run.stopping import Limits, seconds
from bench.system.calibration import Workload
from bench.system.environment import describe_environment, fingerprint, source_hash
from bench.system.gpu import watch_gpu
from bench.system.host import BUSY_CORES, HostLoad, core_seconds, peak_rss_mib
from results.record import Key, PeakRates, Record
from results.store import RunFolder, StoreError, open_run, read_record

LARGEST_BATCH = {"cpu": 8, "cuda": 128}  # that is tried
READ_AHEAD = 4  # images kept for the decoders that have not had them yet, beyond the largest batch

Log = Callable[[str], None]


def run(options: RunOptions, log: Log | None = None, group: ProcessGroup | None = None) -> dict[Path, Record]:
    """Run every decoder of ``options``, as the command ``run`` does.

    Args:
        options: of the run.
        log: called with a message for each skipped decoder or mode; default: print on standard error.
        group: the processes of ``torchrun``, if they were joined before.

    Returns:
        Run folder to record, in the order in which the decoders were named; empty in all but the main process.

    Raises:
        UserError: if data, options or their combination cannot be used.
        StoreError: if the results cannot be written.
    """
    with nullcontext(group) if group else join() as joined:
        log = log or (lambda message: print(message, file=sys.stderr))
        return _Run(options, joined, log if joined.is_main else (lambda message: None)).records()


@dataclass(frozen=True)
class _OpenRun:
    """A planned run whose folder is open."""

    planned: PlannedRun
    decoder_run: DecoderRun
    signature: dict[str, Any]


class _Run:
    """One run in one process: what all its decoders share."""

    def __init__(self, options: RunOptions, group: ProcessGroup, log: Log) -> None:
        check_run(options)
        self.options = options
        self.group = group
        self.log = log
        if options.threads:
            torch.set_num_threads(options.threads)
        self.device = choose_device(options.device, local=group.local_rank)
        self.limits = Limits(
            seconds=options.min_seconds,
            images=options.min_images,
            budget=None if options.budget is None else seconds(options.budget),
        )
        self.monitors = self._monitors()
        with group.main_first(), progress("rendering scenes") as report:
            self.suite = _suite(options, group, report)
        notes = check_files(self.suite.dataset) if isinstance(self.suite.dataset, Dataset) else []
        for note in notes:
            self.log(f"note: {note}")
        self.suite.data["notes"] = notes
        self.root = options.out or Path("results") / "runs" / _folder_name(options)
        self.planned = plan(options, self.suite, self.device, log)

    def records(self) -> dict[Path, Record]:
        """Measure everything and write the records."""
        rates = self._rates()
        read = self._reader()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        with ExitStack() as stack:
            opened = [self._open(planned, read, started, stack) for planned in self.planned]
            decoder_runs = [each.decoder_run for each in opened]
            measurement = Interleaving(decoder_runs, self.limits, self.options.speed_only, self.group, self.log)
            if not self.options.accuracy_only:
                measurement.warm_up()
            ended = measurement.run()
            intact = [each for each in opened if not each.decoder_run.failed]
            stats = [self._gather(each.decoder_run) for each in intact]
            context = self._context(ended, rates, [each.decoder_run for each in intact])
            records = {}
            if self.group.is_main:
                for each, merged in zip(intact, stats, strict=True):
                    records[self.root / each.planned.name] = self._write(each, merged, context, _eager(each, intact))
            self.group.barrier()
            for each in intact:
                each.decoder_run.folder.discard()
            return records

    def _gather(self, decoder_run: DecoderRun) -> ProcessStats:
        """Merge statistics of all processes, each of which gets the samples of the others."""
        self._share_samples(decoder_run.folder)
        own = ProcessStats(decoder_run.mode_record, decoder_run.warm, decoder_run.energy, peak_rss_mib())
        return reduce_stats(self.group.all_gather(own))

    def _share_samples(self, folder: RunFolder) -> None:
        for samples in self.group.all_gather(list(folder.samples.values())):
            folder.learn(samples)

    def _write(self, run: _OpenRun, stats: ProcessStats, context: RunContext, eager: _OpenRun | None) -> Record:
        folder, planned, options = run.decoder_run.folder, run.planned, run.planned.options
        if eager is not None:
            samples = eager.decoder_run.folder.samples
            stats = replace(stats, mode=compared(stats.mode, folder.samples, samples))
        keys = _in_order(folder.samples, [sample.image_id for sample in self.suite.dataset.samples])
        recorded = RecordedRun(
            decoder=planned.decoder.name,
            preset=options.preset,
            options=plain_options(options),
            suite=planned.suite,
            scored=not options.speed_only,
            batch=options.batch or 1,
            scenario=str(options.scenario),
            seed=options.seed,
            random_weights=options.random_weights,
            weights=planned.weights,
            missing=planned.missing,
            parameters=None if planned.network is None else sum(p.numel() for p in planned.network.parameters()),
            signature=run.signature,
            started=folder.started,
        )
        record = make_record(recorded, [folder.samples[key] for key in keys], context, stats)
        folder.write(record, keys)
        return record

    def _monitors(self) -> Monitors:
        if self.options.accuracy_only:
            return Monitors()
        pids = self.group.local_pids()
        gpu, reason = watch_gpu(self.device, pids)
        if reason:
            self.log(f"note: {reason}")
        host = HostLoad(own=partial(core_seconds, pids))
        return Monitors(host, gpu, Workload(self.device).warm_up() if self.options.calibrate else None)

    def _reader(self) -> Reader:
        """Return a reader that reads an image once for all decoders, which come to it one after the other."""
        largest = max(planned.options.batch or LARGEST_BATCH[self.device.type] for planned in self.planned)
        return lru_cache(maxsize=largest + READ_AHEAD)(sample_reader(self.suite.dataset, self.suite.tasks))

    def _open(self, planned: PlannedRun, read: Reader, started: str, stack: ExitStack) -> _OpenRun:
        eager = build_pipeline(
            planned.decoder,
            planned.suite.tasks,
            planned.suite.vocabulary,
            network=planned.network,
            options=planned.options,
            device=self.device,
        )
        if planned.options.batch is None:
            planned = replace(planned, options=replace(planned.options, batch=self._largest_batch(eager, read)))
        options, suite = planned.options, planned.suite
        signature, path = _signature(planned), self.root / planned.name
        if self.group.is_main and (others := _replaced_options(path, options)):
            self.log(f"note: {path}: the finished run there, of other {others}, will be replaced")
        folder = self._folder(path, signature, started, stack)
        batches = make_batches(suite.dataset.samples, options.batch or 1, annotation_kinds(suite.dataset, suite.tasks))
        pipeline = eager
        if options.mode != "eager":
            network = wrap_network(options.mode, planned.network)
            pipeline = build_pipeline(
                planned.decoder, suite.tasks, suite.vocabulary, network=network, options=options, device=self.device
            )
        counted = not options.accuracy_only and planned.network is not None
        decoder_run = DecoderRun(
            name=planned.name,
            metrics={} if options.speed_only else suite.metrics,
            pipeline=pipeline,
            batches=batches[self.group.rank :: self.group.world_size],
            read=read,
            folder=folder,
            endless=options.speed_only,
            monitors=self.monitors,
            counter=FlopCounter(planned.network) if counted else None,
            eager=eager if pipeline is not eager else None,
            mode=options.mode,
        )
        return _OpenRun(planned, decoder_run, signature)

    def _folder(self, path: Path, signature: dict[str, Any], started: str, stack: ExitStack) -> RunFolder:
        """Open the folder, with what other processes did of the run already."""
        fresh, rank = self.options.fresh, self.group.rank

        def opened() -> RunFolder:
            return stack.enter_context(open_run(path, signature=signature, started=started, fresh=fresh, rank=rank))

        folder = opened() if self.group.is_main else None
        self.group.barrier()
        folder = folder or opened()
        self.group.barrier()
        folder.learn(folder.others(signature).values())
        self._share_samples(folder)
        if isinstance(self.suite.dataset, Dataset):
            check_images(self.suite.dataset, folder)
        return folder

    def _largest_batch(self, pipeline: Any, read: Reader) -> int:
        dataset, most = self.suite.dataset, LARGEST_BATCH[self.device.type]
        if not self.options.speed_only:
            most = min(most, len(dataset.samples))
        kinds = annotation_kinds(dataset, self.suite.tasks)
        size = find_batch_size(pipeline, lambda sample: read(sample).input, dataset.roomiest(), kinds, most=most)
        return int(min(self.group.all_gather(size)))

    def _rates(self) -> PeakRates | None:
        computing = any(planned.network is not None for planned in self.planned)
        if self.options.accuracy_only or not computing or not self.group.is_main:
            return None
        host = self.monitors.host
        load = host.others() if host else None
        return peak_rates(
            self.device,
            self.options.precision,
            folder=cache_folder() / "rates",
            fingerprint=fingerprint(describe_environment(self.device)),
            keep=load is None or load <= BUSY_CORES,
        )

    def _context(self, ended: str, rates: PeakRates | None, intact: Sequence[DecoderRun]) -> RunContext:
        environment = describe_environment(self.device)
        minimum = f"{self.limits.images} images and {self.limits.seconds:g} s of each decoder were measured"
        if not self.options.speed_only:
            done, images = min(len(each.folder.samples) for each in intact), len(self.suite.dataset.samples)
            minimum = f"all images were decoded: accuracy and times are of {done} of {images}"
        return RunContext(
            environment=environment,
            fingerprint=fingerprint(environment),
            rates=rates,
            ended=ended,
            minimum=minimum if ended == "budget" else "",
            least=(self.limits.images, self.limits.seconds),
            interleaved=[each.name for each in intact],
            processes=self.group.world_size,
            timed=not self.options.accuracy_only,
        )


def _suite(options: RunOptions, group: ProcessGroup, report: Report) -> Suite:
    if options.random_weights and options.coco is None and options.nyu is None:
        most = max(size or LARGEST_BATCH["cuda"] for size in scenario_of(options.scenario, options.batch)[1])
        images = max(IMAGES, most) * group.world_size
        return random_suite(options, score_unseen=options.score_unseen, images=images)
    return build_suite(
        options,
        annotated=options.prompts == "annotated",
        score_unseen=options.score_unseen,
        progress=report,
    )


def _eager(run: _OpenRun, others: Sequence[_OpenRun]) -> _OpenRun | None:
    """Return the same decoder and batch in eager mode, if ``run`` is of another mode and both were measured."""
    own = run.planned
    for other in others:
        planned = other.planned
        same = planned.decoder is own.decoder and planned.options.batch == own.options.batch
        if same and planned.options.mode == "eager" != own.options.mode:
            return other
    return None


def _signature(planned: PlannedRun) -> dict[str, Any]:
    suite, options = planned.suite, planned.options
    return {
        "decoder": planned.decoder.name,
        "options": {name: value for name, value in plain_options(options).items() if name not in UNSIGNED},
        "data": suite.data["hash"],
        "tokenizer": suite.data.get("tokenizer"),
        "tasks": [task.name for task in suite.tasks],
        "seed": options.seed,
        "code": {"source": source_hash(), "torch": str(torch.__version__)},  # a run continues only with the same code
        "weights": planned.weights,
        **suite.formats,
    }


def _in_order(keys: Sequence[Key] | dict[Key, Any], images: Sequence[int]) -> list[Key]:
    """Return the keys of samples by repetition and by the order of their images in the data set."""
    position = {image: number for number, image in enumerate(images)}

    def order(key: Key) -> tuple[int, int]:
        image, repeat = key if isinstance(key, tuple) else (key, 0)
        return repeat, position[image]

    return sorted(keys, key=order)


def _replaced_options(path: Path, options: RunOptions) -> str:
    """Return the names of the options in which a finished run in a folder differs; empty if there is none."""
    try:
        before = read_record(path).options
    except StoreError:
        return ""
    now = json.loads(json.dumps(plain_options(options), default=str))
    return ", ".join(sorted(name for name in now.keys() - set(UNSIGNED) if before.get(name) != now[name]))


def _folder_name(options: RunOptions) -> str:
    roots = [path.resolve().name for path in (options.coco, options.nyu) if path is not None]
    if options.random_weights and not roots:
        return f"random-{options.preset}"
    parts = ["+".join(roots) or "embedded", options.split]
    if options.limit is not None:
        parts.append(f"first{options.limit}")
    if any(part in ("", ".", "..") for part in roots):
        raise UserError("a data folder has no name; give it as a path with one")
    return "-".join(parts)
