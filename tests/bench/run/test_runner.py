"""Whole runs on a few embedded scenes: what is written, what resumes, and what batches may not change."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from bench.cli.main import main
from bench.config.loading import load_run
from bench.run.runner import run
from bench.run.summary import timing
from bench.run.timing_warnings import clocked_share
from results.record import Record, json_schema
from results.store import PARTIAL, read_record, read_samples
from tests.bench.data.folders import tiny_coco

NO_CAPTIONS = "segmentation,keypoints,depth"  # METEOR starts a Java program, which takes seconds
TASKS = {"detection", "segmentation", "keypoints", "captioning", "depth"}


def words(scenes: Path, out: Path, *more: str) -> list[str]:
    folders = ["--preset", "embedded", "--coco", str(scenes), "--nyu", str(scenes)]
    return ["--decoder", "oracle", "--caption-tokenizer", "python", "--out", str(out), *folders, *more]


def measured(record: Record) -> object:
    """What two runs of the same command must agree on."""
    return record.metrics, record.checksum, record.data, record.options, record.images, record.cost


def test_one_command_scores_five_tasks(scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(scenes_folder, tmp_path, "--phases", "true")) == 0
    printed = capsys.readouterr().out
    assert "box AP" in printed and "captioning: tokenizer: python" in printed
    assert "interpret.depth" in printed and "harness share" in printed
    written = json.loads((tmp_path / "oracle/record.json").read_text())
    jsonschema.validate(written, json_schema())
    assert written["metrics"].keys() == TASKS
    assert written["off"] == {}
    assert 0.9 < written["metrics"]["detection"]["AP"] <= 1
    assert written["metrics"]["captioning"]["BLEU-4"] > 0.95
    assert 0 < written["metrics"]["depth"]["rmse"] < 1
    total = written["latency"]["total"]
    assert (total["n"], total["p90_ms"]) == (12, None)
    assert 0 < clocked_share(read_record(tmp_path / "oracle").latency) <= 1
    assert str(scenes_folder.parent) not in json.dumps(written), "a record tells nothing of a machine's folders"
    lines = (tmp_path / "oracle/samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["image_id"] for line in lines] == list(range(1, 13))


def test_a_run_can_end_with_its_report(scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(scenes_folder, tmp_path, "--tasks", "depth", "--report", "true")) == 0
    printed = capsys.readouterr().out
    assert "report: " in printed
    assert re.search(r"\(\d+\.\d+–\d+\.\d+\)", printed), "the report's summary has intervals"


def test_batches_change_no_prediction(scenes_folder: Path, tmp_path: Path) -> None:
    records = [
        next(
            iter(
                run(
                    load_run(words(scenes_folder, tmp_path / str(size), "--batch", str(size), "--tasks", NO_CAPTIONS))
                ).values()
            )
        )
        for size in (1, 5)
    ]
    assert records[0].checksum == records[1].checksum
    assert records[0].metrics == records[1].metrics


def test_annotated_objects_prompt_if_asked(scenes_folder: Path, tmp_path: Path) -> None:
    found = {}
    for prompts in ("detected", "annotated"):
        more = ["--tasks", "segmentation,keypoints", "--prompts", prompts]
        found[prompts] = next(iter(run(load_run(words(scenes_folder, tmp_path / prompts, *more))).values()))
    own, given = found["detected"], found["annotated"]
    assert given.metrics == {name: own.metrics[name] for name in ("segmentation", "keypoints")}
    assert given.off == {"detection": "annotated objects take its place"}
    assert "detection" in own.metrics


def test_missing_files_switch_tasks_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_coco(tmp_path / "coco")
    (root / "annotations/captions_val2017.json").unlink()
    out = tmp_path / "out"
    assert main(["--decoder", "oracle", "--coco", str(root), "--sizes.classes", "2", "--out", str(out)]) == 0
    record = read_record(out / "oracle")
    assert record.metrics.keys() == TASKS - {"captioning", "depth"}
    assert record.off == {
        "captioning": "annotations/captions_val2017.json is absent",
        "depth": "no NYUv2 data given (--nyu DIR)",
    }
    assert record.data["coco"]["skipped_in_files"]["boxes of zero width or height"] == 1
    assert "off: captioning: annotations/captions_val2017.json is absent" in capsys.readouterr().out


def test_keypoints_run_without_the_instances_file(tmp_path: Path) -> None:
    """Detection runs to feed them, on the annotated persons, and is not scored."""
    root = tiny_coco(tmp_path / "coco")
    (root / "annotations/instances_val2017.json").unlink()
    words = ["--decoder", "oracle", "--coco", str(root), "--out", str(tmp_path / "out"), "--tasks", "keypoints"]
    (record,) = run(load_run(words)).values()
    assert record.metrics.keys() == {"keypoints"}
    assert record.metrics["keypoints"]["AP"] == pytest.approx(1)
    assert record.off == {"detection": "annotations/instances_val2017.json is absent"}


def test_a_finished_run_of_other_options_is_not_replaced_in_silence(
    scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for limit, said in ((1, False), (1, False), (2, True)):
        assert main(words(scenes_folder, tmp_path, "--tasks", "depth", "--limit", str(limit))) == 0
        told = capsys.readouterr().err
        assert ("the finished run there, of other limit, will be replaced" in told) == said


def test_what_does_not_fit_the_sequences_is_said(scenes_folder: Path, tmp_path: Path) -> None:
    options = load_run(words(scenes_folder, tmp_path, "--tasks", "detection", "--sizes.slots", "1"))
    (record,) = run(options).values()
    objects = record.data["counts"]["instances"]
    assert record.notes["detection"]["cut"].startswith(f"{objects - 12} annotations do not fit")


def test_dependencies_of_a_task_run_with_it(scenes_folder: Path, tmp_path: Path) -> None:
    (record,) = run(load_run(words(scenes_folder, tmp_path, "--tasks", "keypoints", "--limit", "3"))).values()
    assert set(record.tasks) == {"detection", "keypoints"}
    assert record.images == 3


SLOW = """
import sys, time
from bench.cli.main import main
from decoders.oracle import Oracle

