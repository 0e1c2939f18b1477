"""The check of a data folder: it lists every problem, and counts against the official numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bench.data.verify import MOST_OF_A_KIND, Finding, Reading, verify
from bench.errors import UserError
from tests.bench.data.folders import HEIGHT, WIDTH, edit, picture, shared, tiny_coco, tiny_nyu, write_lines
from tests.bench.data.nyu.test_reader import labeled


def errors(findings: list[Finding]) -> list[str]:
    return [f"{Path(f.file).name}: {f.record}: {f.message}" for f in findings if f.level == "error"]


def texts(findings: list[Finding], level: str) -> list[str]:
    return [f.message for f in findings if f.level == level]


@pytest.mark.parametrize("full", [True, False])
def test_good_folders(tmp_path: Path, full: bool) -> None:
    done: list[tuple[int, int]] = []
    coco, nyu = tiny_coco(tmp_path / "coco"), tiny_nyu(tmp_path / "nyu")
    findings = verify(coco, nyu, reading=Reading(full), workers=3, progress=lambda *step: done.append(step))
    assert not errors(findings)
    assert texts(findings, "warning") == [
        "2 of the official 5,000 images",
        "3 of the official 654 test pairs",
    ]
    assert texts(findings, "info") == ["boxes of zero width or height: 1", "crowds: 1"]
    assert done == [(step, 5) for step in range(1, 6)]


def test_everything_is_listed(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)

    def spoil(content: dict[str, list[dict[str, object]]]) -> None:
        content["annotations"][0].update(category_id=91)
        content["annotations"][1].update(bbox=[1, 1, -1, 1])
        content["annotations"][2].update(image_id=99)

    edit(root, "instances", spoil)
    (root / "annotations/captions_val2017.json").write_text('{"images": [')
    picture(0, HEIGHT, WIDTH + 2).save(root / "val2017/000000000003.jpg")
    seven = root / "val2017/000000000007.jpg"
    seven.write_bytes(seven.read_bytes()[:-100])
    picture(0).save(root / "val2017/stray.jpg")
    findings = verify(root, None)
    found = "\n".join(errors(findings))
    for expected in (
        "instances_val2017.json: annotation 11: category 91 is not among",
        "instances_val2017.json: annotation 12: bbox [1, 1, -1, 1] has a negative width or height",
        "instances_val2017.json: annotation 13: belongs to image 99",
        "captions_val2017.json: : is cut",
        "000000000003.jpg: image 3: is 34x24 pixels, expected 32x24",
        "000000000007.jpg: image 7: broken or cut image",
    ):
        assert expected in found
    assert "1 files are in no annotation file" in texts(findings, "info")
    assert len(errors(verify(root, None, reading=Reading(full=False)))) == len(errors(findings)) - 1, (
        "only heads are read: the cut stays"
    )


def test_many_of_a_kind_are_counted(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    missing = [{"id": 100 + n, "file_name": f"{n}.jpg", "height": 8, "width": 8} for n in range(MOST_OF_A_KIND + 5)]
    edit(root, "instances", lambda c: c["images"].extend(missing))
    findings = verify(root, None)
    assert len(errors(findings)) == MOST_OF_A_KIND + 1
    assert findings[-1].message == f"missing image: 5 more of this kind, {MOST_OF_A_KIND + 5} in all"


def test_categories_that_are_not_official(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    edit(root, "instances", lambda c: c["categories"].append({"id": 5, "name": "unicorn"}))
    assert "1 categories are not of COCO's 80: ['unicorn']" in texts(verify(root, None), "warning")


def test_absent_file(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    (root / "annotations/instances_val2017.json").unlink()
    assert "is absent: its tasks will be off" in texts(verify(root, None), "info")


def test_bad_nyu(tmp_path: Path) -> None:
    root = tiny_nyu(tmp_path)
    lines = [f"kitchen/rgb_0000{n}.jpg kitchen/sync_depth_0000{n}.png" for n in range(3)]
    write_lines(root, *lines, "kitchen/rgb_00000.jpg", "gone.jpg gone.png")
    Image.new("L", (WIDTH, HEIGHT)).save(root / "kitchen/sync_depth_00000.png")
    (root / "kitchen/rgb_00001.jpg").write_bytes(b"no image")
    Image.new("I;16", (WIDTH, HEIGHT)).save(root / "kitchen/sync_depth_00002.png")
    findings = verify(None, root)
    found = errors(findings)
    assert len(found) == 4
    assert "line 4: has 1 column" in found[0] and "line 5: 'gone.jpg' is not in" in found[1]
    assert "sync_depth_00000.png: line 1: depth image has mode L" in found[2]
    assert "rgb_00001.jpg: line 2: broken" in found[3]
    assert "holds no depth" in texts(findings, "warning")
    assert len(errors(verify(None, root, reading=Reading(full=False)))) == 4


def test_labeled_file(tmp_path: Path) -> None:
    path = labeled(tmp_path)
    findings = verify(None, path)
    assert not errors(findings)
    assert texts(findings, "warning")[1] == "4 of the official 1,449 labeled pairs"
    path.write_bytes(b"garbage")
    assert "cannot be read" in errors(verify(None, path))[0]


def test_splits(tmp_path: Path) -> None:
    root = tiny_coco(tmp_path)
    tiny_nyu(root, split="train")
    assert "3 of the official 24,231 train pairs" in texts(verify(None, root), "warning")
    assert "holds none of" in errors(verify(root, None, splits=["train2017"]))[0]
    assert "holds none of" in errors(verify(None, root, splits=["test"]))[0]
    with pytest.raises(UserError, match="unknown"):
        verify(root, None, splits=["val"])


def test_missing_folders_and_options(tmp_path: Path) -> None:
    found = errors(verify(tmp_path / "a", tmp_path / "b"))
    assert len(found) == 2 and all("no such folder" in text for text in found)
    assert "no such file" in errors(verify(None, tmp_path / "c.mat"))[0]
    with pytest.raises(UserError, match="no data set"):
        verify(None, None)
    with pytest.raises(UserError, match="workers 0"):
        verify(tmp_path, None, workers=0)


def test_real_data() -> None:
    data = shared()
    findings = verify(data / "coco_mini", data / "nyu_mini")
    assert not errors(findings)
    assert texts(findings, "warning") == [
        "100 of the official 5,000 images",
        "80 of the official 118,287 images",
        "9 of the official 654 test pairs",
    ]
