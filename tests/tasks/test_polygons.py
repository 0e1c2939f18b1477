"""Polygons with absurd coordinates: the same mask inside the image, at no cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import TaskError
from tasks.pasting import crop, decode_mask, raster
from tasks.polygons import near_image

SIZE = (24, 32)
RIGHT_HALF = [16.0, 0.0, 32.0, 0.0, 32.0, 24.0, 16.0, 24.0]


@pytest.mark.parametrize("far", [1e4, 1e9, 2**63, 1e300])
def test_far_coordinates_cost_nothing(far: float) -> None:
    polygon = [16.0, -far, far, -far, far, far, 16.0, far]
    expected = decode_mask([RIGHT_HALF], SIZE)
    assert np.array_equal(decode_mask([polygon], SIZE), expected) and expected.sum() == 16 * 24
    assert torch.equal(raster([polygon], SIZE, (32, 32)), raster([RIGHT_HALF], SIZE, (32, 32)))
    box = torch.tensor([0.0, 0.0, 32.0, 24.0])
    assert torch.equal(crop([polygon], box, 8), crop([RIGHT_HALF], box, 8))


def test_polygon_far_from_a_tiny_box() -> None:
    """Cropping scales by the box, which may be a tenth of a pixel wide."""
    assert crop([[0, 0, 32, 0, 32, 24, 0, 24]], torch.tensor([5.0, 5.0, 5.1, 5.1]), 56).all()


def test_polygons_near_the_image_stay_as_they_are() -> None:
    polygons = [[-5.0, -3.0, 40.0, 0.5, 30.25, 30.0], RIGHT_HALF]
    assert near_image(polygons, SIZE) == polygons


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "5", None])
def test_no_numbers(value: object) -> None:
    with pytest.raises(TaskError, match="no finite number"):
        decode_mask([[0.0, 0.0, 9.0, 0.0, 9.0, value]], SIZE)  # type: ignore[list-item]


@pytest.mark.parametrize("code", [{"size": [10**9, 10**9], "counts": "0"}, {"size": [4, 4], "counts": [2**40, 3]}])
def test_absurd_codes(code: dict[str, object]) -> None:
    with pytest.raises(TaskError, match=r"size|cover"):
        decode_mask(code, SIZE)


@pytest.mark.skipif("DECODER_BENCH_SHARED" not in os.environ, reason="real annotations need DECODER_BENCH_SHARED")
def test_real_outlines_are_not_touched() -> None:
    path = Path(os.environ["DECODER_BENCH_SHARED"]) / "data/coco_mini/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    outlines = [a for a in content["annotations"] if isinstance(a["segmentation"], list)]
    assert len(outlines) > 700
    for annotation in outlines:
        polygons = annotation["segmentation"]
        assert near_image(polygons, sizes[annotation["image_id"]]) == polygons
