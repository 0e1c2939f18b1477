"""What each command does; names are the commands'. They return exit codes and print, everything else is elsewhere."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from pathlib import Path

from bench import registry
from bench.builders.preflight import check_file, check_suite
from bench.checkpoints.checkpoint import ENCODER
from bench.config.analysis import (
    ReportOptions,
)
from bench.config.codecs import CodecTrainOptions
from bench.config.run import RunOptions
from bench.config.strategy import strategy_options
from bench.config.tools import (
    ImportOptions,
    ParityOptions,
    SweepOptions,
)
from bench.config.training import TrainOptions
from bench.console import loading, terminal_width
from bench.run.choice import check_run


def run(options: RunOptions) -> int:
    """Run decoders and print the table."""
    check_run(options)
    with loading():
        from bench.run import runner
    from rich.console import Console

    from reports.terminal.record_tables import print_records, print_remarks
    from reports.terminal.times import print_details, print_speed

    records = runner.run(options)
    if not records:  # a process of torchrun that only helped
        return 0
    console, shown = Console(width=terminal_width(130)), builtins.list(records.values())
    if options.speed_only:
        print_speed(shown, console)
    elif options.report:
        print_remarks(shown, console)  # the report shows their table
    else:
        print_records(shown, console)
    if options.speed_only or options.phases:
        print_details(shown, console)
    for folder in records:
        print(f"record: {folder / 'record.json'}")
    if options.report and not options.speed_only:
        from bench.report import gather as reporting

        report_options = ReportOptions(
            runs=[*records],
            coco=options.coco,
            nyu=options.nyu,
            nyu_list=options.nyu_list,
            tokenizer=options.tokenizer,
        )
        page = reporting.write(report_options, console=Console(width=terminal_width(130)))  # prints the intervals
        print(f"report: {page}")
    return 0


def sweep(options: SweepOptions) -> int:
    """Run a file's combinations and print where the records are; 2 if one could not be run."""
    from bench.run.sweep import read_sweep

    combinations = read_sweep(options.file, out=options.out, only=options.only)
    if options.show:
        for point in combinations.points:
            print(point.name)
        return 0
    with loading():
        from bench.distributed import join
        from bench.run.runner import run as runner
        from bench.run.sweep import run_sweep

    with join() as group:
        log = print if group.is_main else (lambda text: None)
        result = run_sweep(
            combinations,
            lambda run: runner(run, log, group),
            log,
            fresh=options.fresh,
            agree=lambda value: group.all_gather(value)[0],
            alone=group.world_size == 1,
        )
    for folder in result.records:
        log(f"record: {folder / 'record.json'}")
    return 2 if result.failed else 0


def train(options: TrainOptions | CodecTrainOptions) -> int:
    """Train and print where the weights are."""
    if isinstance(options, CodecTrainOptions):
        with loading():
            from bench.train import codec as codec_training
        _print_training(codec_training.train_codec(options))
        return 0
    if options.decoder != ENCODER:
        strategy_options(registry.decoder(options.decoder), options.strategy)
    check_suite(options)
    check_file("--encoder", options.encoder)
    check_file("--start", options.start)
    with loading():
        from bench.train import network as training
    _print_training(training.train(options))
    return 0


def _print_training(written: Sequence[Path]) -> None:
    """Print the last loss and scores of a training, and the files that it left."""
    from bench.train.publish import last_points
    from bench.train.trainer import CURVE

    for path in written:
        if path.name == CURVE:
            print(last_points(path))
        print(path)


def parity(options: ParityOptions) -> int:
    """Print the largest difference of every family; 1 if any is too large."""
    from bench.parity.check import run_parity

    text, good = run_parity(options.file)
    print(text)
    return 0 if good else 1


def import_checkpoint(options: ImportOptions) -> int:
    """Import released weights and print what was used, unused and missing."""
    from bench.checkpoints import convert as importing

    text = importing.import_checkpoint(
        options.kind,
        options.checkpoint,
        options.out,
        codecs=options.codecs,
        tokenizer=options.tokenizer,
        entry=options.entry,
        allow_missing=options.allow_missing,
    )
    print(text)
    return 0