decode = Oracle.decode
Oracle.decode = lambda *given: time.sleep(0.02) or decode(*given)
sys.exit(main(sys.argv[1:]))
"""


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the program with a slow oracle. It heeds Ctrl-C even where the tests were started to ignore it."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def wait_for_samples(process: subprocess.Popen[bytes], partial: Path, lines: int) -> None:
    deadline = time.monotonic() + 1800  # only so that a hanging program fails at all
    while not partial.exists() or len(partial.read_bytes().splitlines()) < lines + 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interruptible(scenes: Path, out: Path) -> list[str]:
    return words(scenes, out, "--tasks", "segmentation,depth")


@pytest.fixture(scope="module")
def uninterrupted(scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    (record,) = run(load_run(interruptible(scenes_folder, tmp_path_factory.mktemp("whole")))).values()
    return record


@pytest.mark.parametrize(("fatal", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_run_ends_in_the_record_of_an_uninterrupted_one(
    scenes_folder: Path, tmp_path: Path, uninterrupted: Record, fatal: signal.Signals, code: int
) -> None:
    folder = tmp_path / "oracle"
    process = start(interruptible(scenes_folder, tmp_path))
    wait_for_samples(process, folder / PARTIAL, 3)
    process.send_signal(fatal)
    _, complaint = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in complaint
    assert not (folder / "record.json").exists()
    done = (folder / PARTIAL).read_bytes().splitlines()[1:]
    assert 3 <= len(done) < 12

    (resumed,) = run(load_run(interruptible(scenes_folder, tmp_path))).values()
    assert measured(resumed) == measured(uninterrupted)
    assert (uninterrupted.latency.sittings, resumed.latency.sittings) == (1, 2)
    first = [sample for sample in read_samples(folder) if sample.sitting == 1]
    assert len(done) - 1 <= len(first) <= len(done), "finished images are not done again"
    assert sorted(file.name for file in folder.iterdir()) == ["record.json", "samples.jsonl"]


def test_percentiles_appear_with_enough_images() -> None:
    few, many = timing([1.0] * 6), timing([float(n) for n in range(1, 101)])
    assert few.p50_ms is None
    assert (many.p50_ms, many.p90_ms, many.p95_ms, many.p99_ms) == (50.0, 90.0, 95.0, None)
    assert many.batches is None


def test_images_of_a_batch_are_one_measurement_for_percentiles() -> None:
    times = [float(n // 8) for n in range(64)]
    found = timing(times, [n // 8 for n in range(64)])
    assert (found.n, found.batches, found.p50_ms, found.p90_ms) == (64, 8, 3.0, None), "64 images, but 8 measurements"
    assert found.mean_ms == 3.5
    assert timing(times).p90_ms is not None
