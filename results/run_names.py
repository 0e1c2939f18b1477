"""Names of runs where one decoder runs in several modes or batches."""

from __future__ import annotations

from results.record import Record


def run_name(decoder: str, mode: str, scenario: str, batch: int | None) -> str:
    """Return ``mad``, ``mad.graphed`` or ``mad.batch8``: mode if not eager, batch if the scenario has several."""
    return decoder + (f".{mode}" if mode != "eager" else "") + (f".batch{batch}" if scenario == "stream" else "")


def run_name_of(record: Record) -> str:
    """Return the name of the folder that a record was written into."""
    return run_name(record.decoder, record.mode.name, record.latency.scenario, record.latency.batch)


def label(record: Record) -> str:
    """Return the decoder with its mode, if not eager, and its batch, if not 1."""
    batch = record.latency.batch
    return run_name(record.decoder, record.mode.name, "stream" if batch > 1 else "latency", batch)
