"""A run folder keeps every finished image, resumes, and never shows a half-written file."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from results import store
from results.files import append_line, open_part
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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("decoder", "../../mad"),
        ("decoder", "[/nothing]"),
        ("preset", "a b"),
        ("tasks", ["depth\x1b[2J"]),
        ("metrics", {"depth": {"[red]rmse": 1.0}}),
        ("interleaved", ["mad", "rm -rf"]),
        ("warnings", ["busy\x1b]0;title\x07"]),
        ("environment", {"cpu": "\u202egnp"}),
    ],
)
def test_names_and_texts_of_a_record_cannot_reach_beyond_it(tmp_path: Path, field: str, value: object) -> None:
    content = msgspec.to_builtins(record(3)) | {field: value}
    (tmp_path / "record.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"record\.json: not a decoder-bench/record/2 record .*run it again") as caught:
        read_record(tmp_path)
    assert "\x1b" not in str(caught.value)


def test_what_is_no_file_of_a_run_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match=r"record\.json: is no regular file"):
        read_record(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="is no regular file"):
        read_record(tmp_path)
    path.unlink()
    monkeypatch.setattr(store, "LARGEST_RECORD", 100)
    path.write_bytes(b" " * 101)
    with pytest.raises(StoreError, match="is too large"):
        read_record(tmp_path)
    path.write_bytes(b"[" * 99)
    with pytest.raises(StoreError, match="not a decoder-bench/record/2"):
        read_record(tmp_path)


def test_a_partial_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / store.PARTIAL).symlink_to(tmp_path / "theirs")
    for fresh in (False, True):
        with (
            pytest.raises(StoreError, match=r"samples\.partial\.jsonl: is a link"),
            open_run(tmp_path, signature=SIGNATURE, started="t", fresh=fresh),
        ):
            pass
    assert (tmp_path / "theirs").read_text() == "precious"
    (tmp_path / store.PARTIAL).unlink()
    os.mkfifo(tmp_path / store.PARTIAL)
    with pytest.raises(StoreError, match="no regular file"), open_run(tmp_path, signature=SIGNATURE, started="t"):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"milliseconds": {"decode.depth": 1.0}}, "no milliseconds of phase 'total'"),
        ({"milliseconds": {"total": -1.0}}, "below 0"),
        ({"process_ms": {"decode.depth": 1.0}}, "no milliseconds of phase 'decode.depth'"),
        ({"passes": {"decode.depth.cached": (3, 1.0)}}, "no milliseconds of phase 'decode.depth'"),
        ({"milliseconds": {"total": 1.0, "read": 1.0}}, "no milliseconds of phase 'decode.captioning'"),
    ],
)
def test_lines_that_lack_a_time_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RuntimeError), open_run(tmp_path, signature=SIGNATURE, started="first") as folder:
        folder.append(sample(1))
        raise RuntimeError("killed")
    line = json.dumps(msgspec.to_builtins(sample(2)) | changes)
    with (tmp_path / store.PARTIAL).open("a") as stream:
        stream.write(line + "\n")
    with (
        pytest.raises(StoreError, match=f"{message}.*--fresh"),
        open_run(tmp_path, signature=SIGNATURE, started="second"),
    ):
        pass


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Fail writes behind ``size`` bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing_and_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"cannot write here .*make room and run it again"),
        open_run(tmp_path / "run", signature=SIGNATURE, started="t") as folder,
    ):
        folder.append(sample(1))
        with file_size_limit((tmp_path / "run" / store.PARTIAL).stat().st_size + 9):
            folder.append(sample(2))
    with pytest.raises(StoreError, match="make room"), file_size_limit(10):
        write_atomically(tmp_path / "page.md", b"a" * 11)
    with pytest.raises(StoreError, match="make room"), file_size_limit(10):
        append_line(tmp_path / "curve.jsonl", b"a" * 11)
    with (
        pytest.raises(StoreError, match="make room"),
        file_size_limit(10),
        open_run(tmp_path / "other", signature=SIGNATURE, started="t"),
    ):
        pass
    with open_run(tmp_path / "run", signature=SIGNATURE, started="t") as folder:
        assert set(folder.samples) == {1}
        folder.append(sample(2))
        folder.finish(record(2), [1, 2])
    assert [s.image_id for s in read_samples(tmp_path / "run")] == [1, 2]
    assert not list(tmp_path.rglob(".*.part"))


def test_what_killed_processes_left_is_removed_and_what_others_write_stays(tmp_path: Path) -> None:
    left, other = tmp_path / ".page.md.0123abcd.part", tmp_path / ".page.mdx.0123abcd.part"
    left.write_bytes(b"half")
    other.write_bytes(b"half")
    with open_part(tmp_path / "page.md") as (part, stream):
        assert not left.exists() and other.exists()
        stream.write(b"mine")
        write_atomically(tmp_path / "page.md", b"whole")  # by another process, meanwhile
        assert part.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "page.md"]


def test_reserving_a_file_keeps_what_is_there_and_leaves_nothing_new(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("measured")
    reserve(tmp_path / "page.md")
    reserve(tmp_path / "new" / "page.md")
    assert (tmp_path / "page.md").read_text() == "measured" and not (tmp_path / "new" / "page.md").exists()
    with pytest.raises(StoreError, match="cannot write"):
        reserve(tmp_path / "page.md" / "below.md")
