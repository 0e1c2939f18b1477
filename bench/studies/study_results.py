"""What tables of a study are made from: its jobs, runs and scores, and the cards of its trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import registry
from bench.studies.plan import Job
from results.record import Record
from results.run_files import RunFiles
from results.study import Point

Section = tuple[str, Any]
"""Markdown, and the data behind it."""


@dataclass(frozen=True)
class Results:
    """What tables are made from: arm to its last job, its run (none for codecs), and what it scored."""

    jobs: Mapping[str, Sequence[Job]]
    runs: Mapping[str, Sequence[RunFiles]]
    points: Mapping[str, Point]

    def records(self) -> dict[str, list[Record]]:
        """Arm to the record of each seed."""
        return {name: [run.record for run in runs] for name, runs in self.runs.items()}

    def trainings(self, name: str) -> list[Job]:
        """The trainings that made an arm's weights, a seed each; without seeds of shipped weights."""
        if name not in self.runs:
            return list(self.jobs[name])
        weights = registry.decoder(self.runs[name][0].record.decoder).weights
        return [job.needs[weights] for job in self.jobs[name] if weights in job.needs]


def card_of(training: Job) -> dict[str, Any]:
    """Return what the weights of a training say of themselves."""
    return dict(json.loads(training.weights.with_suffix(".json").read_text()))
