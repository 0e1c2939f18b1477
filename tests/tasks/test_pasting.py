"""Crop and paste: the pixels of MAD's release, whole areas from run-length codes, and codes equal to the COCO API's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tasks import pasting
from tasks.pasting import crop, encode_window, paste, paste_codes
from tests.tasks.task_examples import Golden


def decode(code) -> np.ndarray:
    return coco_mask.decode({"size": code["size"], "counts": code["counts"].encode()}).astype(bool)


def test_pasted_pixels_are_those_of_mads_release():
    golden = Golden()
    height, width = golden.tensor("paste/size").tolist()
    probabilities, boxes = golden.tensor("paste/prob"), golden.tensor("paste/boxes")
    expected = golden.tensor("paste/mask")
    assert torch.equal(paste(probabilities, boxes, (0, 0, width, height)), expected)
    for code, mask in zip(paste_codes(probabilities, boxes, (height, width)), expected, strict=True):
        assert np.array_equal(decode(code), mask.numpy())


@pytest.mark.parametrize("image", [0, 1])
def test_cropped_polygons_are_those_of_mads_release(image):
    golden = Golden()
    boxes = golden.tensor(f"gt/img{image}/boxes")
    lengths = golden.tensor(f"gt/img{image}/polygon_len").tolist()
    polygons = [part.tolist() for part in golden.tensor(f"gt/img{image}/polygon_points").split(lengths)]
    owners = golden.tensor(f"gt/img{image}/polygon_instance").tolist()
    for index, expected in enumerate(golden.tensor(f"gt/img{image}/mask_crop")):
        own = [polygon for polygon, owner in zip(polygons, owners, strict=True) if owner == index]
        assert torch.equal(crop(own, boxes[index], golden.sizes.mask_size), expected)


@given(st.integers(0, 2**31), st.integers(1, 90), st.integers(1, 90), st.integers(1, 20), st.sampled_from([1, 1.5, 3]))
def test_windows_lose_no_pixel_of_the_whole_image(seed, height, width, side, peak):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(5, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([width, height])
    boxes = corners.reshape(5, 4)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 0.01)
    boxes = boxes[(boxes[:, 2] <= width) & (boxes[:, 3] <= height)]
    probabilities = torch.rand(len(boxes), side, side, generator=generator).round(decimals=1) * peak
    whole = paste(probabilities, boxes, (0, 0, width, height))
    for code, mask in zip(paste_codes(probabilities, boxes, (height, width)), whole, strict=True):
        assert np.array_equal(decode(code), mask.numpy())


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.data())
def test_a_window_gives_the_code_of_the_whole_image(seed, height, width, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    part = np.random.default_rng(seed).random((bottom - top, right - left)) < data.draw(
        st.sampled_from([0, 0.5, 0.9, 1])
    )
    whole = np.zeros((height, width), dtype=np.uint8, order="F")
    whole[top:bottom, left:right] = part
    found = encode_window(part, (left, top, right, bottom), (height, width))
    assert found == {"size": [height, width], "counts": coco_mask.encode(whole)["counts"].decode()}


def test_a_run_length_code_is_foreground_where_half_of_a_cell_is_covered():
    whole = np.zeros((8, 8), dtype=np.uint8, order="F")
    whole[0:4, 0:3] = 1  # in 4 x 4 cells of 2 pixels: column 1 is half covered, rows 0 and 1 whole
    code = coco_mask.encode(whole)
    found = crop(code, torch.tensor([0.0, 0.0, 8.0, 8.0]), 4)
    assert found.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert crop(code, torch.tensor([-8.0, 0.0, 0.0, 8.0]), 4).sum() == 0


def test_pixels_and_cells_are_foreground_from_a_half_on():
    box = torch.tensor([0.0, 0.0, 6.0, 6.0])
    for probability in (0.49, 0.51):
        (code,) = paste_codes(torch.full((1, 3, 3), probability), box[None], (6, 6))
        assert bool(decode(code).any()) == (probability > 0.5)
    for covered in (4, 5):  # pixels of a cell of nine
        whole = np.zeros(9, dtype=np.uint8)
        whole[:covered] = 1
        code = coco_mask.encode(np.asfortranarray(whole.reshape(3, 3)))
        assert int(crop(code, torch.tensor([0.0, 0.0, 3.0, 3.0]), 1).sum()) == (covered > 4)


def test_compressed_and_plain_run_length_codes_crop_alike():
    plain = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}
    compressed = coco_mask.frPyObjects(plain, 4, 4)
    text = {"size": [4, 4], "counts": compressed["counts"].decode()}
    box = torch.tensor([0.0, 0.0, 4.0, 4.0])
    crops = [crop(code, box, 4) for code in (plain, compressed, text)]
    assert torch.equal(crops[0], torch.from_numpy(coco_mask.decode(compressed)).bool())
    assert torch.equal(crops[0], crops[1])
    assert torch.equal(crops[0], crops[2])


def test_outlines_without_area_are_empty():
    box = torch.tensor([1.0, 1.0, 1.0, 1.0])
    assert crop([], box, 4).sum() == 0
    assert crop([[1.0, 1.0, 5.0, 5.0]], box, 4).sum() == 0


def test_canvases_of_an_accelerator_hold_the_same_pixels_whatever_fits_at_once(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[1.0, 2.0, 30.0, 20.0], [0.0, 0.0, 40.0, 25.0], [7.5, 3.0, 9.0, 24.0]])
    probabilities = torch.rand(3, 4, 4, generator=generator)
    whole = paste(probabilities, boxes, (0, 0, 40, 25)).numpy()
    for fitting in (1, 2, 9):
        monkeypatch.setattr(pasting, "CANVAS_BYTES", fitting * 12 * 40 * 25)
        assert np.array_equal(np.stack(pasting._canvases(probabilities, boxes, (25, 40))), whole)


def test_no_masks_are_pasted_for_no_boxes():
    assert paste_codes(torch.zeros(0, 4, 4), torch.zeros(0, 4), (10, 10)) == []
