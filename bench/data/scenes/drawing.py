"""A layout becomes a picture and a depth map: the room in perspective, shadows, objects from far to near, sensor noise.

The ground is textured in meters, so its pattern shrinks towards the wall as a real floor's does; fine lines fade out
before they would alias. The depth map follows the same geometry and then suffers what a Kinect does to it: coarser
steps farther away, a blind strip beside near edges, a few blind patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from bench.data.scenes.elements import FOCAL, SIZE, Floats, Item, Layout, Room

NEAREST, FARTHEST = 0.5, 10.0  # meters
ROWS = 2  # samples per pixel and direction of the room's textures

# (wall, ground without a color of its own): muted pairs that go together.
PALETTES: tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...] = (
    ((214, 206, 190), (150, 122, 98)),
    ((186, 200, 208), (138, 130, 122)),
    ((196, 208, 190), (160, 136, 108)),
    ((222, 200, 190), (128, 116, 114)),
    ((202, 196, 212), (140, 128, 136)),
    ((226, 216, 184), (126, 128, 112)),
    ((178, 194, 190), (152, 132, 112)),
    ((206, 202, 196), (110, 118, 128)),
)
WOODS = ((176, 136, 98), (150, 112, 80), (192, 156, 116), (128, 98, 76))
GRASSES = ((128, 156, 96), (140, 160, 104), (112, 146, 98))
SANDS = ((220, 200, 158), (210, 188, 146), (226, 208, 174))
BRICKS = ((178, 120, 100), (168, 132, 112), (190, 150, 126), (160, 112, 100))


@dataclass(frozen=True, slots=True)
class _Ground:
    """Meters to the right ``x`` (R, C), ahead ``z`` (R, 1) and the size of a sample in meters both ways (R, 1)."""

    x: Floats
    z: Floats
    wide: Floats
    deep: Floats


def picture(layout: Layout, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The RGB image (H, W, 3)."""
    canvas = _room(layout.room, generator)
    canvas *= _shadows(layout)[..., None]
    for sprite in reversed(layout.sprites):
        canvas *= 1 - sprite.coverage[..., None]
        canvas += sprite.color
    canvas += generator.standard_normal(canvas.shape, dtype=np.float32) * np.float32(generator.uniform(1.0, 3.0))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def depth_map(layout: Layout, generator: np.random.Generator, *, patches: int) -> npt.NDArray[np.float32]:
    """Depth (H, W) in meters, within 0.5 … 10 where valid and 0 where invalid; ``patches`` is the most blind ones."""
    depth = _room_depth(layout.room)
    for item, visible in zip(layout.items, layout.visible, strict=True):
        depth = np.where(visible, _relief(item), depth)
    invalid = _blind_strip(depth) | _blind_patches(generator, patches)
    invalid |= generator.random(depth.shape, dtype=np.float32) < 0.004
    # The step grows with the square of the distance, as for every sensor that measures disparity.
    disparity = 1000.0 / depth + generator.standard_normal(depth.shape, dtype=np.float32) * np.float32(0.35)
    measured = np.clip(1000.0 / np.maximum(np.rint(disparity), 1.0), NEAREST, FARTHEST)
    return np.where(invalid, np.float32(0), measured).astype(np.float32)


# --- the room -------------------------------------------------------------------------------------------------------


def _wall_row(room: Room) -> int:
    """The first row of ground, counted in samples of the room's textures."""
    return round((room.horizon + FOCAL * room.height / room.wall_depth) * ROWS)


def _columns() -> Floats:
    return (np.arange(SIZE * ROWS, dtype=np.float32)[None] + np.float32(0.5)) / np.float32(ROWS)


def _room(room: Room, generator: np.random.Generator) -> Floats:
    """The empty room (H, W, 3) in 0…255."""
    split = _wall_row(room)
    samples = np.concatenate((_wall(room, generator, split), _floor(room, generator, split)))
    return np.asarray(samples.reshape(SIZE, ROWS, SIZE, ROWS, 3).mean(axis=(1, 3)), dtype=np.float32)


