"""Several processes share a run's images: the record is that of one process, apart from time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.cli.main import main
from bench.distributed import ProcessGroup, join
from results.record import Sample
from results.store import RECORD, SAMPLES, open_run, partial_name, read_record, read_samples
from tests.bench.tiny_weights import words, write_weights
from tests.results.test_store import SIGNATURE, sample

APART = {"latency", "machine", "environment", "started", "finished", "warnings", "processes"}


def test_alone_there_is_nobody_to_wait_for() -> None:
    with join() as group:
        assert group == ProcessGroup() and group.is_main
        assert group.all_gather("x") == ["x"]
        group.barrier()
        with group.main_first():
            pass


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def processes(count: int, arguments: list[str]) -> None:
    """As ``torchrun`` starts them, with its environment."""
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    said = [one.communicate()[0] for one in started]
    assert [one.returncode for one in started] == [0] * count, "\n".join(said)


def test_two_processes_leave_the_record_of_one(scenes_folder: Path, tmp_path: Path) -> None:
    """Batches of 5 in 12 images: the last is short, and one process has more of them than the other."""
    folder = write_weights(scenes_folder, tmp_path / "weights", "mad")
    base = words(scenes_folder, folder, "--decoder", "oracle,mad", "--batch", "5", "--tasks", "segmentation,depth")
    base += ["--prompts", "annotated"]
    assert main([*base, "--out", str(tmp_path / "one")]) == 0
    processes(2, [*base, "--out", str(tmp_path / "two")])
    for name in ("oracle", "mad"):
        one, two = (tmp_path / count / name for count in ("one", "two"))
        alone, shared = (msgspec.to_builtins(read_record(path)) for path in (one, two))
        assert {key: alone[key] for key in alone if key not in APART | {"work"}} == {
            key: shared[key] for key in shared if key not in APART | {"work"}
        }
        for phase, work in alone["work"].items():
            assert shared["work"][phase]["gflops"] == work["gflops"]
        assert shared["processes"] == 2 and set(shared["latency"]["ranks"]) == {"0", "1"}
        assert any("2 processes measured at the same time" in warning for warning in shared["warnings"])
        lines = [read_samples(path) for path in (one, two)]
        assert [(s.image_id, s.predictions, s.tokens) for s in lines[0]] == [
            (s.image_id, s.predictions, s.tokens) for s in lines[1]
        ]
        assert {s.rank for s in lines[1]} == {0, 1}
        assert sorted(path.name for path in two.iterdir()) == [RECORD, SAMPLES]


def of_rank(image_id: int, rank: int) -> Sample:
    return msgspec.structs.replace(sample(image_id), rank=rank)


def test_one_process_continues_what_two_began(tmp_path: Path) -> None:
    for rank, images in ((0, (1, 3)), (1, (2,))):
        with (
            pytest.raises(KeyboardInterrupt),
            open_run(tmp_path / "run", signature=SIGNATURE, started="t", rank=rank) as folder,
        ):
            for image in images:
                folder.append(of_rank(image, rank))
            raise KeyboardInterrupt
    assert {path.name for path in (tmp_path / "run").iterdir()} == {partial_name(0), partial_name(1)}
    with open_run(tmp_path / "run", signature=SIGNATURE, started="t") as folder:
        assert set(folder.samples) == {1, 3}
        folder.learn(folder.others(SIGNATURE).values())
        assert set(folder.samples) == {1, 2, 3}
        folder.discard()
    assert not (tmp_path / "run" / partial_name(1)).exists()


def test_starting_over_forgets_the_lines_of_all(tmp_path: Path) -> None:
    for rank in (0, 1):
        with open_run(tmp_path / "run", signature=SIGNATURE, started="t", rank=rank) as folder:
            folder.append(of_rank(rank, rank))
    with open_run(tmp_path / "run", signature=SIGNATURE, started="t", fresh=True) as folder:
        assert folder.samples == {} and folder.others(SIGNATURE) == {}


def test_a_line_cut_in_another_process_s_file_is_left_out(tmp_path: Path) -> None:
    with open_run(tmp_path, signature=SIGNATURE, started="t", rank=1) as folder:
        folder.append(of_rank(4, 1))
        folder.append(of_rank(5, 1))
    path = tmp_path / partial_name(1)
    path.write_bytes(path.read_bytes()[:-9])
    with open_run(tmp_path, signature=SIGNATURE, started="t") as folder:
        assert set(folder.others(SIGNATURE)) == {4}
        folder.append(of_rank(1, 0))
