"""Commands that analyze finished runs: `compare`, `report`, `gate`, `planted-faults`, `history`."""

from __future__ import annotations

from bench.config.analysis import (
    CompareOptions,
    GateOptions,
    HistoryOptions,
    PlantedOptions,
    ReportOptions,
)
from bench.console import terminal_width


def compare(options: CompareOptions) -> int:
    """Print what differs between runs, and write it where ``--out`` says."""
    import msgspec
    from rich.console import Console

    from bench.compare import runs as comparing
    from bench.compare.score_tables import DataPaths
    from reports.terminal.comparison import markdown, print_comparison
    from results.store import write_atomically

    data = DataPaths(options.coco, options.nyu, options.nyu_list, options.tokenizer)
    comparison = comparing.compare(
        options.runs, data=data, resamples=options.resamples, seed=options.seed, every=options.every
    )
    print_comparison(comparison, Console(width=terminal_width(130)))
    if options.out is not None:
        content = msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"
        write_atomically(options.out / "comparison.json", content)
        write_atomically(options.out / "comparison.md", markdown(comparison).encode())
        print(options.out / "comparison.md")
    return 0


def report(options: ReportOptions) -> int:
    """Write the page, print a summary and where the page is."""
    from rich.console import Console

    from bench.report import gather as reporting

    path = reporting.write(options, console=Console(width=terminal_width(130)))
    print(f"report: {path}")
    return 0


def gate(options: GateOptions) -> int:
    """Print the answers; their exit code, or 0 after new baselines were written."""
    from rich.console import Console

    from bench.gate import gate as gating
    from reports.terminal.gate import print_report

    result = gating.gate(options)
    print_report(result.report, Console(width=terminal_width(150)))
    print(f"report: {result.out / 'gate.md'}, {result.out / 'gate.xml'}")
    if options.update_baseline:
        for path in gating.update(result, force=options.force):
            print(f"baseline: {path}")
        return 0
    return result.report.exit_code


def planted_faults(options: PlantedOptions) -> int:
    """Print the table of planted faults; 0 if the gate caught them and was quiet otherwise, else as ``gate``."""
    from bench.gate import fault_injection as planted
    from results.gate_report import EXIT_CODES

    trials = planted.planted_faults(options)
    print(planted.markdown(trials))
    print(f"{trials.verdict}: {options.out / planted.RESULT}")
    return EXIT_CODES[trials.verdict]


def history(options: HistoryOptions) -> int:
    """Plot a metric of past runs, or list the metrics there are."""
    from shutil import get_terminal_size

    from bench.gate import history as past
    from reports.terminal.history_plot import plot

    if options.add:
        from bench.gate.gate import history_entries
        from results.history import append

        append(options.file, history_entries(options.add))
        if options.metric is None:
            return 0
    if options.metric is None:
        print(*past.names(past.selected(options)), sep="\n")
        return 0
    for number, series in enumerate(past.history(options)):
        print(*([""] if number else []), *plot(series, width=get_terminal_size((110, 24)).columns), sep="\n")
    return 0
