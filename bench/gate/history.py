"""The command ``history``: a metric or time ratio of past runs, one plot a decoder, change points marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.config.analysis import HistoryOptions
from bench.errors import UserError
from bench.registry import unknown
from bench.stats.change_points import pieces
from reports.terminal.history_plot import Series
from results.history import Entry, read

Key = tuple[str, str, str, str]


def history(options: HistoryOptions) -> list[Series]:
    """Series of ``options.metric``, one for each decoder, preset, data and, for times, machine.

    Raises:
        UserError: if no run has such a metric; the message lists those there are.
        StoreError: if there is no history.
    """
    entries = [entry for entry in read(options.file) if _wanted(entry, options)]
    if not entries:
        raise UserError(f"{options.file}: no run of those asked for; leave out --decoder, --preset or --machine")
    if options.metric is None:
        raise UserError(f"name a metric: {', '.join(names(entries))}")
    name = options.metric if "/" in options.metric else options.metric.replace(".", " ", 1)
    if name not in names(entries):
        raise UserError(unknown("metric", options.metric, names(entries)))
    timed = "/" in name or name == "ms"
    groups: dict[Key, list[Entry]] = {}
    for entry in entries:
        if value(entry, name) is not None:
            key = (entry.decoder, entry.preset, entry.data, entry.machine if timed else "")
            groups.setdefault(key, []).append(entry)
    return [_series(name, key, group, options.segment, timed=timed) for key, group in sorted(groups.items())]


def value(entry: Entry, name: str) -> float | None:
    """A metric, ratio or ``ms`` of a run; None where it has none."""
    if name == "ms":
        return entry.ms
    return entry.ratios.get(name) if "/" in name else entry.metrics.get(name)


def names(entries: Sequence[Entry]) -> list[str]:
    """Everything that can be plotted."""
    readers: tuple[Callable[[Entry], Sequence[str]], ...] = (lambda e: [*e.metrics], lambda e: [*e.ratios])
    found = [name for read_names in readers for entry in entries for name in read_names(entry)]
    return [*dict.fromkeys(found), "ms"]


def _series(name: str, key: Key, entries: Sequence[Entry], least: int, *, timed: bool) -> Series:
    entries = sorted(entries, key=lambda entry: entry.date)
    values = [float(value(entry, name) or 0.0) for entry in entries]
    found = pieces(values, least=least)
    levels = [values[0]] * found[0].start if found else []
    for piece in found:
        levels += [piece.level] * (piece.stop - piece.start)
    decoder, preset, data, machine = key
    where = f", {entries[-1].processor} [{machine}]" if timed else ""
    title = f"{name}: {decoder}, preset {preset}, data {data[:8]}{where}"
    return Series(title, entries, values, levels, [piece.start for piece in found[1:]])


def _wanted(entry: Entry, options: HistoryOptions) -> bool:
    decoders = [name.strip() for name in (options.decoder or "").split(",") if name.strip()]
    return (
        (not decoders or entry.decoder in decoders)
        and options.preset in (None, entry.preset)
        and options.machine in (None, entry.machine)
    )
