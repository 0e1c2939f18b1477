"""What the processes of a run saw of a decoder, each for itself, becomes what its record says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bench.hardware import peak_rss_mib
from bench.lanes import Lane
from results.record import Mode, WarmUp


@dataclass(frozen=True)
class Seen:
    """What one process saw, or all of them together.

    Args:
        mode: how the network was executed.
        warm_up: what ran before; None where nothing was left to measure.
        energy: joules per image and the seconds that they were counted over.
        peak_rss_mib: most memory of a process.
    """

    mode: Mode
    warm_up: WarmUp | None
    energy: tuple[float | None, float]
    peak_rss_mib: float | None


def seen(lane: Lane) -> Seen:
    """What this process saw of a decoder."""
    return Seen(lane.told, lane.warm, lane.energy, peak_rss_mib())


def together(own: Sequence[Seen]) -> Seen:
    """Longest preparation and highest memory, counts in sum, means over the images' joules; stable if all were."""
    modes, warm = [one.mode for one in own], [one.warm_up for one in own if one.warm_up is not None]
    joules = [one.energy for one in own if one.energy[0] is not None]
    return Seen(
        mode=msgspec.structs.replace(
            modes[0],
            prepare_ms=max(mode.prepare_ms for mode in modes),
            prepared=max(mode.prepared for mode in modes),
            checked_images=sum(mode.checked_images for mode in modes),
            checked_tokens=sum(mode.checked_tokens for mode in modes),
            different_tokens=sum(mode.different_tokens for mode in modes),
            remarks=list(dict.fromkeys(remark for mode in modes for remark in mode.remarks)),
        ),
        warm_up=WarmUp(
            images=sum(one.images for one in warm),
            seconds=max(one.seconds for one in warm),
            stable=all(one.stable for one in warm),
        )
        if warm
        else None,
        energy=(sum(one or 0.0 for one, _ in joules) / len(joules), min(time for _, time in joules))
        if joules
        else (None, 0.0),
        peak_rss_mib=max((one.peak_rss_mib for one in own if one.peak_rss_mib is not None), default=None),
    )
