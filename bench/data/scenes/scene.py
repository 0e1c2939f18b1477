"""One scene: its objects, and how it is rendered from a seed, a split and an index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.data.scenes import captions as scene_captions
from bench.data.scenes import drawing as scene_drawing
from bench.data.scenes import layout as scene_layout
from bench.data.scenes.elements import CLASSES, SIZE, Layout, Scene, SceneObject
from bench.data.scenes.worlds import WORLDS, WorldName
from bench.errors import DataError

SEED = 2017
COUNTS: dict[str, int] = {"val2017": 300, "train2017": 16000, "test2017": 1000}
SPLITS = tuple(COUNTS)  # a split's position is part of every random stream


class SceneError(DataError):
    """The scenes cannot be rendered or written as asked; one line says what was given, expected, and the remedy."""


def render(split: str, index: int, *, seed: int = SEED, world: WorldName = "rooms") -> Scene:
    """Render one scene. Raises SceneError for an unknown split or a negative index or seed."""
    check_split(split)
    if index < 0 or seed < 0:
        raise SceneError(f"scene index {index} and seed {seed} given; both must be 0 or more")
    # One stream a purpose: a change to how pictures are drawn leaves captions and layouts as they are.
    streams = np.random.default_rng([seed, SPLITS.index(split), index]).spawn(5)
    layout = scene_layout.sample(streams[0], WORLDS[world])
    order = streams[4].permutation(len(layout.items))
    return Scene(
        image=scene_drawing.picture(layout, streams[1]),
        depth=scene_drawing.depth_map(layout, streams[2], patches=WORLDS[world].blind_patches),
        objects=tuple(_annotated(layout, int(position)) for position in order),
        captions=scene_captions.describe(layout, streams[3], WORLDS[world]),
        layout=layout,
    )


def _annotated(layout: Layout, position: int) -> SceneObject:
    item, mask = layout.items[position], layout.visible[position]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = float(columns[0]), float(rows[0])
    return SceneObject(
        category_id=1 + CLASSES.index(item.name),
        mask=mask,
        box=(left, top, float(columns[-1]) + 1 - left, float(rows[-1]) + 1 - top),
        depth=item.depth,
        keypoints=_keypoints(layout, position),
    )


def _keypoints(layout: Layout, position: int) -> npt.NDArray[np.float64] | None:
    """(17, 3): a person's joints with COCO's visibility flags; None for a shape."""
    points, pose = layout.sprites[position].keypoints, layout.items[position].pose
    if points is None or pose is None:
        return None
    nearer = np.zeros((SIZE, SIZE), dtype=np.bool_)
    for mask in layout.whole[:position]:
        nearer |= mask
    keypoints = np.zeros((17, 3))
    for k, (x, y) in enumerate(points):
        if 0 <= x < SIZE and 0 <= y < SIZE:
            hidden = nearer[int(y), int(x)] or k in pose.own_hidden
            keypoints[k] = (x, y, 1 if hidden else 2)
    return keypoints


def check_split(split: str) -> None:
    """Raise SceneError for an unknown split."""
    if split not in SPLITS:
        raise SceneError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
