"""Definitions: shipped ones can be planned, mistakes are refused in one line, and options merge member by member."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench.checkpoints.checkpoint import checkpoint_path
from bench.cli.main import main
from bench.studies.definition import names, read_definition
from bench.studies.plan import Plan, plan
from bench.studies.tables import TABLES
from results.claims import STEPS, Claim, claims, is_ratio, paper_effect
from results.published import paper_tables

TWO = "decoder: mad\narms: {a: {}, b: {}}\n"
PENDING = {"mad-pix2seq", "ait-soft-distance"}  # studies of claims that are not written yet
DATA = {"coco": "/data/coco", "nyu": "/data/nyu"}


def planned(name: str, work: Path) -> Plan:
    """The plan of a study, on real data where it asks for them."""
    stem, definition = read_definition(name)
    return plan(stem, definition, work=work, given={folder: DATA[folder] for folder in definition.data})


def planned_once(name: str, work: Path) -> Plan:
    """The plan of a study's first seed."""
    stem, definition = read_definition(name)
    first = msgspec.structs.replace(definition, seeds=definition.seeds[:1])
    return plan(stem, first, work=work, given={folder: DATA[folder] for folder in definition.data})


@pytest.mark.parametrize("name", names())
def test_definitions_hold_options_and_tables_that_exist(name: str, tmp_path: Path) -> None:
    jobs = planned_once(name, tmp_path)
    _, definition = read_definition(name)
    assert jobs.results.keys() == definition.arms.keys() and not jobs.failed
    assert definition.tables.keys() <= TABLES.keys()
    for position, job in enumerate(jobs.jobs):
        assert all(need in jobs.jobs[:position] for need in job.before)


def test_arms_share_trainings_of_the_same_settings(tmp_path: Path) -> None:
    jobs = planned("soft-tokens", tmp_path).jobs
    trainings = [job for job in jobs if job.kind == "train"]
    assert len(trainings) == 6 and len(jobs) == 6 + 15
    assert trainings[0].arms == ["none", "solver", "detokeniser", "both"]
    both = {job.folder for job in planned("parallel-study", tmp_path).jobs} & {job.folder for job in trainings}
    assert len(both) == 3, "the trainings of ait are those of the other study"


def test_interleaved_arms_are_one_run(tmp_path: Path) -> None:
    (run,) = planned("table2", tmp_path).jobs
    assert run.names == ["autoregressive", "parallel", "mad-one-pass", "mad", "ait", "ait-parallel"]
    pair = planned("depth-pairs", tmp_path).jobs
    assert [job.kind for job in pair] == ["codec", "train", "run"] and pair[-1].needs["codec-depth"] is pair[0]


def test_the_recipe_of_the_shipped_weights_is_that_of_their_cards(tmp_path: Path) -> None:
    jobs = planned("seeds", tmp_path).jobs
    for decoder in ("mad", "parallel"):
        card = json.loads(checkpoint_path("embedded", decoder).with_suffix(".json").read_text())
        first, second = [job for job in jobs if job.kind == "train" and job.names == [decoder]][:2]
        assert (first.given["seed"], second.given["seed"], second.start) == (1, 11, first)
        for job, told in ((first, card["before"]), (second, card)):
            schedule = job.settings["train"]["decoder"]
            assert schedule["steps"] == told["steps"] and job.settings["strategy"] == card["strategy"]
        assert schedule == card["schedule"]
    assert [job.given["seed"] for job in jobs if job.kind == "run" and not job.needs] == [0], "the shipped weights"


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: str(claim.id))
def test_studies_have_the_contrasts_of_claims(claim: Claim) -> None:
    for contrast in claim.contrasts:
        if contrast.study in PENDING:
            continue
        _, definition = read_definition(contrast.study)
        for key in contrast.metrics:
            if key.startswith(STEPS):
                target = next(arm for arm, weight in contrast.arms.items() if weight < 0)
                assert definition.tables["reach"] == {"metric": key.removeprefix(STEPS), "target": target}
                continue
            turned = {arm: -weight for arm, weight in contrast.arms.items()}
            same = [c for c in definition.contrasts.values() if c.arms in (contrast.arms, turned) and key in c.effects]
            assert len(same) == 1, f"{claim.id}: {contrast.study} has no contrast {contrast.arms} in {key}"
            paper, effect = same[0].effects[key].paper, paper_effect(contrast, key)
            if isinstance(paper, int | float) and effect is not None:
                way = 1 if same[0].arms == contrast.arms else -1
                assert paper == pytest.approx(effect**way if is_ratio(key) else effect * way, rel=0.02), claim.id


