"""What each command does; names are the commands'. They return exit codes and print, everything else is elsewhere."""

from __future__ import annotations

import builtins
import json
import shlex
import sys
from pathlib import Path

from bench import parsers, registry
from bench.codec_options import CodecTrainOptions
from bench.config import RunOptions, preset_file, preset_names
from bench.errors import UserError
from bench.progress import progress
from bench.report_options import AblateOptions, ReportOptions
from bench.statistics_options import CompareOptions, GateOptions, HistoryOptions, PlantedOptions
from bench.training_options import TrainOptions


def run(options: RunOptions) -> int:
    """Run decoders and print the table."""
    for name in options.decoders():
        registry.check(registry.DECODERS, name)  # before seconds of imports
    from rich.console import Console

    from bench import run as runner
    from reports.speed import print_details, print_speed
    from reports.tables import print_records

    records = runner.run(options)
    if not records:  # a process of torchrun that only helped
        return 0
    console, shown = Console(width=_width(130)), builtins.list(records.values())
    if options.speed_only:
        print_speed(shown, console)
    else:
        print_records(shown, console)
    if options.speed_only or options.phases:
        print_details(shown, console)
    for folder in records:
        print(f"record: {folder / 'record.json'}")
    if options.report and not options.speed_only:
        from bench import report as reporting

        own = ReportOptions(
            runs=[*records],
            coco=options.coco,
            nyu=options.nyu,
            nyu_list=options.nyu_list,
            tokenizer=options.tokenizer,
        )
        print(f"report: {reporting.write(own, console=Console(width=_width(130)))}")  # its summary has the intervals
    return 0


def compare(options: CompareOptions) -> int:
    """Print what differs between runs, and write it where ``--out`` says."""
    import msgspec
    from rich.console import Console

    from bench import compare as comparing
    from bench.tables import DataPlace
    from reports.comparison import markdown, print_comparison
    from results.store import write_atomically

    place = DataPlace(options.coco, options.nyu, options.nyu_list, options.tokenizer)
    found = comparing.compare(
        options.runs, place=place, resamples=options.resamples, seed=options.seed, every=options.every
    )
    print_comparison(found, Console(width=_width(130)))
    if options.out is not None:
        content = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
        write_atomically(options.out / "comparison.json", content)
        write_atomically(options.out / "comparison.md", markdown(found).encode())
        print(options.out / "comparison.md")
    return 0


def report(options: ReportOptions) -> int:
    """Write the page, print a summary and where the page is."""
    from rich.console import Console

    from bench import report as reporting

    path = reporting.write(options, console=Console(width=_width(130)))
    print(f"report: {path}")
    return 0


def ablate(options: AblateOptions) -> int:
    """Do what is missing of an ablation and write its outcome, or show what it would do."""
    from bench import ablation

    if options.name is None:
        for name in ablation.names():
            print(f"{name}: {ablation.read_definition(name)[1].title}")
    elif options.show:
        name, definition = ablation.read_definition(options.name)
        for words in ablation.commands(name, definition, options.work):
            print("python -m bench " + shlex.join(words))
    else:
        print(ablation.run_ablation(options.name, work=options.work, out=options.out))
    return 0


def gate(options: GateOptions) -> int:
    """Print the answers; their exit code, or 0 after new baselines were written."""
    from rich.console import Console

    from bench import gating
    from reports.verdicts import print_report

    found = gating.gate(options)
    print_report(found.report, Console(width=_width(150)))
    print(f"report: {found.out / 'gate.md'}, {found.out / 'gate.xml'}")
    if options.update_baseline:
        for path in gating.update(found, force=options.force):
            print(f"baseline: {path}")
        return 0
    return found.report.exit_code


def planted_faults(options: PlantedOptions) -> int:
    """Print the table of planted faults; 0 if the gate caught them and was quiet otherwise, else as ``gate``."""
    from bench import planted
    from results.verdict import EXIT_CODES

    found = planted.planted_faults(options)
    print(planted.markdown(found))
    print(f"{found.verdict}: {options.out / planted.RESULT}")
    return EXIT_CODES[found.verdict]


def history(options: HistoryOptions) -> int:
    """Plot a metric of past runs."""
    from shutil import get_terminal_size

    from bench import history as past
    from reports.history import plot

    if options.add:
        from bench.gating import entries
        from results.history import append

        append(options.file, entries(options.add))
        if options.metric is None:
            return 0
    for number, series in enumerate(past.history(options)):
        print(*([""] if number else []), *plot(series, width=get_terminal_size((110, 24)).columns), sep="\n")
    return 0


def sweep(options: parsers.SweepOptions) -> int:
    """Run a file's combinations and print where the records are; 2 if one could not be run."""
    from bench.sweep import read_sweep

    found = read_sweep(options.file, out=options.out, only=options.only)
    if options.show:
        for point in found.points:
            print(point.name)
        return 0
    from bench.run import run as runner
    from bench.sweep import run_sweep
    from bench.team import joined

    with joined() as team:
        tell = print if team.first else (lambda text: None)
        result = run_sweep(
            found,
            lambda one: runner(one, tell, team),
            tell,
            fresh=options.fresh,
            agree=lambda own: team.everyone(own)[0],
            alone=team.world == 1,
        )
    for folder in result.records:
        tell(f"record: {folder / 'record.json'}")
    return 2 if result.failed else 0


