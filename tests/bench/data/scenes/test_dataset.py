"""The embedded scenes are deterministic, true to their annotations, and never half there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from bench.data.scenes import coco_format
from bench.data.scenes import dataset as scenes
from bench.data.scenes.elements import CLASSES, SIZE, Scene
from bench.data.scenes.scene import COUNTS, SEED, SceneError, render
from bench.data.scenes.worlds import WORLDS
from tests.paths import REPOSITORY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "root"
    scenes.write(root, counts={"val2017": 12}, processes=1)
    return root


def load(root: Path, kind: str, split: str = "val2017") -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(root / "annotations" / f"{kind}_{split}.json"))


# --- one scene ------------------------------------------------------------------------------------------------------


def test_a_scene_depends_on_seed_split_and_index_only() -> None:
    first, again = render("val2017", 3), render("val2017", 3)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.depth, again.depth)
    assert [c.text for c in first.captions] == [c.text for c in again.captions]
    for other in (
        render("val2017", 4),
        render("train2017", 3),
        render("val2017", 3, seed=SEED + 1),
    ):
        assert not np.array_equal(first.image, other.image)


def test_shapes_and_types(many_scenes: list[Scene]) -> None:
    for scene in many_scenes:
        assert scene.image.shape == (SIZE, SIZE, 3) and scene.image.dtype == np.uint8
        assert scene.depth.shape == (SIZE, SIZE) and scene.depth.dtype == np.float32
        assert 1 <= len(scene.objects) <= 5


def test_all_classes_occur_and_persons_in_about_38_percent(many_scenes: list[Scene]) -> None:
    assert CLASSES[0] == "person" and len(CLASSES) == 8
    assert {each.category_id for scene in many_scenes for each in scene.objects} == set(range(1, 9))
    share = np.mean([any(each.category_id == 1 for each in scene.objects) for scene in many_scenes])
    assert 0.26 < share < 0.5  # ±3 standard errors


def test_nearer_hides_farther_and_masks_are_disjoint(many_scenes: list[Scene]) -> None:
    hidden = 0
    for scene in many_scenes:
        layout = scene.layout
        depths = [item.depth for item in layout.items]
        assert depths == sorted(depths)
        assert np.sum(layout.visible, axis=0).max() == 1
        taken = np.zeros((SIZE, SIZE), dtype=bool)
        for whole, visible in zip(layout.whole, layout.visible, strict=True):
            assert np.array_equal(visible, whole & ~taken)
            hidden += bool((whole & taken).any())
            taken |= whole
    assert hidden > len(many_scenes) / 5  # occlusion is common enough to matter


def test_boxes_are_tight_and_objects_large_enough(many_scenes: list[Scene]) -> None:
    for scene in many_scenes:
        for each in scene.objects:
            left, top, width, height = (int(side) for side in each.box)
            inside = each.mask[top : top + height, left : left + width]
            assert inside.sum() == each.mask.sum() >= 70
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
            assert min(width, height) >= 7


def test_keypoint_flags_follow_the_masks(many_scenes: list[Scene]) -> None:
    flags: Counter[int] = Counter()
    for scene in many_scenes:
        layout = scene.layout
        for position, item in enumerate(layout.items):
            if item.pose is None:
                continue
            keypoints = next(each.keypoints for each in scene.objects if each.depth == item.depth)
            points = layout.sprites[position].keypoints
            assert keypoints is not None and points is not None
            for k, (x, y, v) in enumerate(keypoints):
                flags[int(v)] += 1
                inside = 0 <= points[k][0] < SIZE and 0 <= points[k][1] < SIZE
                assert (v > 0) == inside
                if v == 0:
                    assert x == y == 0
                    continue
                covered = any(mask[int(y), int(x)] for mask in layout.whole[:position])
                assert (v == 1) == (covered or k in item.pose.own_hidden)
    assert min(flags[0], flags[1], flags[2]) > 10


def test_visible_joints_lie_on_the_figure(many_scenes: list[Scene]) -> None:
    on = [
        each.mask[int(y), int(x)]
        for scene in many_scenes
        for each in scene.objects
        if each.keypoints is not None
        for x, y, v in each.keypoints
        if v == 2
    ]
    assert np.mean(on) > 0.995  # an ear may stick out by a pixel


def test_left_is_the_figures_own(many_scenes: list[Scene]) -> None:
    """Shoulders: a figure that faces us has its left on the picture's right."""
    for scene in many_scenes:
        for item, sprite in zip(scene.layout.items, scene.layout.sprites, strict=True):
            if item.pose is not None:
                assert sprite.keypoints is not None
                assert (sprite.keypoints[5, 0] > sprite.keypoints[6, 0]) == item.pose.facing


