"""The command ``history``: a metric or time ratio of past runs with its change points, one series per decoder."""

from __future__ import annotations

from collections.abc import Sequence

from bench.config.analysis import HistoryOptions
from bench.errors import UserError, unknown
from bench.stats.change_points import segments
from reports.terminal.history_plot import Series
from results.history import HistoryEntry, read

Key = tuple[str, str, str, str]


def history(options: HistoryOptions) -> list[Series]:
    """Return series of ``options.metric``, one per decoder, preset, data and, for times, machine.

    Raises:
        UserError: if no run has such a metric; the message lists those there are.
        StoreError: if there is no history.
    """
    entries = selected(options)
    metric = str(options.metric)
    name = metric if "/" in metric else metric.replace(".", " ", 1)
    if name not in names(entries):
        raise UserError(unknown("metric", metric, names(entries)))
    timed = "/" in name or name == "ms"
    groups: dict[Key, list[HistoryEntry]] = {}
    for entry in entries:
        if value(entry, name) is not None:
            key = (entry.decoder, entry.preset, entry.data, entry.machine if timed else "")
            groups.setdefault(key, []).append(entry)
    return [_series(name, key, group, options.segment, timed=timed) for key, group in sorted(groups.items())]


def selected(options: HistoryOptions) -> list[HistoryEntry]:
    """Return the runs of the history that the options ask for.

    Raises:
        UserError: if there is none.
        StoreError: if there is no history.
    """
    entries = [entry for entry in read(options.file) if _is_selected(entry, options)]
    if not entries:
        raise UserError(f"{options.file}: no run of those asked for; leave out --decoder, --preset or --machine")
    return entries


def value(entry: HistoryEntry, name: str) -> float | None:
    """Return a metric, ratio or ``ms`` of a run; None where it has none."""
    if name == "ms":
        return entry.ms
    return entry.ratios.get(name) if "/" in name else entry.metrics.get(name)


def names(entries: Sequence[HistoryEntry]) -> list[str]:
    """Return the names of all metrics and ratios that can be plotted, and ``ms``."""
    metrics = [name for entry in entries for name in entry.metrics]
    ratios = [name for entry in entries for name in entry.ratios]
    return [*dict.fromkeys(metrics + ratios), "ms"]


def _series(name: str, key: Key, entries: Sequence[HistoryEntry], least: int, *, timed: bool) -> Series:
    entries = sorted(entries, key=lambda entry: entry.date)
    values = [float(value(entry, name) or 0.0) for entry in entries]
    parts = segments(values, least=least)
    levels = [values[0]] * parts[0].start if parts else []
    for part in parts:
        levels += [part.level] * (part.stop - part.start)
    decoder, preset, data, machine = key
    where = f", {entries[-1].processor} [{machine}]" if timed else ""
    title = f"{name}: {decoder}, preset {preset}, data {data[:8]}{where}"
    return Series(title, entries, values, levels, [part.start for part in parts[1:]])


def _is_selected(entry: HistoryEntry, options: HistoryOptions) -> bool:
    decoders = [name.strip() for name in (options.decoder or "").split(",") if name.strip()]
    return (
        (not decoders or entry.decoder in decoders)
        and options.preset in (None, entry.preset)
        and options.machine in (None, entry.machine)
    )