def train(options: TrainOptions | CodecTrainOptions) -> int:
    """Train and print where the weights are."""
    if isinstance(options, CodecTrainOptions):
        from bench import codec_training

        for path in codec_training.train_codec(options):
            print(path)
        return 0
    from bench import training

    if options.decoder != training.ENCODER:
        registry.check(registry.DECODERS, options.decoder)
    for path in training.train(options):
        print(path)
    return 0


def list(options: parsers.ListOptions) -> int:  # noqa: A001
    """Print names with one line each."""
    sections = {
        "decoders": _summaries(registry.DECODERS),
        "tasks": _summaries(registry.TASKS),
        "presets": {name: _header(preset_file(name))[0] for name in preset_names()},
    }
    for section, entries in sections.items():
        if options.what in ("all", section):
            print(f"{section}:")
            width = max(map(len, entries))
            for name, summary in entries.items():
                print(f"  {name:<{width}}  {summary}")
    return 0


def describe(options: parsers.DescribeOptions) -> int:
    """Print one decoder, task or preset."""
    decoders, tasks, presets = registry.names(registry.DECODERS), registry.names(registry.TASKS), preset_names()
    if options.preset is not None:
        preset_file(options.preset)  # an unknown one is refused, also where nothing depends on it
    if options.name in decoders:
        cls = registry.load(registry.DECODERS, options.name)
        print(f"decoder {options.name}: {cls.summary}\n")
        print(sys.modules[cls.__module__].__doc__)
        if hasattr(cls, "Options"):
            from bench.building import options_of
            from bench.describe import describe_options

            print(f"options (--strategy '{{{options.name}: {{name: value}}}}'):\n")
            print(describe_options(cls.Options))
            print(f"\ndefaults: {json.dumps({options.name: options_of(cls())})}")
        if cls.needs_network:
            from bench.describe import describe_weights

            print("\nweights:\n" + "\n".join(describe_weights(cls) or ["none are shipped"]))
    elif options.name in tasks:
        from bench.describe import describe_task

        print(describe_task(options.name, options.preset, options.formats))
    elif options.name in presets:
        print(preset_file(options.name).read_text(), end="")
    else:
        raise UserError(registry.unknown("name", options.name, decoders + tasks + presets))
    return 0


def verify_data(options: parsers.VerifyOptions) -> int:
    """Print every finding; 1 if any is an error."""
    from bench.data.verify import verify

    if options.coco is None and options.nyu is None:
        raise UserError("verify-data: give --coco DIR, --nyu DIR or both")
    lists = {"val2017": "test", "train2017": "train"}  # NYUv2's names for the same two
    splits = None if options.split == "all" else (options.split, lists[options.split])
    with progress("checking") as report:
        findings = verify(
            options.coco,
            options.nyu,
            splits=splits,
            workers=options.workers,
            full=not options.headers_only,
            progress=report,
        )
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    print(f"{errors} errors, {sum(f.level == 'warning' for f in findings)} warnings")
    return 1 if errors else 0


def scenes(options: parsers.ScenesOptions) -> int:
    """Render the embedded data set."""
    from bench.data import scenes as embedded

    splits = tuple(embedded.COUNTS) if options.split == "all" else (options.split,)
    counts = None if options.count is None else dict.fromkeys(splits, options.count)
    with progress("rendering") as report:
        digest = embedded.write(options.out, splits=splits, counts=counts, seed=options.seed, progress=report)
    print(f"{options.out}: {', '.join(splits)}, content {digest}")
    print(f"use it with --preset embedded --coco {options.out} --nyu {options.out}")
    return 0


def vocabulary(options: parsers.VocabularyOptions) -> int:
    """Train or abbreviate a caption tokeniser."""
    from bench.data.captions import caption_texts
    from tasks import text

    captions = caption_texts(options.captions)
    if options.abbreviate is None:
        text.train(captions, options.out, size=options.size)
    else:
        text.abbreviate(options.abbreviate, captions, options.out)
    print(f"{options.out}: {len(text.SentencePieceTokenizer(options.out))} pieces from {len(captions)} captions")
    return 0


def parity(options: parsers.ParityOptions) -> int:
    """Print the largest difference of every family; 1 if any is too large."""
    from bench.parity import run_parity

    text, good = run_parity(options.file)
    print(text)
    return 0 if good else 1


def import_checkpoint(options: parsers.ImportOptions) -> int:
    """Import released weights and print what was used, unused and missing."""
    from bench import importing

    codecs, tokenizer = options.codecs, options.tokenizer
    print(
        importing.import_checkpoint(options.kind, options.checkpoint, options.out, codecs=codecs, tokenizer=tokenizer)
    )
    return 0


def schema(options: parsers.SchemaOptions) -> int:
    """Print or write the JSON Schema of a record."""
    from results.record import json_schema
    from results.store import write_atomically

    text = json.dumps(json_schema(), indent=2) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        write_atomically(options.out, text.encode())
        print(options.out)
    return 0


def _width(beside: int) -> int | None:
    """Columns of what is printed: the terminal's, or those given where it goes to a file."""
    return None if sys.stdout.isatty() else beside


def _summaries(group: str) -> dict[str, str]:
    """Name to summary; an entry that cannot be loaded says so and hides no other."""
    found = {}
    for name in registry.names(group):
        try:
            found[name] = registry.load(group, name).summary
        except UserError as error:
            found[name] = f"cannot be used: {error}"
    return found


def _header(preset: Path) -> builtins.list[str]:
    """Comment lines at the top of a preset."""
    lines: builtins.list[str] = []
    for line in preset.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines or [""]