def _floor(room: Room, generator: np.random.Generator, split: int) -> Floats:
    rows = (np.arange(split, SIZE * ROWS, dtype=np.float32)[:, None] + np.float32(0.5)) / np.float32(ROWS)
    z = FOCAL * np.float32(room.height) / (rows - np.float32(room.horizon))
    x = (_columns() - SIZE / 2) * z / FOCAL - np.float32(room.shift)
    ground = _Ground(x, z, z / FOCAL / ROWS, z * z / (FOCAL * room.height) / ROWS)
    tint, tone = _GROUNDS[room.ground](room, ground, generator)
    # Darker where the floor meets the wall, a little brighter towards the light.
    tone = tone * (1 - 0.2 * np.exp((z - room.wall_depth) / 0.45)) * (0.93 + 0.05 * (rows - room.horizon) / SIZE * 2)
    tone = tone * (1 + 0.06 * room.light * (_columns() - SIZE / 2) / SIZE * 2)
    return _colored(tint, tone)


def _wall(room: Room, generator: np.random.Generator, split: int) -> Floats:
    rows = (np.arange(split, dtype=np.float32)[:, None] + np.float32(0.5)) / np.float32(ROWS)
    meter = np.float32(room.wall_depth / FOCAL)  # meters a pixel
    across = (_columns() - SIZE / 2) * meter - np.float32(room.shift)
    up = np.float32(room.height) - (rows - np.float32(room.horizon)) * meter
    tint, tone = _WALLS[room.wall](room, across, up, generator)
    tone = tone * (1 + 0.1 * room.light * (_columns() - SIZE / 2) / SIZE * 2) * (0.94 + 0.1 * rows / SIZE)
    if room.ground not in ("grass", "sand"):
        tone = np.where(up < 0.16, 1.07 * tone, tone)  # skirting board
        tone = np.where((up > 0.16) & (up < 0.16 + 1.2 * meter), 0.88 * tone, tone)
    tone = tone * (1 - 0.16 * np.exp(-np.maximum(up, 0) / 0.3))
    return _colored(tint, tone)


def _colored(tint: tuple[int, int, int], tone: Floats) -> Floats:
    full = np.broadcast_to(tone, (tone.shape[0], SIZE * ROWS)).astype(np.float32)
    return full[..., None] * np.array(tint, dtype=np.float32)


