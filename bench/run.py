"""A run: every decoder over the data set, each image kept as it is finished, metrics and record at the end."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import torch

from bench import registry
from bench.config import ImageOptions, RunOptions
from bench.data import dataset
from bench.data.transforms import Letterbox, ShortestSide, Square
from bench.environment import SOURCE, describe_environment, git_state
from bench.errors import UserError
from bench.formats import CODECS, CODES, formats_to_run, with_formats
from bench.pipeline import Item, Outcome, Pipeline
from bench.progress import progress
from bench.suite import Suite, build_suite
from decoders.network.network import Network
from decoders.oracle import Oracle
from results.record import SAMPLES_FOR, Cost, Latency, Record, Sample, Timing
from results.store import RunFolder, open_run

Read = tuple[dataset.Sample, Item, float]  # a sample, its image and annotations, and the milliseconds of reading them


def run(options: RunOptions) -> dict[Path, Record]:
    """Run every decoder of ``options``; the same as the command ``run``.

    Returns:
        Run folder to record, in the order in which the decoders were named.

    Raises:
        UserError: if data, options or their combination cannot be used.
        StoreError: if the results cannot be written.
    """
    decoders = {name: registry.load(registry.DECODERS, name) for name in options.decoders()}
    for name in options.strategy:
        if name not in decoders:
            raise UserError(f"--strategy: {registry.unknown('decoder of this run', name, list(decoders))}")
    if options.threads:
        torch.set_num_threads(options.threads)
    with progress("rendering scenes") as report:
        suite = build_suite(options, progress=report)
    suite.dataset.check_files()
    root = options.out or Path("results") / "runs" / _run_name(options)
    built = {name: build_decoder(cls, options.strategy) for name, cls in decoders.items()}
    suites = {name: with_formats(suite, formats_to_run(options, decoder), options) for name, decoder in built.items()}
    networks = {name: _network(decoder, suites[name], options) for name, decoder in built.items()}
    return {
        root / name: _run_decoder(decoder, networks[name], suites[name], options, root / name)
        for name, decoder in built.items()
    }


def build_decoder(cls: Any, strategy: Mapping[str, Mapping[str, Any]]) -> Any:
    """A strategy with its own options from ``--strategy``.

    Raises:
        UserError: if it has no such option, or a value is of the wrong type.
    """
    given = strategy.get(cls.name, {})
    if not hasattr(cls, "Options"):
        if given:
            raise UserError(f"--strategy: {cls.name} has no options, got {', '.join(given)}")
        return cls()
    known = [field.name for field in dataclasses.fields(cls.Options)]
    for name in given:
        if name not in known:
            raise UserError(f"--strategy: {registry.unknown(f'option of {cls.name}', name, known)}")
    try:
        return cls(msgspec.convert(given, cls.Options, strict=False))
    except (msgspec.ValidationError, ValueError) as error:
        raise UserError(f"--strategy: {cls.name}: {error}") from None


def _network(decoder: Any, suite: Suite, options: RunOptions) -> Network | None:
    """The network with the weights that a decoder was trained with, or None if it needs none."""
    if not decoder.needs_network:
        return None
    from bench.checkpoint import load_network
    from decoders.network.folding import folded

    hashed = suite.data.get("tokenizer", {}).get("hash")
    network = load_network(getattr(decoder, "weights", decoder.name), options, suite.vocabulary, tokenizer=hashed)
    return folded(network).to(_device(options))


def _device(options: RunOptions) -> torch.device:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU; use --device cpu")
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(options.device)


def _run_decoder(decoder: Any, network: Network | None, suite: Suite, options: RunOptions, path: Path) -> Record:
    signature = {
        "decoder": decoder.name,
        "options": plain_options(options),
        "data": suite.data["hash"],
        "tokenizer": suite.data.get("tokenizer"),
        "tasks": [task.name for task in suite.tasks],
        "seed": options.seed,
        "code": {**git_state(SOURCE), "torch": str(torch.__version__)},  # predictions of two versions are not one run
        **suite.formats,
    }
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with open_run(path, signature=signature, started=started, fresh=options.fresh) as folder:
        _predict(decoder, network, suite, options, folder)
        order = [sample.image_id for sample in suite.dataset.samples]
        record = _record(decoder.name, suite, options, folder, [folder.samples[image_id] for image_id in order])
        folder.finish(record, order)
    return record


def _predict(decoder: Any, network: Network | None, suite: Suite, options: RunOptions, folder: RunFolder) -> None:
    pipeline = Pipeline(
        decoder=decoder,
        tasks=suite.tasks,
        transform=image_transform(options.image),
        fill=suite.vocabulary.id("mask"),
        seed=options.seed,
        network=network,
        prompter=Oracle() if options.prompts == "annotated" else None,
        device=_device(options),
        precision=options.precision,
    )
    remaining = [sample for sample in suite.dataset.samples if sample.image_id not in folder.samples]
    total = len(suite.dataset.samples)
    with progress(decoder.name) as report:
        report(total - len(remaining), total)
        for batch in _batches(remaining, suite, options.batch):
            items = [item for _, item, _ in batch]
            for read, outcome in zip(batch, pipeline.predict(items), strict=True):
                folder.append(_kept(read, outcome, suite, folder.sitting))
            report(len(folder.samples), total)


def _batches(samples: Sequence[dataset.Sample], suite: Suite, size: int) -> Iterator[list[Read]]:
    """Images in order with the milliseconds that reading took; a batch holds images with the same annotations only."""

    def read() -> Iterator[Read]:
        for sample in samples:
            start = time.perf_counter()
            image, targets = suite.dataset.image(sample), suite.dataset.targets(sample)
            passed = (time.perf_counter() - start) * 1000
            yield sample, Item(image_id=sample.image_id, image=image, targets=targets), passed

    def annotated(read: Read) -> tuple[bool, ...]:
        return tuple(task.annotated(read[1].targets) for task in suite.tasks)

    for _, group in groupby(read(), key=annotated):
        batch: list[Read] = []
        for one in group:
            batch.append(one)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def _kept(read: Read, outcome: Outcome, suite: Suite, sitting: int) -> Sample:
    sample, item, read_ms = read
    kept = {
        name: suite.metrics[name].observe(item.image_id, prediction, item.targets)
        for name, prediction in outcome.predictions.items()
        if name in suite.metrics
    }
    return Sample(
        image_id=item.image_id,
        file=sample.file_name,
        predictions=kept,
        milliseconds={"read": read_ms} | outcome.milliseconds,
        work=outcome.work,
        cut={task.name: count for task in suite.tasks if (count := task.cut(item.targets))},
        sitting=sitting,
    )


def _record(name: str, suite: Suite, options: RunOptions, folder: RunFolder, samples: Sequence[Sample]) -> Record:
    metrics = {}
    for task, metric in suite.metrics.items():
        kept = {s.image_id: s.predictions[task] for s in samples if task in s.predictions}
        metrics[task] = metric.summarise(kept)
    return Record(
        decoder=name,
        preset=str(options.preset),
        options=plain_options(options),
        data=suite.data,
        tasks=list(suite.metrics),
        off=suite.off,
        metrics=metrics,
        notes=_notes(suite, samples),
        latency=_latency(samples, options.batch),
        cost=_cost(samples, [task.name for task in suite.tasks]),
        environment=describe_environment(),
        seed=options.seed,
        images=len(samples),
        checksum=checksum(samples),
        started=folder.started,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _notes(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, str]]:
    notes = {}
    for name, metric in suite.metrics.items():
        cut = sum(sample.cut.get(name, 0) for sample in samples)
        found = metric.notes() | (
            {"cut": f"{cut} annotations do not fit its sequences, for any decoder"} if cut else {}
        )
        if codes := _codes_note(name, suite):
            found |= {"format": codes}
        if found:
            notes[name] = found
    return notes


def _codes_note(task: str, suite: Suite) -> str | None:
    if suite.formats.get("formats", {}).get(task) != CODES:
        return None
    return f"codes of codec {suite.formats['codecs'][CODECS[task]]['hash']}"


def checksum(samples: Sequence[Sample]) -> str:
    """SHA-256 over image ids and kept predictions in the given order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(msgspec.json.encode([sample.image_id, sample.predictions]))
    return digest.hexdigest()


