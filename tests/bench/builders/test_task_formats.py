"""Formats of learned codes from training to run: cards name their codecs, and what does not belong together is said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.checkpoints.checkpoint import checkpoint_path, read_checkpoint
from bench.cli.main import main
from bench.config.loading import load_run, load_train
from bench.run.runner import run
from bench.train.network import train
from results.record import Record
from tests.bench import tiny_presets as tiny
from tests.bench.tiny_codecs import write_codec, write_codecs

CODES = ["--formats.segmentation", "codes", "--formats.depth", "codes"]
TASKS = ["--tasks", "segmentation,depth"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of scenes, and checkpoints with codecs, a decoder of codes (parallel) and one of plain tokens (mad)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "training-cache"))
        root = tiny.data(tmp_path_factory.mktemp("scenes") / "data")
        folder = tmp_path_factory.mktemp("formats")
        checkpoints = write_codecs(folder / "checkpoints")
        few = ["--train.frozen", "false", "--train.decoder.steps", "2", "--checkpoints", str(checkpoints), *TASKS]
        for name, formats in {"parallel": CODES, "mad": []}.items():
            options = load_train(tiny.words(folder / name, root, name, *few, *formats))
            path = train(options)[0]
            for suffix in (".safetensors", ".json"):
                shutil.copyfile(
                    path.with_suffix(suffix), checkpoint_path("embedded", name, checkpoints).with_suffix(suffix)
                )
        shutil.copyfile(folder / "tiny.yaml", checkpoints / "tiny.yaml")
    return root, checkpoints


@pytest.fixture
def copied(trained: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same with checkpoints that a test may change."""
    return trained[0], Path(shutil.copytree(trained[1], tmp_path / "checkpoints"))


def words(root: Path, checkpoints: Path, out: Path, *more: str) -> list[str]:
    """Arguments of ``run``."""
    config = checkpoints / "run.yaml"
    text = (checkpoints / "tiny.yaml").read_text()
    config.write_text(text[: text.index("train:")])
    base = ["--preset", "embedded", "--config", str(config), "--coco", str(root), "--nyu", str(root), *TASKS]
    return [*base, "--checkpoints", str(checkpoints), "--out", str(out), "--limit", "2", *more]


def test_decoders_of_one_run_may_use_different_formats(trained: tuple[Path, Path], tmp_path: Path) -> None:
    records: dict[str, Record] = {
        record.decoder: record
        for record in run(load_run(words(*trained, tmp_path, "--decoder", "parallel,mad"))).values()
    }
    digest = read_checkpoint(checkpoint_path("embedded", "codec-depth", trained[1]), train="")[1]["hash"]
    assert records["parallel"].notes["depth"]["format"] == f"codes of codec {digest}"
    assert "format" not in records["mad"].notes.get("depth", {})
    for record in records.values():
        assert record.metrics["depth"]["rmse"] is not None
    assert records["parallel"].metrics["depth"] != records["mad"].metrics["depth"]


def test_cards_name_the_codecs(trained: tuple[Path, Path]) -> None:
    _, card = read_checkpoint(checkpoint_path("embedded", "parallel", trained[1]), train="")
    assert card["formats"] == {"segmentation": "codes", "depth": "codes"}
    for kind, told in card["codecs"].items():
        own = read_checkpoint(checkpoint_path("embedded", f"codec-{kind}", trained[1]), train="")[1]
        assert told == {"hash": own["hash"], "codes": own["shape"]["codes"]}
    plain = read_checkpoint(checkpoint_path("embedded", "mad", trained[1]), train="")[1]
    assert "formats" not in plain
    assert card["vocabulary"] == plain["vocabulary"] + 12 + 10


def test_the_oracle_shows_what_the_codec_loses(trained: tuple[Path, Path], tmp_path: Path) -> None:
    def rmse(*more: str) -> float:
        (record,) = run(load_run(words(*trained, tmp_path / str(len(more)), "--decoder", "oracle", *more))).values()
        return float(record.metrics["depth"]["rmse"] or 0)

    assert rmse(*CODES) > rmse() > 0, "a random codec is worse than bins"


Change = Callable[[Path], object]


def without(name: str) -> Change:
    return lambda root: [path.unlink() for path in (root / "embedded").glob(f"{name}.*")]


def edited(name: str, **changes: object) -> Change:
    def change(root: Path) -> None:
        path = root / "embedded" / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def swapped(root: Path) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(root / "embedded" / f"codec-masks{suffix}", root / "embedded" / f"codec-depth{suffix}")


def cut(root: Path) -> None:
    path = root / "embedded" / "codec-masks.safetensors"
    path.write_bytes(path.read_bytes()[:100])


