"""Ablations: their definitions can be run, finished work is kept, and their outcome holds values and differences."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench import registry
from bench.cli.main import main
from bench.cli.parser import parse
from bench.compare.setting_differences import seed_differences
from bench.errors import UserError
from bench.studies import engine as ablation
from bench.studies.definition import names, read_definition
from results.ablation import Point, read_outcomes
from results.published import ablations, claims
from tests.bench import altered_runs as made


@pytest.mark.parametrize("name", names())
def test_definitions_hold_options_that_exist(name: str, tmp_path: Path) -> None:
    _, definition = read_definition(name)
    if definition.decoder:
        registry.check(registry.DECODERS, definition.decoder)
    for words in ablation.commands(name, definition, tmp_path):
        parse(words[0], words[1:])


def test_claims_and_ablations_name_each_other_exist() -> None:
    known = {*names(), "soft-tokens", "parallel-study", "codecs-depth", "codecs-masks"}
    swept = {ablation.id for ablation in ablations()} - {"mad-table-2", "ait-parallel"}
    assert swept <= known
    asked = {part["ablation"] for claim in claims() for part in claim.parts if "ablation" in part}
    assert asked <= known
    for claim in claims():
        for part in claim.parts:
            if part.get("ablation") in names():
                points = read_definition(part["ablation"])[1].points
                assert {part[n] for n in ("first", "second", "point", "more", "reference") if n in part} <= set(points)


def test_options_merge_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: t\ndecoder: mad\nrun: {strategy: {mad: {remask: lowest}}}\n"
        "points: {a: {run: {strategy: {mad: {ensemble: newest}}}}, b: {}}\n"
    )
    name, definition = read_definition(str(path))
    (first, second) = ablation.commands(name, definition, tmp_path)
    assert '--strategy={"mad": {"remask": "lowest", "ensemble": "newest"}}' in first
    assert '--strategy={"mad": {"remask": "lowest"}}' in second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: t\ndecoder: mad\npoints: {}\n", "names points"),
        ("title: t\npoints: {a: {}}\n", "a decoder or a codec"),
        ("title: t\ndecoder: mad\npoint: {a: {}}\n", "not an ablation"),
        ("[", "not an ablation"),
        ("title: t\ndecoder: mad\nseeds: []\npoints: {a: {}}\n", "names points, seeds"),
        ("title: t\ndecoder: mad\npoints: {a b: {}, a_b: {}}\n", "two points would share a folder"),
    ],
)
def test_bad_definitions_are_refused_in_one_line(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert main(["ablate", str(path)]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert main(["ablate", "mad-inference-ratio"]) == 2
    assert "did you mean 'mad-inference-ratios'" in capsys.readouterr().err


def test_an_ablation_of_finished_runs(scenes_folder: Path, tmp_path: Path) -> None:
    """Its outcome from runs that lie there already; nothing is run again."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: shift\ndecoder: oracle\nbudget: true\nseeds: [0, 1]\n"
        f"options: {{coco: {scenes_folder}, nyu: {scenes_folder}}}\npoints: {{good: {{}}, bad: {{}}}}\n"
    )
    even = made.oracle(scenes_folder, tmp_path / "source")
    work = tmp_path / "work"
    _, definition = read_definition(str(path))
    for label in ("good", "bad"):
        for seed in (0, 1):
            ablation.keep_settings(definition, label, seed, work / f"mine/{label}-{seed}")
    made.altered(even, work / "mine/good-0/oracle", scenes_folder, decoder="oracle")
    for place in ("good-1", "bad-0", "bad-1"):
        made.altered(even, work / f"mine/{place}/oracle", scenes_folder, decoder="oracle", change=made.worse)
    made.place(scenes_folder)
    tables = work / "mine"
    before = {file: file.stat().st_mtime_ns for file in tables.rglob("record.json")}
    written = ablation.run_ablation(str(path), work=work, out=tmp_path / "out", resamples=100)
    assert {file: file.stat().st_mtime_ns for file in tables.rglob("record.json")} == before
    (found,) = read_outcomes(tmp_path / "out").values()
    assert found.name == "mine" and list(found.points) == ["good", "bad"]
    assert found.points["good"].values["detection.AP"] > found.points["bad"].values["detection.AP"]
    first, second = found.points["good"].seed_values["detection.AP"]
    assert found.points["good"].deviations["detection.AP"] == pytest.approx((first - second) / 2**0.5)
    assert found.points["bad"].deviations["detection.AP"] == 0
    difference = next(one for one in found.differences if one.key == "detection.AP")
    assert difference.high < 0 and difference.low <= difference.value <= difference.high
    assert str(tmp_path) not in json.dumps(json.loads(written.read_text())["points"]["good"]["command"])
    path.write_text(path.read_text().replace("good: {}", "good: {run: {limit: 3}}"))
    with pytest.raises(UserError, match=r"good-0: was filled with other settings \(run\)"):
        ablation.run_ablation(str(path), work=work, out=tmp_path / "out")
    (work / "mine/good-0/settings.json").unlink()
    with pytest.raises(UserError, match="was filled with other settings"):
        ablation.run_ablation(str(path), work=work, out=tmp_path / "out")


def test_weights_that_are_missing_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: t\ndecoder: mad\nrun: {checkpoints: /nowhere}\npoints: {a: {}}\n")
    assert main(["ablate", str(path), "--work", str(tmp_path / "work")]) == 2
    error = capsys.readouterr().err
    assert "mad.safetensors: no such weights" in error and error.count("\n") == 1


def test_seeds_give_students_interval() -> None:
    points = {
        "a": Point(values={}, seeds=3, seed_values={"depth.rmse": [0.5, 0.6, 0.7]}),
        "b": Point(values={}, seeds=3, seed_values={"depth.rmse": [0.4, 0.5, 0.6]}),
        "c": Point(values={}, seeds=1, seed_values={"depth.rmse": [0.4]}),
    }
    (found,) = seed_differences("a", "b", points)
    assert found.value == pytest.approx(-0.1) and found.agreeing
    assert found.high - found.low == pytest.approx(0, abs=1e-9), "equal differences have no spread"
    assert seed_differences("a", "c", points) == []


def test_an_outcome_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(msgspec.json.encode({"schema": 1}))
    from results.store import StoreError

    with pytest.raises(StoreError, match="ablate x"):
        read_outcomes(tmp_path)