def test_links_of_tables_name_studies_and_arms() -> None:
    links = [(study, link) for table in paper_tables().values() for study, link in table.links.items()]
    for study, link in links:
        if study != "runs" and study not in PENDING:
            assert set(link.arms) <= set(read_definition(study)[1].arms), study


def test_options_merge_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: t\ndecoder: mad\nrun: {strategy: {mad: {remask: lowest}}}\n"
        "arms: {a: {run: {strategy: {mad: {ensemble: newest}}}}, b: {}}\n"
    )
    first, second = planned(str(path), tmp_path).jobs
    assert first.given["strategy"] == {"mad": {"remask": "lowest", "ensemble": "newest"}}
    assert second.given["strategy"] == {"mad": {"remask": "lowest"}}


def test_effects_are_a_number_a_direction_or_a_margin(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: t\narms: {a: {decoder: mad, group: g}, b: {decoder: parallel, group: g}}\ncontrasts: {c: "
        "{arms: {a: 1, b: -1}, metrics: {depth.rmse: 1, detection.AP: up,"
        " time.decode.depth: {paper: 1.5, within: 0.5}, average: null}}}\n"
    )
    effects = read_definition(str(path))[1].contrasts["c"].effects
    assert [(key, effect.paper, effect.within) for key, effect in effects.items()] == [
        ("depth.rmse", 1.0, None),
        ("detection.AP", "up", None),
        ("time.decode.depth", 1.5, 0.5),
        ("average", None, None),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("decoder: mad\narms: {}", "a study names arms and seeds"),
        ("decoder: mad\nseeds: []\narms: {a: {}}", "a study names arms and seeds"),
        ("arms: {a: {}}", "'a': give a decoder or a codec"),
        ("decoder: mad\narm: {a: {}}", "not a study"),
        ("decoder: mad\narms: {a: {run_: {}}}", "unknown field `run_`"),
        ("decoder: mad\narms: {a b: {}, a_b: {}}", "two arms would share a folder"),
        ("decoder: mad\narms: {a: {weights: b}}", "unknown arm 'b'"),
        ("decoder: mad\narms: {a: {}, b: {weights: a}}", "which is not trained"),
        ("decoder: mad\nweights: trained\narms: {a: {stages: []}}", "at least one stage"),
        ("decoder: mad\narms: {a: {}}\ncontrasts: {c: {arms: {x: 1}, metrics: {}}}", "contrast 'c'"),
        ("decoder: mad\narms: {a: {}}\ncontrasts: {c: {arms: {a: 1}, metrics: {depth.rmse: left}}}", "not a study"),
        (f"{TWO}contrasts: {{c: {{arms: {{a: 1, b: -1}}, metrics: {{time.total: 2}}}}}}", "give them one group"),
        (f"{TWO}contrasts: {{c: {{arms: {{a: 1}}, metrics: {{depth.rmse: {{within: 0}}}}}}}}", "a margin above 0"),
        ("decoder: mad\ndata: [nyu]\narms: {a: {}}", "give --nyu DIR"),
        ("decoder: mad\ntables: {pictures: {}}\narms: {a: {}}", "no table 'pictures'"),
        ("decoder: mad\narms: {a: {group: g}, b: {group: g}}", "decoder and strategy alone"),
        ("decoder: mad\narms: {a: {run: {no_such: 1}}}", "no_such"),
    ],
)
def test_bad_definitions_are_refused_in_one_line(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"title: t\n{text}\n")
    assert main(["study", str(path), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


def test_studies_are_listed_and_misspelled_ones_get_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    assert "table2: MAD's Table 2 and AiT" in capsys.readouterr().out
    assert main(["study", "mad-inference-ratio"]) == 2
    assert "did you mean 'mad-inference-ratios'" in capsys.readouterr().err
    assert main(["study", "table2", "--only", '["pralel"]']) == 2
    assert "unknown arm 'pralel'" in capsys.readouterr().err