REFUSED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "codec absent": (
        without("codec-depth"),
        ("embedded/codec-depth.safetensors: no such weights", "nox -s train -- --codec depth --preset embedded"),
    ),
    "codec cut": (cut, ("codec-masks.safetensors: broken", "--codec masks")),
    "codec of another training": (
        lambda root: write_codec(root, "depth", seed=1),
        ("embedded/parallel.safetensors: was trained with another codec of depth than codec-depth.safetensors",),
    ),
    "codec of other dimensions": (
        lambda root: write_codec(root, "depth", codes=7),
        ("another codec of depth than codec-depth.safetensors (10 codes, hash", "this is 7 codes, hash"),
    ),
    "codec of the other kind": (swapped, ("codec-depth.safetensors: holds a codec of masks, expected one of depth",)),
    "codec without a shape": (
        edited("codec-depth", shape=None),
        ("codec-depth.safetensors: its card has no usable shape", "--codec depth"),
    ),
    "codec whose card was changed": (
        lambda root: write_codec(root, "depth", shape={"values": "metres", "side": 64, "ratio": 32}),
        ("codec-depth.safetensors: does not fit the shape on its card",),
    ),
    "codec with the other kind's values": (
        lambda root: write_codec(root, "depth", values="unit"),
        ("codec-depth.safetensors: a codec of depth cannot have values 'unit'",),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_codecs_that_do_not_belong_are_refused_in_one_line(
    name: str, copied: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = REFUSED[name]
    change(copied[1])
    assert main(["run", *words(*copied, tmp_path / "out", "--decoder", "parallel")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    for part in expected:
        assert part in printed
    assert not (tmp_path / "out").exists()


def test_a_codec_with_foreign_tensors_is_refused(
    copied: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied[1] / "embedded" / "codec-depth.safetensors"
    save_file(load_file(path) | {"wings": torch.ones(2)}, path)
    assert main(["run", *words(*copied, tmp_path / "out", "--decoder", "parallel")]) == 2
    assert "its card is another file's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            ["--decoder", "mad", "--formats.depth", "codes"],
            ("mad.safetensors: was trained with depth as bins, this run",),
        ),
        (
            ["--decoder", "parallel", "--formats.depth", "bins"],
            ("was trained with depth as codes", "leave --formats.depth"),
        ),
        (["--decoder", "oracle", "--formats.depth", "bits"], ("--formats.depth: unknown format 'bits'", "bins, codes")),
        (["--decoder", "oracle", "--formats.keypoints", "codes"], ("'keypoints'", "known: segmentation, depth")),
        (["--decoder", "parallel", "--sizes.depth_grid", "[2, 2]"], ("trained with sizes.depth_grid [4, 4]",)),
    ],
)
def test_formats_that_do_not_fit_are_refused_in_one_line(
    more: list[str],
    expected: tuple[str, ...],
    trained: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", *words(*trained, tmp_path / "out", *more)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    for part in expected:
        assert part in printed


def test_a_training_with_another_codec_is_not_continued(
    copied: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, checkpoints = copied
    few = [
        "--train.frozen",
        "false",
        "--train.decoder.steps",
        "1",
        "--checkpoints",
        str(checkpoints),
        "--tasks",
        "depth",
    ]
    options = load_train(tiny.words(tmp_path / "run", root, "parallel", *few, "--formats.depth", "codes"))
    train(options)
    write_codec(checkpoints, "depth", seed=1)
    assert main(["train", *tiny.words(tmp_path / "run", root, "parallel", *few, "--formats.depth", "codes")]) == 2
    assert "other settings (codecs)" in capsys.readouterr().err
    assert train(dataclasses.replace(options, fresh=True))


def test_describe_says_which_formats_weights_have(trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.cli import describe

    def path(preset: str, name: str) -> Path:
        return checkpoint_path(preset, name, trained[1])

    monkeypatch.setattr(describe, "checkpoint_path", path)
    lines = {name: describe.describe_weights(name) for name in ("parallel", "mad")}
    assert lines == {
        "parallel": ["embedded: segmentation as codes, depth as codes"],
        "mad": ["embedded: segmentation as bits, depth as bins"],
    }
    assert describe.describe_weights("autoregressive") == []


def test_describe_shows_a_task_s_codes_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "depth", "--preset", "embedded", "--formats.depth", "codes"]) == 0
    shown = capsys.readouterr().out
    assert "[depth_code depth_code" in shown
    assert "1 prompt tokens + 64 targets" in shown
    assert "codes, each one of 128 and of 16x16 pixels" in shown
    assert main(["describe", "depth", "--preset", "embedded"]) == 0
    plain = capsys.readouterr().out
    assert "depth_code" not in plain
    assert "--formats.depth codes shows learned codes" in plain
    assert main(["describe", "depth", "--formats.depth", "pixels"]) == 2
    assert "known: bins, codes" in capsys.readouterr().err
