"""What a run of a decoder is called where one decoder runs in several modes or batches."""

from __future__ import annotations

from results.record import Record


def run_name(decoder: str, mode: str, scenario: str, batch: int | None) -> str:
    """Name of a run's folder: ``mad``, ``mad.graphed``, ``mad.batch8`` (batches are named where a run has several)."""
    return decoder + (f".{mode}" if mode != "eager" else "") + (f".batch{batch}" if scenario == "stream" else "")


def run_name_of(record: Record) -> str:
    """The name of the folder that a record was written into."""
    return run_name(record.decoder, record.mode.name, record.latency.scenario, record.latency.batch)


def label(record: Record) -> str:
    """Decoder with its mode and batch, as far as they are not eager and 1."""
    batch = record.latency.batch
    return run_name(record.decoder, record.mode.name, "stream" if batch > 1 else "latency", batch)
