"""A run folder keeps every finished image, resumes, and never shows a half-written file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from results import store
from results.record import Latency, Record, Sample, Timing
from results.store import StoreError, open_run, read_record, read_samples, reserve, write_atomically

SIGNATURE = {"decoder": "oracle", "options": {"seed": 0}, "data": "abc"}


def sample(image_id: int, sitting: int = 1) -> Sample:
    return Sample(
        image_id=image_id,
        file=f"{image_id}.jpg",
        predictions={"captioning": {"caption": "a ring"}},
        milliseconds={"total": 1.5},
        work={"captioning": (1, 20, 1)},
        sitting=sitting,
    )


def record(images: int) -> Record:
    timing = Timing(n=images, mean_ms=1.5, min_ms=1.5, max_ms=1.5)
    return Record(
        decoder="oracle",
        preset="embedded",
        options={},
        data={},
        tasks=["captioning"],
        off={},
        metrics={"captioning": {"CIDEr": 1.0, "METEOR": None}},
        notes={},
        latency=Latency(total=timing, phases={}, batch=1, sittings=1),
        cost={},
        environment={},
        seed=0,
        images=images,
        checksum="",
        started="",
        finished="",
    )


def test_a_finished_run_leaves_record_and_samples_in_order(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", signature=SIGNATURE, started="t") as folder:
        for image_id in (3, 1, 2):
            folder.append(sample(image_id))
        folder.finish(record(3), [1, 2, 3])
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["record.json", "samples.jsonl"]
    assert read_record(tmp_path / "run") == record(3)
    assert [s.image_id for s in read_samples(tmp_path / "run")] == [1, 2, 3]


def test_an_unfinished_run_is_continued_and_its_cut_line_dropped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_run(tmp_path, signature=SIGNATURE, started="first") as folder:
        folder.append(sample(1))
        folder.append(sample(2))
        raise RuntimeError("killed")
    partial = tmp_path / store.PARTIAL
    partial.write_bytes(partial.read_bytes()[:-7])
    with open_run(tmp_path, signature=SIGNATURE, started="second") as folder:
        assert set(folder.samples) == {1}
        assert (folder.sitting, folder.started) == (2, "first")
        folder.append(sample(2, sitting=folder.sitting))
        folder.finish(record(2), [1, 2])
    assert [s.sitting for s in read_samples(tmp_path)] == [1, 2]


def test_a_kill_before_the_first_whole_line_starts_over(tmp_path: Path) -> None:
    (tmp_path / store.PARTIAL).write_bytes(b'{"schema":"decoder-b')
    with open_run(tmp_path, signature=SIGNATURE, started="t") as folder:
        assert folder.samples == {}
        folder.append(sample(1))
        folder.finish(record(1), [1])
    assert [s.image_id for s in read_samples(tmp_path)] == [1]


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    with open_run(tmp_path, signature=SIGNATURE, started="t") as folder:
        folder.append(sample(1))
    other = SIGNATURE | {"options": {"seed": 7}}
    with (
        pytest.raises(StoreError, match=r"options\.seed: 0 → 7.*--fresh"),
        open_run(tmp_path, signature=other, started="t"),
    ):
        pass
    with open_run(tmp_path, signature=other, started="t", fresh=True) as folder:
        assert folder.samples == {}


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, signature=SIGNATURE, started="t"),
        pytest.raises(StoreError, match="another process"),
        open_run(tmp_path, signature=SIGNATURE, started="t"),
    ):
        pass


def test_an_old_record_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    with open_run(tmp_path, signature=SIGNATURE, started="t") as folder:
        folder.append(sample(1))
        folder.finish(record(1), [1])
    with pytest.raises(RuntimeError), open_run(tmp_path, signature=SIGNATURE, started="t") as folder:
        folder.append(sample(1))
        raise RuntimeError
    assert read_record(tmp_path).images == 1


def test_a_run_that_fails_before_its_first_image_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_run(tmp_path / "a" / "b", signature=SIGNATURE, started="t"):
        raise RuntimeError
    assert not (tmp_path / "a" / "b").exists()


def test_unwritable_places_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match=r"file/run: cannot write here.*--out"),
        open_run(tmp_path / "file" / "run", signature=SIGNATURE, started="t"),
    ):
        pass
    with pytest.raises(StoreError, match="cannot write"):
        write_atomically(tmp_path / "file" / "x.json", b"{}")


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"schema": "other"}')
    with pytest.raises(StoreError, match=r"record\.json: not a decoder-bench/record/2"):
        read_record(tmp_path)
    with pytest.raises(StoreError, match="no record"):
        read_record(tmp_path / "nowhere")


def test_records_of_the_first_version_are_read_and_those_of_later_ones_refused(tmp_path: Path) -> None:
    """What version 2 added has defaults."""
    added = {"signature", "random_weights", "mode", "parameters", "work", "machine", "processes", "interleaved"}
    first = {name: value for name, value in msgspec.to_builtins(record(3)).items() if name not in added | {"warnings"}}
    path = tmp_path / "record.json"
    path.write_bytes(msgspec.json.encode(first | {"schema": "decoder-bench/record/1"}))
    assert read_record(path).mode.name == "eager"
    path.write_bytes(msgspec.json.encode(first | {"schema": "decoder-bench/record/9"}))
    with pytest.raises(StoreError, match=r"record/9 record, this version reads decoder-bench/record/2 and"):
        read_record(path)


def test_reserving_a_file_keeps_what_is_there_and_leaves_nothing_new(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("measured")
    reserve(tmp_path / "page.md")
    reserve(tmp_path / "new" / "page.md")
    assert (tmp_path / "page.md").read_text() == "measured" and not (tmp_path / "new" / "page.md").exists()
    with pytest.raises(StoreError, match="cannot write"):
        reserve(tmp_path / "page.md" / "below.md")