@cache
def _noise() -> Floats:
    """A (256, 256) tile of smooth noise, mean 0, spread 1, that repeats without a seam."""
    field = np.random.default_rng(7).standard_normal((256, 256))
    spectrum = np.fft.fft2(field)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    smooth = np.fft.ifft2(spectrum * np.exp(-((frequency / 0.09) ** 2))).real
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _mottle(x: Floats, y: Floats, start: int) -> Floats:
    """Noise at the given tile coordinates (any numbers; they wrap)."""
    columns = (x + start % 256).astype(np.int32) & 255
    rows = (y + start // 256).astype(np.int32) & 255
    return np.asarray(_noise()[rows, columns])


def _table(generator: np.random.Generator) -> Floats:
    """64 random numbers within ±1, looked up by the index of a plank, tile or brick."""
    return generator.uniform(-1, 1, size=64).astype(np.float32)


def _seam(position: Floats, period: float, width: float, sample: Floats | float) -> Floats:
    """How much of a sample is covered by lines ``width`` thick every ``period``, fading as they get finer."""
    away = np.abs((position / period + 0.5) % 1.0 - 0.5) * period
    spread = np.maximum(width, sample)
    return np.asarray(np.clip(1.0 - away / spread, 0, 1) * np.minimum(width / spread, 1.0), dtype=np.float32)


def _fade(sample: Floats, period: float) -> Floats:
    """1 where a pattern of this period is well resolved, 0 where it is finer than the samples."""
    return np.asarray(np.clip(1.4 - 2.4 * sample / np.float32(period), 0, 1))


Painted = tuple[tuple[int, int, int], Floats]


def _palette(room: Room) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return PALETTES[room.palette % len(PALETTES)]


def _wood(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    table, width = _table(generator), 0.26
    plank = np.floor(ground.x / width).astype(np.int32)
    start = table[(plank * 7) & 63] * 2
    board = np.floor(ground.z / 1.6 + start).astype(np.int32)
    tone = 1 + 0.07 * table[(plank * 5 + board * 11) & 63] * _fade(ground.wide, width)
    tone = tone + 0.02 * _mottle(ground.x * 60, ground.z * 6, room.palette) * _fade(ground.wide, 0.06)
    tone = tone - 0.3 * _seam(ground.x, width, 0.014, ground.wide)
    tone = tone - 0.25 * _seam(ground.z + start * 1.6, 1.6, 0.02, ground.deep)
    return WOODS[room.palette % len(WOODS)], tone


def _tiles(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    table, width = _table(generator), 0.55
    i, j = np.floor(ground.x / width).astype(np.int32), np.floor(ground.z / width).astype(np.int32)
    tone = 1.06 + 0.035 * table[(i * 7 + j * 13) & 63] * _fade(ground.deep, width)
    grout = np.maximum(_seam(ground.x, width, 0.022, ground.wide), _seam(ground.z, width, 0.03, ground.deep))
    return _palette(room)[1], tone + 0.22 * grout


def _checker(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    width = 0.6
    odd = (np.floor(ground.x / width) + np.floor(ground.z / width)) % 2
    tone = 1.12 + 0.2 * (odd - 0.5) * _fade(ground.deep, width)
    tone = tone + 0.015 * _mottle(ground.x * 40, ground.z * 30, room.palette)
    return _palette(room)[1], tone.astype(np.float32)


def _carpet(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    band = np.sin(ground.z * np.float32(2 * np.pi / 0.9)) * _fade(ground.deep, 0.5)
    tone = 1.05 + 0.05 * np.tanh(3 * band) + 0.025 * _mottle(ground.x * 150, ground.z * 110, room.palette)
    return _palette(room)[1], tone


def _grass(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    fine = _mottle(ground.x * 170, ground.z * 90, room.palette) * _fade(ground.deep, 0.12)
    tone = 1 + 0.05 * fine + 0.03 * _mottle(ground.x * 14, ground.z * 12, room.palette + 77)
    return GRASSES[room.palette % len(GRASSES)], tone


def _sand(room: Room, ground: _Ground, generator: np.random.Generator) -> Painted:
    bend = _mottle(ground.x * 6, ground.z * 6, room.palette)
    ripple = np.sin(ground.z * np.float32(2 * np.pi / 0.42) + 1.1 * bend) * _fade(ground.deep, 0.3)
    tone = 1 + 0.022 * ripple + 0.016 * _mottle(ground.x * 180, ground.z * 110, room.palette)
    return SANDS[room.palette % len(SANDS)], tone


def _plain(room: Room, across: Floats, up: Floats, generator: np.random.Generator) -> Painted:
    tone = 1 + 0.012 * _mottle(across * 12 + 0 * up, up * 12 + 0 * across, room.palette)
    return _palette(room)[0], tone


def _striped(room: Room, across: Floats, up: Floats, generator: np.random.Generator) -> Painted:
    tone = 1 + 0.045 * np.tanh(6 * np.sin(across * np.float32(2 * np.pi / 0.8))) + 0 * up
    return _palette(room)[0], tone


def _panelled(room: Room, across: Floats, up: Floats, generator: np.random.Generator) -> Painted:
    low = up < 1.0
    panel = 0.86 - 0.12 * _seam(across, 0.7, 0.04, room.wall_depth / FOCAL / ROWS)
    tone = np.where(low, panel, 1.02 + 0 * across)
    return _palette(room)[0], np.where(np.abs(up - 1.02) < 0.05, 1.08, tone)


def _brick(room: Room, across: Floats, up: Floats, generator: np.random.Generator) -> Painted:
    table, high, long = _table(generator), 0.3, 0.75
    course = np.floor(up / high).astype(np.int32)
    shifted = across + np.float32(long / 2) * (course & 1)
    brick = np.floor(shifted / long).astype(np.int32)
    sample = room.wall_depth / FOCAL / ROWS
    mortar = np.maximum(_seam(up, high, 0.035, sample), _seam(shifted, long, 0.035, sample))
    tone = (1.02 + 0.05 * table[(brick * 7 + course * 11) & 63]) * (1 - mortar) + 1.22 * mortar
    return BRICKS[room.palette % len(BRICKS)], tone


_GROUNDS = {"wood": _wood, "tiles": _tiles, "checker": _checker, "carpet": _carpet, "grass": _grass, "sand": _sand}
_WALLS = {"plain": _plain, "striped": _striped, "panelled": _panelled, "brick": _brick}


# --- shadows and depth ----------------------------------------------------------------------------------------------


def _room_depth(room: Room) -> Floats:
    """Depth of the empty room (H, W) in meters: the ground as far as the wall, then the wall."""
    rows = np.arange(SIZE, dtype=np.float32)[:, None] + np.float32(0.5)
    below = np.maximum(rows - np.float32(room.horizon), np.float32(1e-3))
    ground = np.minimum(FOCAL * np.float32(room.height) / below, np.float32(room.wall_depth))
    return np.broadcast_to(ground, (SIZE, SIZE)).astype(np.float32)


def _shadows(layout: Layout) -> Floats:
    """Brightness factor (H, W): a soft ellipse on the ground under every object, away from the light."""
    room = layout.room
    depth = _room_depth(room)
    columns = np.arange(SIZE, dtype=np.float32)[None] + np.float32(0.5)
    x = (columns - SIZE / 2) * depth / FOCAL
    factor = np.ones((SIZE, SIZE), dtype=np.float32)
    rows = np.arange(SIZE)[:, None]
    for item in layout.items:
        reach = item.meters * (0.26 if item.name == "person" else 0.5)
        middle = (item.x - SIZE / 2) * item.depth / FOCAL - 0.25 * reach * room.light
        along = ((x - middle) / reach) ** 2 + ((depth - item.depth) / max(0.6 * reach, 0.16)) ** 2
        factor *= 1 - np.float32(0.42) * np.exp(-1.6 * along)
    return np.where(rows >= _wall_row(room) // ROWS, factor, 1.0).astype(np.float32)


def _relief(item: Item) -> Floats:
    """Depth (H, W) of an object's front: its own distance, bulging a little towards the camera in its middle."""
    y, x = np.ogrid[0:SIZE, 0:SIZE]
    half = item.size / 2
    distance = ((x + 0.5 - item.x) / half) ** 2 + ((y + 0.5 - (item.foot - half)) / half) ** 2
    bulge = 0.05 if item.name == "person" else 0.1 * item.meters
    return (item.depth - bulge * np.clip(1 - distance, 0, 1)).astype(np.float32)


def _blind_strip(depth: Floats) -> npt.NDArray[np.bool_]:
    """Background left of a near edge that the projector, sitting to the right of the camera, cannot reach."""
    disparity = 9.0 / depth
    blind = np.zeros(depth.shape, dtype=np.bool_)
    for shift in range(1, 5):
        blind[:, :-shift] |= disparity[:, shift:] - disparity[:, :-shift] >= shift
    return blind


def _blind_patches(generator: np.random.Generator, most: int) -> npt.NDArray[np.bool_]:
    """Up to ``most`` ragged patches and a margin of the picture without a measurement."""
    y, x = np.ogrid[0:SIZE, 0:SIZE]
    blind = np.zeros((SIZE, SIZE), dtype=np.bool_)
    for _ in range(int(generator.integers(1, most + 1))):
        center_x, center_y = generator.uniform(0, SIZE, size=2)
        radius_x, radius_y = generator.uniform(3, 13, size=2)
        blind |= ((x - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2 < 1
    ragged = _noise()[tuple(np.ix_(*(_window(generator) for _ in range(2))))] > -0.6
    blind &= ragged
    blind[:, : int(generator.integers(0, 4))] = True
    return blind


def _window(generator: np.random.Generator) -> npt.NDArray[np.intp]:
    start = int(generator.integers(256))
    return (np.arange(SIZE) + start) % 256
