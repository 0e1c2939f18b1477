"""What may stand in one table, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.findings import joined
from reports.report_data import ReportError, ReportRun


def refuse_unlike(runs: Sequence[ReportRun]) -> None:
    """Runs of other data, or of captions cut into words by another program, never share a table.

    Raises:
        ReportError: if there are no runs, or they cannot be shown together.
    """
    if not runs:
        raise ReportError("there is no run to report on; `python -m bench run --decoder NAME` makes one")
    data = _by({run.label: str(run.record["data"].get("hash")) for run in runs})
    if len(data) > 1:
        raise ReportError(
            f"the runs are of different data and never share a table ({_told(data)}); make a report of each"
        )
    tokenizers = _by({run.label: word for run in runs if (word := _tokenizer(run.record))})
    if len(tokenizers) > 1:
        raise ReportError(
            f"caption metrics of different tokenizers never share a table ({_told(tokenizers)}); "
            "run again with one --caption-tokenizer, or make a report of each"
        )


def warnings(runs: Sequence[ReportRun]) -> list[str]:
    """What makes numbers doubtful or unlike, each in a sentence, with the runs that it is true of."""
    found: list[str] = []
    hardware = _by({run.label: run.hardware for run in runs})
    if len(hardware) > 1:
        found.append(f"Mixed hardware, times must not be compared: {_told(hardware)}.")
    settings = {"batch": "batch sizes", "precision": "precisions", "preset": "presets", "mode": "modes of execution"}
    for name, what in settings.items():
        values = _by({run.label: str(_option(run.record, name)) for run in runs})
        if len(values) > 1:
            found.append(f"Different {what}: {_told(values)}.")
    threads = _by({run.label: str(run.record["environment"].get("threads")) for run in runs})
    if len(threads) > 1:
        found.append(f"Different numbers of threads: {_told(threads)}.")
    found += _each(runs, _doubts)
    return found


def doubtful_times(runs: Sequence[ReportRun]) -> list[str]:
    """What the records themselves say against their times, to stand below a table that is shown without the page."""
    return _each(runs, lambda record: [str(one) for one in record.get("warnings", [])])


def _doubts(record: Mapping[str, Any]) -> list[str]:
    environment, latency = record["environment"], record["latency"]
    found = [str(warning) for warning in record.get("warnings", [])]
    load, cores = environment.get("load_average"), environment.get("usable_cores")
    threads = environment.get("threads") or 1
    told = any("busy" in warning for warning in found)
    busy = (record.get("machine") or {}).get("busy")
    if not told and (busy or (busy is None and load and cores and load > max(cores, threads) + 0.5)):
        found.append("the machine was busy with other work while it was measured, so times are doubtful")
    if latency.get("sittings", 1) > 1:
        found.append("time was measured in several sittings (interrupted and resumed)")
    if environment.get("git_dirty"):
        found.append("made from a source tree with uncommitted changes")
    if latency.get("scenario") == "untimed":
        found.append("run for accuracy alone, its times mean nothing")
    if record.get("random_weights"):
        found.append("random weights: only times mean anything")
    for task, why in record.get("off", {}).items():
        found.append(f"{task} is off: {why}")
    for task, notes in record.get("notes", {}).items():
        known = record["metrics"].get(task, {})
        found += [
            f"{task}{f' {name}' if name in known else ''}: {text}"
            for name, text in notes.items()
            if _matters(name, text, known)
        ]
    return found


def _matters(name: str, text: str, known: Mapping[str, Any]) -> bool:
    """Notes on the metrics of a record are; how a task was done stands below its table instead."""
    if name == "tokenizer":
        return not text.startswith("ptb")
    return name in known


def _each(runs: Sequence[ReportRun], doubts: Any) -> list[str]:
    """Sentences with the runs they are true of; those true of all runs name none."""
    who: dict[str, list[str]] = {}
    for run in runs:
        for text in dict.fromkeys(doubts(run.record)):
            who.setdefault(text, []).append(run.label)
    return [
        f"{text[0].upper()}{text[1:]}." if len(labels) == len(runs) else f"{joined(labels)}: {text}."
        for text, labels in who.items()
    ]


def _option(record: Mapping[str, Any], name: str) -> Any:
    return record["preset"] if name == "preset" else record["options"].get(name)


def _tokenizer(record: Mapping[str, Any]) -> str:
    return str(record.get("notes", {}).get("captioning", {}).get("tokenizer", "").partition(" ")[0])


def _by(values: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for label, value in values.items():
        groups.setdefault(value, []).append(label)
    return groups


def _told(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value}: {joined(list(labels))}" for value, labels in groups.items())