def timing(milliseconds: Sequence[float]) -> Timing:
    """Summary of one phase; percentiles only where there are enough images for them."""
    ordered = sorted(milliseconds)
    count = len(ordered)

    def percentile(p: int) -> float | None:
        return ordered[min(count - 1, -(-count * p // 100) - 1)] if count >= SAMPLES_FOR[p] else None

    return Timing(
        n=count,
        mean_ms=sum(ordered) / count,
        min_ms=ordered[0],
        max_ms=ordered[-1],
        p50_ms=percentile(50),
        p90_ms=percentile(90),
        p95_ms=percentile(95),
        p99_ms=percentile(99),
    )


def _latency(samples: Sequence[Sample], batch: int) -> Latency:
    phases: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in sample.milliseconds.items():
            phases.setdefault(name, []).append(value)
    return Latency(
        total=timing(phases.pop("total")),
        phases={name: timing(values) for name, values in phases.items()},
        batch=batch,
        sittings=len({sample.sitting for sample in samples}),
    )


def _cost(samples: Sequence[Sample], tasks: Sequence[str]) -> dict[str, Cost]:
    costs = {}
    for task in tasks:
        work = [sample.work[task] for sample in samples if task in sample.work]
        if work:
            evaluations, positions, sequences = (sum(column) / len(work) for column in zip(*work, strict=True))
            costs[task] = Cost(evaluations=evaluations, positions=positions, sequences=sequences)
    return costs


def image_transform(image: ImageOptions) -> Any:
    """The transform that a preset names."""
    match image.transform:
        case "shortest_side":
            return ShortestSide(short=image.short, longest=image.longest)
        case "letterbox":
            return Letterbox(side=image.side)
        case "square":
            return Square(side=image.side)


def plain_options(options: RunOptions) -> dict[str, Any]:
    """Options as JSON data; of paths only the last part, so that a record tells nothing of a machine's folders."""
    left_out = ("out", "fresh", "report", "decoder")
    plain: Mapping[str, Any] = {k: v for k, v in dataclasses.asdict(options).items() if k not in left_out}
    return {name: value.name if isinstance(value, Path) else value for name, value in plain.items()}


def _run_name(options: RunOptions) -> str:
    roots = [path.resolve().name for path in (options.coco, options.nyu) if path is not None]
    parts = ["+".join(roots) or "embedded", options.split]
    if options.limit is not None:
        parts.append(f"first{options.limit}")
    if any(part in ("", ".", "..") for part in roots):
        raise UserError("a data folder has no name; give it as a path with one")
    return "-".join(parts)