def test_depth_is_metric_with_some_invalid_pixels(many_scenes: list[Scene]) -> None:
    shares = []
    for scene in many_scenes:
        valid = scene.depth > 0
        shares.append(1 - valid.mean())
        assert scene.depth[valid].min() >= 0.5 and scene.depth.max() <= 10
        for each in scene.objects:
            seen = scene.depth[each.mask & valid]
            if seen.size:
                assert abs(float(np.median(seen)) - each.depth) < 0.2
    assert 0.02 < np.mean(shares) < 0.08


# --- the folder -----------------------------------------------------------------------------------------------------


def test_pycocotools_reads_the_folder(folder: Path) -> None:
    instances, persons, captions = (load(folder, kind) for kind in coco_format.ANNOTATIONS)
    assert len(instances.imgs) == len(persons.imgs) == len(captions.imgs) == 12
    assert [category["name"] for category in instances.loadCats(range(1, 9))] == list(CLASSES)
    assert len(persons.cats[1]["keypoints"]) == 17 and len(persons.cats[1]["skeleton"]) == 19
    assert len(captions.anns) == 60
    for number, annotation in instances.anns.items():
        mask = instances.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        assert run_lengths.toBbox(annotation["segmentation"]).tolist() == annotation["bbox"]
        assert (number in persons.anns) == (annotation["category_id"] == 1)
    for annotation in persons.anns.values():
        flags = np.array(annotation["keypoints"]).reshape(17, 3)[:, 2]
        assert annotation["num_keypoints"] == np.count_nonzero(flags)


def test_the_same_seed_gives_the_same_annotations_as_ever(folder: Path) -> None:
    """Results name the scenes by a hash of their files; pictures may depend on the JPEG library, annotations do not."""
    digest = hashlib.sha256()
    for path in sorted((folder / "annotations").iterdir()):
        digest.update(path.read_bytes())
    assert digest.hexdigest()[:16] == "0ef238200180cbc0"


def test_files_hold_the_rendered_scenes(folder: Path) -> None:
    pairs = (folder / "test_files_with_gt.txt").read_text(encoding="utf-8").splitlines()
    assert pairs[0] == "val2017/000000000001.jpg depth_val2017/000000000001.png"
    instances, captions = load(folder, "instances"), load(folder, "captions")
    for index, pair in enumerate(pairs):
        scene = render("val2017", index)
        image, depth = (np.asarray(Image.open(folder / part)) for part in pair.split())
        assert np.abs(image.astype(int) - scene.image).mean() < 4  # JPEG
        assert depth.dtype == np.uint16 and np.abs(depth / 1000 - scene.depth).max() <= 0.00051
        annotations = instances.imgToAnns[index + 1]
        for each, annotation in zip(scene.objects, annotations, strict=True):
            assert np.array_equal(instances.annToMask(annotation), each.mask)
        assert [each["caption"] for each in captions.imgToAnns[index + 1]] == [c.text for c in scene.captions]


def test_hash_is_the_same_for_one_process_and_several(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "CHUNK", 5)
    seen: list[tuple[int, int]] = []
    again = scenes.write(
        tmp_path / "two", counts={"val2017": 12}, processes=2, progress=lambda done, total: seen.append((done, total))
    )
    assert again == scenes.content_hash(folder, "val2017") == scenes.content_hash(tmp_path / "two", "val2017")
    assert seen == [(5, 12), (10, 12), (12, 12)]


def test_hash_notices_a_changed_byte_and_another_seed(tmp_path: Path) -> None:
    first = scenes.write(tmp_path / "a", counts={"val2017": 2}, processes=1)
    assert first != scenes.write(tmp_path / "b", counts={"val2017": 2}, processes=1, seed=1)
    image = tmp_path / "a" / "val2017" / "000000000002.jpg"
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert scenes.content_hash(tmp_path / "a", "val2017") != first


def test_training_images_can_be_added_later(tmp_path: Path) -> None:
    root, counts = tmp_path / "root", {"val2017": 2, "train2017": 3}
    val = scenes.write(root, counts=counts, processes=1)
    before = (root / "val2017" / "000000000001.jpg").stat().st_mtime_ns
    both = scenes.write(root, splits=("val2017", "train2017"), counts=counts, processes=1)
    assert both != val == scenes.content_hash(root, "val2017")
    assert (root / "val2017" / "000000000001.jpg").stat().st_mtime_ns == before
    assert len(load(root, "captions", "train2017").anns) == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == [".root.lock", "root"]


def test_another_count_replaces_the_split(tmp_path: Path) -> None:
    root = tmp_path / "root"
    scenes.write(root, counts={"val2017": 3}, processes=1)
    scenes.write(root, counts={"val2017": 2}, processes=1)
    assert len(list((root / "val2017").iterdir())) == 2


