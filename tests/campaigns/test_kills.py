"""A short kill campaign: runs of the oracle are killed when a given number of images is stored, not after a time."""

from __future__ import annotations

import random
import time
from pathlib import Path

from results.run_files import read_run
from tests.campaigns.kills import Subject, campaign, stored


def test_killed_runs_lose_nothing_and_leave_nothing(scenes_folder: Path, tmp_path: Path) -> None:
    words = ["run", "--decoder", "oracle", "--tasks", "depth", "--preset", "embedded"]
    words += ["--coco", str(scenes_folder), "--nyu", str(scenes_folder)]
    seen: list[int] = []

    def moment(folder: Path) -> None:
        """Wait until one more image is stored than before."""
        before, deadline = stored(folder), time.monotonic() + 300
        while stored(folder) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append(stored(folder))

    subject = Subject(
        "run", lambda out: [*words, "--out", str(out)], lambda out: read_run(out / "oracle").record.checksum
    )
    counts = campaign([subject], kills=3, work=tmp_path, choose=random.Random(0), moment=moment)
    assert counts.kills == 3 and counts.faults == 0, counts.remarks
    assert seen == sorted(seen) and seen[0] > 0
