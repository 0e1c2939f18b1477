"""What stands where: a scene is a camera, a room and one to five things on the floor, before a single pixel is drawn.

The room is a pinhole picture of a ground plane that ends at a wall. Whatever stands on the ground at depth ``Z`` has
its foot in row ``horizon + FOCAL * height / Z`` and appears ``FOCAL * meters / Z`` pixels large, so that nearer is
lower and bigger, and a reader of the picture can infer depth. Pixel coordinates are continuous: the pixel in the top
left corner reaches from 0 to 1 both ways and its center is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np

from bench.data.scenes import person as scene_person
from bench.data.scenes import shapes as scene_shapes
from bench.data.scenes.elements import CLASSES, FOCAL, SIZE, Item, Layout, Mask, Room, Sprite

PERSON_SHARE = 0.38
OBJECT_COUNTS = (0.14, 0.25, 0.27, 0.2, 0.14)  # probability of 1, 2, … 5 objects
SECOND_PERSON = 0.2
REPEATED_CLASS = 0.3
TEXTURES = ("plain", "plain", "striped", "dotted", "checkered")

MIN_VISIBLE_AREA = 70  # pixels, of a shape
MIN_VISIBLE_AREA_PERSON = 130
MIN_VISIBLE_SHARE = 0.4  # of everything the object would show were nothing in front of it and the picture endless
MIN_SIDE = 7  # pixels
DEPTH_GAP = 0.12  # meters between any two objects: who is nearer is never a matter of rounding

# What rooms exist. Grass and sand are outdoors, where a striped or a panelled wall would look odd.
INDOOR_GROUNDS = ("wood", "tiles", "checker", "carpet")
OUTDOOR_GROUNDS = ("grass", "sand")
INDOOR_WALLS = ("plain", "striped", "panelled", "brick")
OUTDOOR_WALLS = ("plain", "brick")


def sample(generator: np.random.Generator) -> Layout:
    """Draw a layout in which every object shows enough of itself. Uses ``generator`` only."""
    room = _room(generator)
    layout = Layout(room=room, items=(), sprites=(), whole=(), visible=())
    while not layout.items:  # the first object nearly always fits at once
        for name in _names(generator):
            layout = _add(generator, layout, name)
    return layout


def ground_row(room: Room, depth: float) -> float:
    """The pixel row in which the ground is ``depth`` meters away."""
    return room.horizon + FOCAL * room.height / depth


def _room(generator: np.random.Generator) -> Room:
    outdoors = generator.random() < 0.35
    grounds, walls = (OUTDOOR_GROUNDS, OUTDOOR_WALLS) if outdoors else (INDOOR_GROUNDS, INDOOR_WALLS)
    return Room(
        horizon=float(generator.uniform(30.0, 54.0)),
        height=float(generator.uniform(0.7, 1.3)),
        wall_depth=float(generator.uniform(5.0, 9.6)),
        shift=float(generator.uniform(0.0, 4.0)),
        ground=grounds[int(generator.integers(len(grounds)))],
        wall=walls[int(generator.integers(len(walls)))],
        palette=int(generator.integers(1 << 16)),
        light=float(generator.uniform(0.5, 1.0) * (1 if generator.random() < 0.5 else -1)),
    )


def _names(generator: np.random.Generator) -> list[str]:
    """Class names to place: persons first, since they need the most room."""
    count = int(generator.choice(5, p=OBJECT_COUNTS)) + 1
    names: list[str] = []
    if generator.random() < PERSON_SHARE:
        names.append("person")
        if count > 1 and generator.random() < SECOND_PERSON:
            names.append("person")
    while len(names) < count:
        shapes = [name for name in names if name != "person"]
        if shapes and generator.random() < REPEATED_CLASS:
            names.append(shapes[int(generator.integers(len(shapes)))])
        else:
            names.append(CLASSES[1 + int(generator.integers(len(CLASSES) - 1))])
    return names


def _add(generator: np.random.Generator, layout: Layout, name: str) -> Layout:
    """``layout`` with one more object, or unchanged where no tried place left every object visible enough."""
    for _ in range(16):
        item = _person(generator, layout.room) if name == "person" else _shape(generator, layout.room, name)
        if item is None or any(abs(item.depth - other.depth) < DEPTH_GAP for other in layout.items):
            continue
        pose, light = item.pose, layout.room.light
        sprite = scene_person.draw(item, pose) if pose else scene_shapes.draw(item, light=light)
        grown = _with(layout, item, sprite)
        if grown is not None:
            return grown
    return layout


def _with(layout: Layout, item: Item, sprite: Sprite) -> Layout | None:
    nearer = sum(other.depth < item.depth for other in layout.items)
    items = (*layout.items[:nearer], item, *layout.items[nearer:])
    sprites = (*layout.sprites[:nearer], sprite, *layout.sprites[nearer:])
    whole = (*layout.whole[:nearer], sprite.coverage >= 0.5, *layout.whole[nearer:])
    taken = np.zeros((SIZE, SIZE), dtype=np.bool_)
    visible = []
    for candidate, drawn, mask in zip(items, sprites, whole, strict=True):
        seen = mask & ~taken
        if not _enough(candidate, seen, drawn.full_area):
            return None
        visible.append(seen)
        taken |= mask
    return Layout(room=layout.room, items=items, sprites=sprites, whole=whole, visible=tuple(visible))


def _enough(item: Item, seen: Mask, full_area: float) -> bool:
    area = int(np.count_nonzero(seen))
    least = MIN_VISIBLE_AREA_PERSON if item.name == "person" else MIN_VISIBLE_AREA
    if area < max(least, MIN_VISIBLE_SHARE * full_area):
        return False
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return bool(rows[-1] - rows[0] + 1 >= MIN_SIDE and columns[-1] - columns[0] + 1 >= MIN_SIDE)


def _depth(generator: np.random.Generator, near: float, far: float) -> float:
    """Uniform in log depth: in the picture, the rows of the ground are then used about evenly."""
    return float(np.exp(generator.uniform(np.log(near), np.log(far))))


def _shape(generator: np.random.Generator, room: Room, name: str) -> Item | None:
    depth = _depth(generator, 0.75, min(room.wall_depth - 0.4, 6.5))
    meters = float(generator.uniform(0.28, 1.15))
    size = FOCAL * meters / depth
    if not 14.0 <= size <= 62.0:
        return None
    foot = ground_row(room, depth)
    if foot > SIZE + 0.25 * size:
        return None
    color, rgb = scene_shapes.pick_color(generator)
    texture = TEXTURES[int(generator.integers(len(TEXTURES)))] if size >= 18 else "plain"
    return Item(
        name=name,
        color=color,
        rgb=rgb,
        texture=texture,
        depth=depth,
        meters=meters,
        size=size,
        x=float(generator.uniform(0.2 * size, SIZE - 0.2 * size)),
        foot=foot,
        rotation=float(generator.uniform(-1.0, 1.0)) * scene_shapes.TURN[name],
        pose=None,
    )


def _person(generator: np.random.Generator, room: Room) -> Item | None:
    meters = float(generator.uniform(1.35, 1.85))
    depth = _depth(generator, 1.6, min(room.wall_depth - 0.4, 4.6))
    size = FOCAL * meters / depth
    foot = ground_row(room, depth)
    if not 40.0 <= size <= 112.0 or foot > SIZE + 0.3 * size or foot - size < -0.12 * size:
        return None
    color, rgb = scene_shapes.pick_color(generator)
    return Item(
        name="person",
        color=color,
        rgb=rgb,
        texture="striped" if generator.random() < 0.2 else "plain",
        depth=depth,
        meters=meters,
        size=size,
        x=float(generator.uniform(0.05 * SIZE, 0.95 * SIZE)),
        foot=foot,
        rotation=0.0,
        pose=scene_person.sample_pose(generator),
    )