def test_cache_renders_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COUNTS, "val2017", 2)
    monkeypatch.setenv("DECODER_BENCH_CACHE", str(tmp_path))
    root = scenes.cached()
    assert root == tmp_path / f"scenes-v{scenes.VERSION}-seed{SEED}"
    monkeypatch.setattr(scenes, "_render_split", lambda *_: pytest.fail("rendered again"))
    assert scenes.cached() == root == scenes.cached(cache=tmp_path)


def test_worlds_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COUNTS, "test2017", 2)
    rooms, simple = (scenes.cached(splits=("test2017",), world=world, cache=tmp_path) for world in WORLDS)
    assert rooms != simple
    assert scenes.content_hash(rooms, "test2017") != scenes.content_hash(simple, "test2017")


def test_a_root_is_rendered_again_for_another_world(tmp_path: Path) -> None:
    contents = [
        scenes.write(tmp_path / "root", counts={"val2017": 1}, world=world, processes=1)
        for world in ("rooms", "simple")
    ]
    assert contents[0] != contents[1]
    assert contents[1] == scenes.write(tmp_path / "root", counts={"val2017": 1}, world="simple", processes=1)


def test_simple_scenes_are_few_large_and_seen_whole() -> None:
    world = WORLDS["simple"]
    for index in range(30):
        scene = render("val2017", index, world="simple")
        assert 1 <= len(scene.objects) <= len(world.object_counts)
        assert len(scene.captions) == world.captions
        assert {caption.pattern for caption in scene.captions} <= set(world.patterns)
        for item, sprite, visible in zip(scene.layout.items, scene.layout.sprites, scene.layout.visible, strict=True):
            assert item.texture == "plain"
            assert visible.sum() >= world.visible_share * sprite.full_area


def test_a_deleted_file_is_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COUNTS, "val2017", 2)
    root = scenes.cached(cache=tmp_path)
    (root / "val2017" / "000000000002.jpg").unlink()
    assert scenes.cached(cache=tmp_path) == root
    assert (root / "val2017" / "000000000002.jpg").exists()


def test_a_killed_run_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    program = (
        "import sys; from pathlib import Path; from bench.data.scenes import dataset as scenes;"
        "scenes.CHUNK = 5; scenes.write(Path(sys.argv[1]), processes=1)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", program, str(root)], env=environment)
    while not list(tmp_path.glob(".root.partial-*/val2017/*.jpg")):
        assert process.poll() is None, "the program ended before it wrote an image"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".root.partial-*")) and not root.exists()
    scenes.write(root, counts={"val2017": 2}, processes=1)
    assert not list(tmp_path.glob(".root.partial-*"))
    assert len(list((root / "val2017").iterdir())) == 2


def test_a_run_killed_while_moving_in_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    scenes.write(root, counts={"val2017": 2}, processes=1, seed=1)  # whose marker must not vouch for the mixture
    moves = []

    def dies_at_the_fourth(source: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) == 4:
            raise KeyboardInterrupt
        return source.rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            scenes.write(root, counts={"val2017": 2}, processes=1)
    assert (root / "annotations" / "instances_val2017.json").exists()
    assert not (root / ".complete-val2017.json").exists()
    said = scenes.write(root, counts={"val2017": 2}, processes=1)
    assert said == scenes.content_hash(root, "val2017")
    assert json.loads((root / ".complete-val2017.json").read_text(encoding="utf-8"))["content"] == said
    assert not (root / ".incomplete-val2017").exists()


def test_someone_elses_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    with pytest.raises(SceneError, match="not rendered scenes; choose another folder"):
        scenes.write(tmp_path / "coco", counts={"val2017": 1}, processes=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splits": ("dev2017",)}, "unknown split 'dev2017'; expected one of val2017, train2017, test2017"),
        ({"splits": ()}, "no split given"),
        ({"counts": {"val2017": 0}}, "0 images given for val2017; expected 1 or more"),
        ({"seed": -1}, "seed -1 given"),
        ({"processes": 0}, "0 processes given"),
    ],
)
def test_refusals(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SceneError, match=message) as caught:
        scenes.write(tmp_path / "root", **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_unwritable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(SceneError, match=r"cannot write scenes to .*; choose a writable folder"):
        scenes.write(tmp_path / "file" / "root", counts={"val2017": 1}, processes=1)


def test_render_refuses_bad_arguments() -> None:
    with pytest.raises(SceneError, match="unknown split"):
        render("val", 0)
    with pytest.raises(SceneError, match="must be 0 or more"):
        render("val2017", -1)
