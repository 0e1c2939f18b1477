"""Windows: cut, decoded one by one and merged; what a perfect decoder gives is the image's own depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.data.transforms import Windows
from bench.inference.pipeline import Pipeline, PipelineInput
from bench.inference.windowed_pipeline import WindowedPipeline, window_pixels
from decoders.oracle import Oracle
from tasks.depth import Depth
from tasks.targets import Targets
from tests.tasks.task_examples import parts


def pipeline(*, mirrored: bool) -> WindowedPipeline:
    task = Depth(parts(depth_bins=400, depth_grid=(48, 48)))
    inner = Pipeline(decoder=Oracle(), tasks=[task], transform=window_pixels, fill=0, seed=0)
    return WindowedPipeline(pipeline=inner, windows=Windows(side=48, normalise=None, mirrored=mirrored))


def items(*sizes: tuple[int, int]) -> list[PipelineInput]:
    """Images with depth that grows to the right."""
    return [
        PipelineInput(number, Image.fromarray(np.zeros((*size, 3), np.uint8)), Targets(size, depth=ramp(size)))
        for number, size in enumerate(sizes)
    ]


def ramp(size: tuple[int, int]) -> torch.Tensor:
    return torch.linspace(1.0, 9.0, size[1]).expand(size).clone()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_perfect_decoder_gives_the_depth_back(mirrored: bool) -> None:
    sizes = [(48, 64), (48, 130), (96, 128)]
    for size, outcome in zip(sizes, pipeline(mirrored=mirrored).predict(items(*sizes)), strict=True):
        found = outcome.predictions["depth"]
        assert found.shape == size
        off = (found / ramp(size) - 1).abs()
        assert float(off.max()) < 0.02 + 0.1 * (size[0] > 48)  # a scaled image's borders are coarser


def test_times_and_work_are_those_of_all_windows() -> None:
    (one,) = pipeline(mirrored=False).predict(items((48, 64)))
    (both,) = pipeline(mirrored=True).predict(items((48, 64)))
    assert both.work["depth"][2] == 2 * one.work["depth"][2] == 4
    parts = [value for name, value in both.times.wall.items() if name != "total"]
    assert 0 < sum(parts) < both.times.wall["total"], "the total has a clock of its own"
    assert {"preprocess", "decode.depth", "interpret.depth"} <= set(both.times.wall)


def test_an_image_without_depth_has_no_prediction() -> None:
    (outcome,) = pipeline(mirrored=True).predict([PipelineInput(1, items((48, 64))[0].image, Targets((48, 64)))])
    assert outcome.predictions == {}


def test_what_windows_cannot_do_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    windows = ["--decoder", "oracle", "--image.transform", "windows"]
    for words, message in {
        (*windows, "--tasks", "depth,captioning"): "merges depth only",
        ("--decoder", "oracle", "--image.mirrored", "true"): "is of windows, not of square",
    }.items():
        assert main(list(words)) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1


def test_a_run_merges_windows(scenes_folder, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    folders = ["--preset", "embedded", "--coco", str(scenes_folder), "--nyu", str(scenes_folder)]
    words = ["--decoder", "oracle", *folders, "--tasks", "depth", "--image.transform", "windows", "--image.side", "64"]
    assert main([*words, "--image.mirrored", "true", "--image.normalise", "false", "--out", str(tmp_path)]) == 0
    assert "depth" in capsys.readouterr().out
