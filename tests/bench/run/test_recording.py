"""What the processes of a run saw, each for itself, is in its record."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.distributed import ProcessGroup
from bench.run.recording import ProcessStats, reduce_stats
from bench.system.host import core_seconds
from results.record import Mode, WarmUp


def test_no_process_is_forgotten() -> None:
    first = ProcessStats(
        Mode(name="graphed", prepare_ms=10, prepared=3, checked_images=2, checked_tokens=50, different_tokens=1),
        WarmUp(images=5, seconds=1.0, stable=True),
        (2.0, 2.1),
        100.0,
    )
    second = ProcessStats(
        Mode(name="graphed", prepare_ms=30, prepared=2, checked_images=2, checked_tokens=40, remarks=["ran eagerly"]),
        WarmUp(images=15, seconds=0.5, stable=False),
        (4.0, 2.0),
        300.0,
    )
    found = reduce_stats([first, second])
    assert found.mode == Mode(
        name="graphed",
        prepare_ms=30,
        prepared=3,
        checked_images=4,
        checked_tokens=90,
        different_tokens=1,
        remarks=["ran eagerly"],
    )
    assert found.warm_up == WarmUp(images=20, seconds=1.0, stable=False)
    assert found.energy == (3.0, 2.0) and found.peak_rss_mib == 300.0
    assert reduce_stats([first]) == first


def test_what_nobody_saw_stays_unknown() -> None:
    nothing = ProcessStats(Mode(), None, (None, 0.0), None)
    assert reduce_stats([nothing, nothing]) == nothing


def test_the_load_of_the_run_s_other_processes_is_its_own() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        alone, both = core_seconds([os.getpid()]), core_seconds([os.getpid(), other.pid])
        assert 0.25 < both - alone < 5
        other.communicate(b"\n")
    assert core_seconds([other.pid]) == 0.0, "it has ended"


def test_a_process_alone_is_its_only_neighbor() -> None:
    assert ProcessGroup().local_pids() == [os.getpid()]
