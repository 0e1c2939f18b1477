"""Which runs may share a table, and warnings about their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reports.errors import ReportError
from reports.findings import joined, sentence
from reports.report_data import ReportRun


def refuse_unlike(runs: Sequence[ReportRun]) -> None:
    """Refuse runs of different data or with captions of different tokenizers.

    Raises:
        ReportError: if there are no runs, or they cannot share a table.
    """
    if not runs:
        raise ReportError("there is no run to report on; make one with `python -m bench run --decoder NAME`")
    data = _by({run.label: str(run.record["data"].get("hash")) for run in runs})
    if len(data) > 1:
        raise ReportError(
            f"the runs are of different data and cannot share a table ({_groups(data)}); make a report of each"
        )
    tokenizers = _by({run.label: word for run in runs if (word := _tokenizer(run.record))})
    if len(tokenizers) > 1:
        raise ReportError(
            f"caption metrics of different tokenizers cannot share a table ({_groups(tokenizers)}); "
            "run again with one --caption-tokenizer, or make a report of each"
        )


def warnings(runs: Sequence[ReportRun]) -> list[str]:
    """Why numbers may be unreliable or not comparable, one sentence each, with the runs concerned."""
    sentences: list[str] = []
    hardware = _by({run.label: run.hardware for run in runs})
    if len(hardware) > 1:
        sentences.append(f"Mixed hardware, times must not be compared: {_groups(hardware)}.")
    settings = {"batch": "batch sizes", "precision": "precisions", "preset": "presets", "mode": "modes of execution"}
    for name, what in settings.items():
        values = _by({run.label: str(_option(run.record, name)) for run in runs})
        if len(values) > 1:
            sentences.append(f"Different {what}: {_groups(values)}.")
    threads = _by({run.label: str(run.record["environment"].get("threads")) for run in runs})
    if len(threads) > 1:
        sentences.append(f"Different numbers of threads: {_groups(threads)}.")
    sentences += _each(runs, _doubts)
    return sentences


def doubtful_times(runs: Sequence[ReportRun]) -> list[str]:
    """Timing warnings of the records, for notes below a table."""
    return _each(runs, lambda record: [str(warning) for warning in record.get("warnings", [])])


def _doubts(record: Mapping[str, Any]) -> list[str]:
    environment, latency = record["environment"], record["latency"]
    doubts = [str(warning) for warning in record.get("warnings", [])]
    load, cores = environment.get("load_average"), environment.get("usable_cores")
    threads = environment.get("threads") or 1
    mentioned = any("busy" in warning for warning in doubts)
    busy = (record.get("machine") or {}).get("busy")
    if not mentioned and (busy or (busy is None and load and cores and load > max(cores, threads) + 0.5)):
        doubts.append("the machine was busy with other work, so times are unreliable")
    if latency.get("sittings", 1) > 1:
        doubts.append("time was measured in several sessions (interrupted and resumed)")
    if environment.get("git_dirty"):
        doubts.append("made from a source tree with uncommitted changes")
    if latency.get("scenario") == "untimed":
        doubts.append("run for accuracy alone, so its times are not meaningful")
    if record.get("random_weights"):
        doubts.append("random weights: only times are meaningful")
    if missing := record.get("missing"):
        doubts.append(f"{len(missing)} tensors are random, as its imported checkpoint lacks them")
    for task, why in record.get("off", {}).items():
        doubts.append(f"{task} is off: {why}")
    for task, notes in record.get("notes", {}).items():
        metrics = record["metrics"].get(task, {})
        doubts += [
            f"{task}{f' {name}' if name in metrics else ''}: {text}"
            for name, text in notes.items()
            if _matters(name, text, metrics)
        ]
    return doubts


def _matters(name: str, text: str, metrics: Mapping[str, Any]) -> bool:
    """Whether a note is a warning: those on metrics of the record are, the others stand below the task's table."""
    if name == "tokenizer":
        return not text.startswith("ptb")
    return name in metrics


def _each(runs: Sequence[ReportRun], doubts: Callable[[Mapping[str, Any]], list[str]]) -> list[str]:
    """Sentences with the labels of the runs concerned; without labels if all runs are."""
    who: dict[str, list[str]] = {}
    for run in runs:
        for text in dict.fromkeys(doubts(run.record)):
            who.setdefault(text, []).append(run.label)
    return [
        f"{sentence(text)}." if len(labels) == len(runs) else f"{joined(labels)}: {text}."
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


def _groups(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value}: {joined(list(labels))}" for value, labels in groups.items())
