"""The palette: visible on light and dark ground, and told apart by readers who lack one kind of cone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from reports.style import FURTHER, PHASES, STRATEGIES, looks, phase_colors

LIGHT, DARK = "#ffffff", "#14171b"
# Machado, Oliveira and Fernandes 2009: complete lack of one kind of cone, on linear RGB.
CONES = {
    "all": np.eye(3),
    "no red": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "no green": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "no blue": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((float(XYZ[1] @ linear(color)) for color in (one, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    scaled = XYZ @ rgb.clip(0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("look", [*STRATEGIES.values(), *FURTHER], ids=lambda look: look.color)
def test_colors_stand_out_on_light_and_dark_ground(look) -> None:  # type: ignore[no-untyped-def]
    assert contrast(look.color, LIGHT) >= 3
    assert contrast(look.color, DARK) >= 3


@pytest.mark.parametrize("cones", CONES)
def test_strategies_are_told_apart(cones: str) -> None:
    for (one, a), (other, b) in combinations(STRATEGIES.items(), 2):
        far = float(np.linalg.norm(lab(CONES[cones] @ linear(a.color)) - lab(CONES[cones] @ linear(b.color))))
        assert far >= 8, f"{one} and {other} look alike ({far:.1f})"
        assert a.marker != b.marker


@pytest.mark.parametrize("cones", CONES)
def test_phases_are_told_apart_and_are_no_strategy(cones: str) -> None:
    colors = {name: lab(CONES[cones] @ linear(color)) for name, color in PHASES.items()}
    for (one, a), (other, b) in combinations(colors.items(), 2):
        assert float(np.linalg.norm(a - b)) >= 12, f"{one} and {other} look alike"
    if cones == "all":
        for name, color in colors.items():
            for strategy, look in STRATEGIES.items():
                far = float(np.linalg.norm(color - lab(linear(look.color))))
                assert far >= 12, f"{name} has the color of {strategy}"
    assert phase_colors(["decode.depth", "other"])["decode.depth"] == PHASES["decode.depth"]


def test_a_strategy_keeps_its_look_and_unknown_ones_get_one_of_their_own() -> None:
    assert looks(["mad"])["mad"] == looks(["other", "mad", "parallel"])["mad"] == STRATEGIES["mad"]
    many = looks([*STRATEGIES, *(f"strange-{number}" for number in range(len(FURTHER)))])
    assert len({(look.color, look.marker) for look in many.values()}) == len(many)
    assert looks([f"strange-{number}" for number in range(20)])
