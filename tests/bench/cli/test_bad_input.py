"""Whatever is wrong with the input: one line that names it and says what to do, exit code 2, nothing written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.cli.main import main
from tests.bench.data.folders import edit, tiny_coco, tiny_nyu, write_lines

Case = Callable[[Path], list[str]]


def coco(root: Path, *more: str) -> list[str]:
    return ["--coco", str(root), "--sizes.classes", "2", *more]


def truncated_jpeg(root: Path) -> list[str]:
    path = tiny_coco(root) / "val2017/000000000007.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return coco(root)


def cut_json(root: Path) -> list[str]:
    path = tiny_coco(root) / "annotations/instances_val2017.json"
    path.write_bytes(path.read_bytes()[:400])
    return coco(root)


def absent_image(root: Path) -> list[str]:
    (tiny_coco(root) / "val2017/000000000007.jpg").unlink()
    return coco(root)


def unlisted_image(root: Path) -> list[str]:
    edit(tiny_coco(root), "instances", lambda c: c["annotations"][0].update(image_id=99))
    return coco(root)


def climbing_name(root: Path) -> list[str]:
    edit(tiny_coco(root), "instances", lambda c: c["images"][0].update(file_name="../../secret.jpg"))
    return coco(root)


def box(value: float) -> Case:
    def case(root: Path) -> list[str]:
        edit(tiny_coco(root), "instances", lambda c: c["annotations"][0].update(bbox=[1.0, 2.0, value, 3.0]))
        return coco(root)

    return case


def foreign_category(root: Path) -> list[str]:
    tiny_coco(root)
    edit(root, "instances", lambda c: c["annotations"][0].update(category_id=91))
    return ["--coco", str(root)]


def wrong_code_size(root: Path) -> list[str]:
    code = {"size": [9, 9], "counts": [81]}
    edit(tiny_coco(root), "instances", lambda c: c["annotations"][1].update(segmentation=code))
    return coco(root)


def polygon(*points: float) -> Case:
    def case(root: Path) -> list[str]:
        edit(tiny_coco(root), "instances", lambda c: c["annotations"][0].update(segmentation=[list(points)]))
        return coco(root)

    return case


def keypoints_without_a_person(root: Path) -> list[str]:
    edit(tiny_coco(root), "person_keypoints", lambda c: c.update(categories=[]))
    return coco(root)


def half_a_letter(root: Path) -> list[str]:
    edit(tiny_coco(root), "captions", lambda c: c["annotations"][0].update(caption="a \ud800 cat"))
    return coco(root)


def other_size(root: Path) -> list[str]:
    Image.new("RGB", (9, 9)).save(tiny_coco(root) / "val2017/000000000007.jpg")
    return coco(root)


def no_annotations(root: Path) -> list[str]:
    (root / "val2017").mkdir(parents=True)
    return coco(root)


def no_images_listed(root: Path) -> list[str]:
    tiny_coco(root)
    for kind in ("instances", "person_keypoints", "captions"):
        edit(root, kind, lambda c: c.update(images=[], annotations=[]))
    return coco(root)


def shallow_depth(root: Path) -> list[str]:
    tiny_nyu(root)
    png = next(root.rglob("sync_depth_00000.png"))
    Image.open(png).convert("L").save(png)
    return ["--nyu", str(root)]


def one_column(root: Path) -> list[str]:
    write_lines(tiny_nyu(root), "kitchen/rgb_00000.jpg")
    return ["--nyu", str(root)]


def more_classes(root: Path) -> list[str]:
    return ["--coco", str(tiny_coco(root)), "--sizes.classes", "1"]


def unwritable(root: Path) -> list[str]:
    file = root.parent / "occupied"
    file.write_text("")
    return [*coco(tiny_coco(root)), "--out", str(file)]


def fine_data_with(*more: str) -> Case:
    return lambda root: coco(tiny_coco(root), *more)


CASES: dict[str, tuple[Case, tuple[str, ...]]] = {
    "missing root": (lambda root: ["--coco", str(root / "nowhere")], ("nowhere", "no such folder", "give the folder")),
    "no annotation file": (no_annotations, ("annotations", "instances_val2017.json", "put at least one there")),
    "truncated JPEG": (truncated_jpeg, ("000000000007.jpg", "image 7", "cut", "download it again")),
    "JSON cut in the middle": (cut_json, ("instances_val2017.json", "is cut", "download or write the file again")),
    "annotated image absent": (absent_image, ("instances_val2017.json", "image 7", "put the image there")),
    "annotation of an unlisted image": (unlisted_image, ("annotation 11", "image 99", "list the image or remove")),
    "file name that climbs out": (climbing_name, ("image 7", "../../secret.jpg", "give a name inside")),
    "NaN box": (box(math.nan), ("annotation 11", "nan", "give x, y, width and height")),
    "negative box": (box(-4.0), ("annotation 11", "negative", "give x, y, width and height")),
    "category outside the 80": (foreign_category, ("annotation 11", "category 91", "80 known", "correct category_id")),
    "RLE of the wrong size": (wrong_code_size, ("annotation 12", "[9, 9]", "make the code again")),
    "polygon of one point": (polygon(1, 2), ("annotation 11", "at least three points")),
    "polygon of two points": (polygon(1, 2, 3, 4), ("annotation 11", "at least three points")),
    "keypoint file without a keypoint category": (keypoints_without_a_person, ("person_keypoints_val2017.json",)),
    "caption with half a letter": (half_a_letter, ("captions_val2017.json", "annotation 21", "not text")),
    "image of another size": (other_size, ("000000000007.jpg", "is 9x9 pixels, expected 32x24")),
    "8-bit depth": (shallow_depth, ("sync_depth_00000.png", "line 1", "mode L", "16-bit")),
    "list line with one column": (one_column, ("line 1", "1 column", "rgb depth")),
    "empty data set": (no_images_listed, ("lists no image", "at least one image")),
    "unwritable output": (unwritable, ("occupied", "cannot write here", "--out")),
    "limit 0": (fine_data_with("--limit", "0"), ("--limit 0", "at least 1")),
    "negative seed": (fine_data_with("--seed", "-1"), ("--seed -1", "give 0 or more")),
    "image of no pixels": (fine_data_with("--image.side", "0"), ("--image.side 0", "at least 1 pixel")),
    "list without a folder": (fine_data_with("--nyu-list", "x.txt"), ("--nyu-list x.txt", "--nyu DIR")),
    "abbreviated option": (fine_data_with("--pres", "paper"), ("unknown option --pres", "did you mean --preset?")),
    "option of no decoder": (fine_data_with("--strategy", '{"mad": {}}'), ("'mad'", "known: oracle")),
    "decoder without options": (fine_data_with("--strategy", '{"oracle": {"x": 1}}'), ("oracle has no options",)),
    "format of no task": (
        fine_data_with("--formats.keypoints", "codes"),
        ("'keypoints'", "known: segmentation, depth"),
    ),
    "unknown format": (fine_data_with("--formats.depth", "code"), ("'code'", "did you mean 'codes'", "bins, codes")),
    "codes without a codec": (
        fine_data_with("--formats.segmentation", "codes"),
        ("paper/codec-masks.safetensors: no such weights", "nox -s train -- --codec masks --preset paper --publish"),
    ),
    "unknown decoder": (fine_data_with("--decoder", "orakle"), ("'orakle'", "did you mean 'oracle'", "known:")),
    "unknown task": (fine_data_with("--tasks", "dtection"), ("'dtection'", "did you mean 'detection'")),
    "unknown preset": (fine_data_with("--preset", "papr"), ("'papr'", "did you mean 'paper'")),
    "unknown split": (fine_data_with("--split", "val2014"), ("--split", "val2017")),
    "fewer classes than categories": (more_classes, ("2 categories", "1 classes", "--sizes.classes")),
    "tokenizer that is none": (
        lambda root: coco(tiny_coco(root), "--tokenizer", str(root / "val2017/000000000007.jpg")),
        ("000000000007.jpg", "not a SentencePiece model"),
    ),
    "missing labeled file": (
        lambda root: ["--nyu", str(root / "nyu_depth_v2_labeled.mat")],
        ("nyu_depth_v2_labeled.mat", "give"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, expected = CASES[name]
    root, out = tmp_path / "data", tmp_path / "out"
    words = ["--decoder", "oracle", "--out", str(out), *build(root)]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    for part in expected:
        assert part in printed.err
    assert not out.exists(), "nothing is written before the input is known to be good"


def test_a_file_that_breaks_inside_stops_the_run_but_keeps_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault that only decoding shows: head and end mark are there, the middle is damaged."""
    root = tiny_nyu(tmp_path / "data")
    path = root / "kitchen/sync_depth_00002.png"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    assert main(["--decoder", "oracle", "--out", str(tmp_path / "out"), "--nyu", str(root)]) == 2
    assert "sync_depth_00002.png: line 3: broken or cut" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out/oracle").iterdir()] == ["samples.partial.jsonl"]


@pytest.mark.parametrize(
    "command",
    [
        "verify-data",
        "ceilings",
        "describe nothing",
        "describe detection --preset nothing",
        "describe mad --preset nothing",
        "scenes --out /dev/null/x",
        "schema --out /dev/null/x",
        "vocabulary --captions /dev/null --out x.model",
        "vocabulary --captions /nowhere.json --out x.model",
        f"vocabulary --captions {__file__} --out /dev/null/x.model",
        "table2 --decoder mad",
        "fly",
    ],
)
def test_other_commands_explain_themselves_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
