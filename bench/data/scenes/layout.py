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
from bench.data.scenes.worlds import World

MIN_VISIBLE_AREA = 70  # pixels, of a shape
MIN_VISIBLE_AREA_PERSON = 130
MIN_SIDE = 7  # pixels
DEPTH_GAP = 0.12  # meters between any two objects: who is nearer is never a matter of rounding
PERSON_OVERHANG = 1.2  # times that of shapes


def sample(generator: np.random.Generator, world: World) -> Layout:
    """Draw a layout in which every object shows enough of itself. Uses ``generator`` only."""
    room = _room(generator, world)
    layout = Layout(room=room, items=(), sprites=(), whole=(), visible=())
    while not layout.items:  # the first object nearly always fits at once
        for name in _names(generator, world):
            layout = _add(generator, layout, name, world)
    return layout


def ground_row(room: Room, depth: float) -> float:
    """The pixel row in which the ground is ``depth`` meters away."""
    return room.horizon + FOCAL * room.height / depth


def _room(generator: np.random.Generator, world: World) -> Room:
    outdoors = generator.random() < 0.35
    grounds, walls = world.grounds[outdoors], world.walls[outdoors]
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


def _names(generator: np.random.Generator, world: World) -> list[str]:
    """Class names to place: persons first, since they need the most room."""
    count = int(generator.choice(len(world.object_counts), p=world.object_counts)) + 1
    names: list[str] = []
    if generator.random() < world.person_share:
        names.append("person")
        if count > 1 and generator.random() < world.second_person:
            names.append("person")
    while len(names) < count:
        shapes = [name for name in names if name != "person"]
        if shapes and generator.random() < world.repeated_class:
            names.append(shapes[int(generator.integers(len(shapes)))])
        else:
            names.append(CLASSES[1 + int(generator.integers(len(CLASSES) - 1))])
    return names


def _add(generator: np.random.Generator, layout: Layout, name: str, world: World) -> Layout:
    """``layout`` with one more object, or unchanged where no tried place left every object visible enough."""
    for _ in range(16):
        draw = _person if name == "person" else _shape
        item = draw(generator, layout.room, name, world)
        if item is None or any(abs(item.depth - other.depth) < DEPTH_GAP for other in layout.items):
            continue
        pose, light = item.pose, layout.room.light
        sprite = scene_person.draw(item, pose) if pose else scene_shapes.draw(item, light=light)
        grown = _with(layout, item, sprite, world.visible_share)
        if grown is not None:
            return grown
    return layout


def _with(layout: Layout, item: Item, sprite: Sprite, visible_share: float) -> Layout | None:
    nearer = sum(other.depth < item.depth for other in layout.items)
    items = (*layout.items[:nearer], item, *layout.items[nearer:])
    sprites = (*layout.sprites[:nearer], sprite, *layout.sprites[nearer:])
    whole = (*layout.whole[:nearer], sprite.coverage >= 0.5, *layout.whole[nearer:])
    taken = np.zeros((SIZE, SIZE), dtype=np.bool_)
    visible = []
    for candidate, drawn, mask in zip(items, sprites, whole, strict=True):
        seen = mask & ~taken
        if not _enough(candidate, seen, visible_share * drawn.full_area):
            return None
        visible.append(seen)
        taken |= mask
    return Layout(room=layout.room, items=items, sprites=sprites, whole=whole, visible=tuple(visible))


def _enough(item: Item, seen: Mask, share: float) -> bool:
    area = int(np.count_nonzero(seen))
    least = MIN_VISIBLE_AREA_PERSON if item.name == "person" else MIN_VISIBLE_AREA
    if area < max(least, share):
        return False
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return bool(rows[-1] - rows[0] + 1 >= MIN_SIDE and columns[-1] - columns[0] + 1 >= MIN_SIDE)


def _depth(generator: np.random.Generator, near: float, far: float) -> float:
    """Uniform in log depth: in the picture, the rows of the ground are then used about evenly."""
    return float(np.exp(generator.uniform(np.log(near), np.log(far))))


def _shape(generator: np.random.Generator, room: Room, name: str, world: World) -> Item | None:
    near, far = world.shape_depths
    depth = _depth(generator, near, min(room.wall_depth - 0.4, far))
    meters = float(generator.uniform(*world.shape_meters))
    size = FOCAL * meters / depth
    if not world.shape_sizes[0] <= size <= world.shape_sizes[1]:
        return None
    foot = ground_row(room, depth)
    if foot > SIZE + world.overhang * size:
        return None
    color, rgb = scene_shapes.pick_color(generator, world.colors)
    texture = world.textures[int(generator.integers(len(world.textures)))] if size >= 18 else "plain"
    return Item(
        name=name,
        color=color,
        rgb=rgb,
        texture=texture,
        depth=depth,
        meters=meters,
        size=size,
        x=float(generator.uniform(world.margin * size, SIZE - world.margin * size)),
        foot=foot,
        rotation=float(generator.uniform(-1.0, 1.0)) * world.turn * scene_shapes.TURN[name],
        pose=None,
    )


def _person(generator: np.random.Generator, room: Room, name: str, world: World) -> Item | None:
    meters = float(generator.uniform(1.35, 1.85))
    near, far = world.person_depths
    depth = _depth(generator, near, min(room.wall_depth - 0.4, far))
    size = FOCAL * meters / depth
    foot = ground_row(room, depth)
    if not world.person_sizes[0] <= size <= world.person_sizes[1]:
        return None
    if foot > SIZE + PERSON_OVERHANG * world.overhang * size or foot - size < -0.12 * size:
        return None
    color, rgb = scene_shapes.pick_color(generator, world.colors)
    return Item(
        name=name,
        color=color,
        rgb=rgb,
        texture="striped" if generator.random() < world.striped_persons else "plain",
        depth=depth,
        meters=meters,
        size=size,
        x=float(generator.uniform(0.05 * SIZE, 0.95 * SIZE)),
        foot=foot,
        rotation=0.0,
        pose=scene_person.sample_pose(generator),
    )
