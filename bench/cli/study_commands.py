"""Commands that measure something of the methods once: trainings and runs of their own, a table as the result."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.cli import parser as parsers
from bench.config.codecs import CodecTrainOptions
from bench.config.run import RunOptions
from bench.config.studies import (
    CeilingsOptions,
    CodecStudyOptions,
    OverfitOptions,
    PairsOptions,
    SeedsOptions,
    SpeakersOptions,
)
from bench.config.training import TrainOptions

STUDIES = Path("results") / "runs" / "ait-studies"  # trainings that two studies share


def ceilings(options: CeilingsOptions) -> int:
    """Measure what perfect tokens score and write the table."""
    from bench.measurements.oracle_ceilings import measure_ceilings

    print(measure_ceilings(coco=options.coco, nyu=options.nyu, split=options.split, out=options.out))
    return 0


def speakers(options: SpeakersOptions) -> int:
    """Measure what captions of the embedded scenes can score and write the table."""
    from bench.measurements.caption_ceilings import measure_speakers

    print(measure_speakers(options))
    return 0


def codecs(options: CodecStudyOptions) -> int:
    """Train small codecs one after another and write the table, or one on real pairs."""
    from bench.studies.codec_pairs import measure_pairs, pairs_options
    from bench.studies.codec_table import measure_codecs

    if options.nyu is not None:
        print(measure_pairs(options, pairs_options(options, options.nyu)))
        return 0
    base: CodecTrainOptions = parsers.parse("train", ["--codec", "depth", "--preset", "embedded"])
    print(measure_codecs(options, dataclasses.replace(base, threads=options.threads)))
    return 0


def overfit(options: OverfitOptions) -> int:
    """Let every strategy learn a few real images by heart and write the table."""
    from bench.studies.overfit import measure_overfit

    print(measure_overfit(options))
    return 0


def seeds(options: SeedsOptions) -> int:
    """Train the published weights' recipe under other seeds and write the table."""
    from bench.studies.seeds import measure_seeds

    print(measure_seeds(options))
    return 0


def depth_pairs(options: PairsOptions) -> int:
    """Overfit a small AiT on real pairs, run it on them and write the table."""
    from bench.studies.depth_pairs import measure_depth_pairs

    print(measure_depth_pairs(options))
    return 0


def table2(options: RunOptions) -> int:
    """Run the rows of MAD's Table 2 and write the table into ``--out`` or ``results/``."""
    from bench.studies.table2 import measure_table2

    runs = Path("results") / "runs" / "table2"
    print(measure_table2(dataclasses.replace(options, out=runs), out=options.out or Path("results")))
    return 0


def paper_time(options: RunOptions) -> int:
    """Time a paper-size network and write the table into ``--out`` or ``results/``."""
    from bench.measurements.cpu_time_ait import measure_ait_time
    from bench.measurements.cpu_time_mad import measure_paper_time

    measure = measure_ait_time if options.network.family == "ait" else measure_paper_time
    print(measure(options, out=options.out or Path("results")))
    return 0


def soft_tokens(options: TrainOptions) -> int:
    """Train and run the rows of AiT's Table 9 and write the table into ``--out`` or ``results/``."""
    from bench.studies.soft_tokens import measure_soft_tokens

    print(measure_soft_tokens(options, out=options.out or Path("results"), folder=STUDIES))
    return 0


def parallel_study(options: TrainOptions) -> int:
    """Train and run ``ait`` and ``ait-parallel`` and write the table into ``--out`` or ``results/``."""
    from bench.studies.parallel_study import measure_parallel_study

    print(measure_parallel_study(options, out=options.out or Path("results"), folder=STUDIES))
    return 0
