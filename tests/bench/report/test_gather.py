"""The command ``report``: from run folders to a page, and one line for what it cannot do."""

from __future__ import annotations

import importlib
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import pytest

from bench.cli.main import main
from bench.config.loading import load_run
from bench.report.gallery import choose, mean_iou
from bench.report.intervals import corrected
from bench.report.learning_curves import read_curve
from bench.report.reproduce import commands
from reports.report_data import Interval, MetricDifference
from reports.runs import find_runs, label_runs, main_and_variants, selection_note
from results.record import Record, Sample
from results.store import RECORD, SAMPLES, read_record
from tasks.targets import ObjectAnnotations
from tests.bench.altered_runs import altered, worse
from tests.results.test_store import record


def encoding(factor: float):  # type: ignore[no-untyped-def]
    """Times of a strategy that encodes images."""

    def times(number: int) -> dict[str, float]:
        total = 40.0 * factor * (1 + 0.001 * number)
        return {"backbone": 10.0, "decode.detection": 15.0 * factor, "decode.depth": 5.0 * factor, "total": total}

    return times


@pytest.fixture(scope="module")
def two(oracle_run: Path, scenes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of three runs: the ceiling, a good strategy, and a worse one that is slower."""
    out = tmp_path_factory.mktemp("runs") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECODER_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        altered(oracle_run, out / "oracle", scenes_folder, decoder="oracle")
        altered(oracle_run, out / "parallel", scenes_folder, decoder="parallel", times=encoding(1.0))
        hasty = {"decoder": "autoregressive", "change": worse, "times": encoding(3.0)}
        altered(oracle_run, out / "autoregressive", scenes_folder, **hasty)
    return out


def words(runs: Path, out: Path, scenes: Path, *more: str) -> list[str]:
    data = ["--coco", str(scenes), "--nyu", str(scenes)]
    return ["report", str(runs), "--out", str(out), *data, "--resamples", "100", *more]


def test_a_page_from_run_folders(
    two: Path, scenes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(two, tmp_path, scenes_folder, "--gallery", "1")) == 0
    printed = capsys.readouterr().out
    assert f"report: {tmp_path / 'index.html'}" in printed
    assert "parallel is" in printed and "times faster than autoregressive" in printed
    assert re.search(r"A  autoregressive\n\s+B  parallel \(on the frontier\)", printed), "the small plot"
    page = (tmp_path / "index.html").read_text()
    assert "95 % intervals for these weights, by paired bootstrap over 12 images, 100 resamples, seed 0" in page
    assert 'class="interval"' in page and "data:image/webp" in page
    assert "--coco scenes" in page, "the command that makes the runs again"
    assert str(scenes_folder.parent) not in page, "a report tells nothing of a machine's folders"
    assert (tmp_path / "tables/comparison.tex").exists() and (tmp_path / "figures/frontier.pdf").exists()


def test_without_the_data_the_page_says_what_is_left_out(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(tmp_path / "empty"))
    assert main(["report", str(two), "--out", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page/index.html").read_text()
    assert "No intervals" in page and "give it with --coco DIR" in page
    assert "data:image/webp" not in page
    assert "box AP" in capsys.readouterr().out


def rewritten(folder: Path, out: Path, **changes: object) -> Path:
    """A run folder with only its record, changed."""
    record = msgspec.structs.replace(read_record(folder), **changes)
    out.mkdir(parents=True)
    (out / RECORD).write_bytes(msgspec.json.encode(record))
    return out


def test_what_cannot_be_shown_together_is_refused_in_one_line(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = rewritten(two / "parallel", tmp_path / "other", data={"hash": "another", "coco": None, "nyu": None})
    out = tmp_path / "page"
    given = [
        ([str(two), str(other)], "different data"),
        ([str(tmp_path / "nowhere")], "no such run folder"),
        ([str(Path(__file__).parent)], "no run in there"),
        ([str(two), "--resamples", "3"], "at least 100"),
    ]
    for arguments, expected in given:
        assert main(["report", *arguments, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
        assert not out.exists(), "nothing is half written"


def test_runs_of_one_decoder_are_told_apart(two: Path, tmp_path: Path) -> None:
    options = read_record(two / "parallel").options
    more = {**options, "strategy": {"parallel": {"released_scores": True}}}
    rewritten(two / "parallel", tmp_path / "a", options=more)
    rewritten(two / "parallel", tmp_path / "b", options={**options, "batch": 8})
    rewritten(two / "parallel", tmp_path / "c")
    found = label_runs(find_runs([tmp_path]))
    assert list(found) == ["parallel, released_scores true, batch 1", "parallel, batch 8", "parallel, batch 1"]
    compared, further = main_and_variants(found)
    assert compared == ["parallel, batch 8"] and len(further) == 2


def test_compared_runs_share_their_options(two: Path, tmp_path: Path) -> None:
    """Each strategy with two seeds: the seeds of the compared runs are alike, whatever order the folders have."""
    for folder, seed in (("a", 1), ("b", 0)):
        for name in ("parallel", "autoregressive") if seed == 0 else ("parallel",):
            rewritten(two / name, tmp_path / folder / name, seed=seed)
    found = label_runs(find_runs([tmp_path]))
    compared, further = main_and_variants(found)
    assert set(compared) == {"parallel, seed 0", "autoregressive"} and further == ["parallel, seed 1"]
    assert "parallel, seed 0" in selection_note(compared, further, found) and not selection_note(compared, [], found)


def test_who_is_best_is_asked_with_holm_s_correction() -> None:
    def one(first: str, second: str, p: float) -> MetricDifference:
        return MetricDifference(first=first, second=second, key="k", value=1.0, interval=Interval(0.5, 1.5), p=p)

    made = corrected([one("a", "b", 0.03), one("a", "c", 0.04), one("b", "c", 0.9), one("a", "d", 0.04)], "abc")
    assert [round(own.p or 0, 3) for own in made] == [0.09, 0.09, 0.9, 0.04]
    assert [own.significant for own in made] == [False, False, False, True]


def test_commands_give_only_what_differs_from_the_preset() -> None:
    options = msgspec.json.decode(
        msgspec.json.encode(load_run(["--decoder", "mad", "--preset", "embedded"]), enc_hook=str)
    )
    assert (plain := commands([as_record(options)])) == ["python -m bench run --decoder mad --preset embedded"], plain
    (more,) = commands([as_record({**options, "batch": 8})])
    assert more.endswith("--preset embedded --batch 8")


def as_record(options: dict[str, object]) -> Record:
    return msgspec.structs.replace(record(3), decoder="mad", preset="embedded", seed=0, options=options)


def test_images_are_chosen_for_being_best_worst_and_disputed() -> None:
    a = {1: {"x": 0.9}, 2: {"x": 0.1}, 3: {"x": 1.0}, 4: {"x": 0.5}}
    b = {1: {"x": 0.95}, 2: {"x": 0.05}, 3: {"x": 0.0}, 4: {"x": 0.5}}
    why = dict(choose({"a": a, "b": b}, each=1))
    assert why[1].startswith("best x") and why[2].startswith("worst x") and "disagree" in why[3]
    more = {"a": {1: {"x": 0.9, "y": 0.1}, 2: {"x": 0.1, "y": 0.5}, 3: {"x": 0.5, "y": 0.9}}}
    assert [image for image, _ in choose(more, each=1)] == [1, 2, 3], "each metric has its best and its worst"
    assert [image for image, _ in choose({"a": a, "b": b}, each=1)] == [1, 2, 3]
    assert len(choose({"a": {1: {}, 2: {}}}, each=1)) == 2, "without scores the first images"


def test_mean_iou_uses_every_box_once_and_minds_classes() -> None:
    import torch

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    truth = ObjectAnnotations(boxes, torch.tensor([0, 1]), [[], []], torch.zeros(2, 1, 3), [1, 2])
    right = [
        {"bbox": [0, 0, 10, 10], "score": 0.9, "category_id": 5},
        {"bbox": [20, 0, 10, 5], "score": 0.8, "category_id": 7},
    ]
    assert mean_iou(right, truth, [5, 7]) == pytest.approx(0.75)
    twice = [right[0], {**right[0], "score": 0.8}]
    assert mean_iou(twice, truth, [5, 7]) == pytest.approx(0.5)
    assert mean_iou([{**right[0], "category_id": 7}], truth, [5, 7]) == 0
    assert mean_iou([], truth, [5, 7]) == 0


def test_a_learning_curve_as_training_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "mad.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 5, "evaluation": {"detection AP": 0.1}}\n')
    curve = read_curve("mad", path)
    assert (curve.steps, curve.scores, curve.loss) == ([5], {"detection AP": [0.1]}, [(1, 2.0)])


def test_matplotlib_is_imported_by_reports_alone() -> None:
    """In a forked process, which keeps torch, our files and those that they use for masks are imported anew."""
    files = ["bench.cli.main", "bench.run.runner", "bench.compare.runs", "bench.report.gather"]
    files += ["reports.tables.comparison_tables", "reports.terminal.comparison"]
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert not {"matplotlib", "seaborn", "pandas"} & pool.submit(imported_anew, files).result()


def imported_anew(files: list[str]) -> set[str]:
    """Names of packages that are imported by files of ours."""
    ours = {"bench", "decoders", "reports", "results", "tasks", "pycocotools", "matplotlib", "seaborn", "pandas"}
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]
    for name in files:
        importlib.import_module(name)
    return {name.partition(".")[0] for name in sys.modules}


def test_a_record_of_a_later_version_with_more_fields_is_read(two: Path, tmp_path: Path) -> None:
    plain = msgspec.to_builtins(read_record(two / "parallel")) | {"weather": "fine"}
    (tmp_path / RECORD).write_bytes(msgspec.json.encode(plain))
    assert isinstance(find_runs([tmp_path])[0].record, Record)
    assert Sample and not (tmp_path / SAMPLES).exists()
