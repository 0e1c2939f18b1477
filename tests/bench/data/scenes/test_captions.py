"""Captions of the embedded scenes are true, correct English, and no sentence pattern dominates."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from bench.data.scenes import captions as scene_captions
from bench.data.scenes.captions import Caption
from bench.data.scenes.elements import SIZE, Scene


def test_five_short_sentences_an_image(many_scenes: list[Scene]) -> None:
    for scene in many_scenes:
        assert len(scene.captions) == 5
        for caption in scene.captions:
            assert len(caption.text.split()) <= 15
            assert caption.text[0].isupper() and caption.text.endswith(".") and "  " not in caption.text


def test_no_pattern_dominates_and_words_are_few(many_scenes: list[Scene]) -> None:
    patterns = Counter(caption.pattern for scene in many_scenes for caption in scene.captions)
    assert len(patterns) >= 6
    assert max(patterns.values()) / patterns.total() < 0.35
    words = {
        w for scene in many_scenes for c in scene.captions for w in c.text.lower().strip(".").replace(",", "").split()
    }
    assert 85 <= len(words) <= 160
    distinct = np.mean([len({caption.text for caption in scene.captions}) for scene in many_scenes])
    assert distinct > 4.5


def test_claims_are_true(many_scenes: list[Scene]) -> None:
    kinds: Counter[str] = Counter()
    for scene in many_scenes:
        for caption in scene.captions:
            for claim in caption.claims:
                kinds[claim.kind] += 1
                assert claim_holds(scene, caption, claim), (caption, scene.layout.items)
    assert {"left", "right", "front", "behind", "near", "ground", "wall", "side", "color", "count"} <= set(kinds)


def claim_holds(scene: Scene, caption: Caption, claim: scene_captions.CaptionClaim) -> bool:  # noqa: PLR0911
    """Judged from boxes, depths and the plan, not with the functions that chose the words."""
    items, text = scene.layout.items, caption.text.lower()
    if claim.kind == "count":
        number, name = claim.value.split()
        true = len(items) if name == "object" else sum(item.name == name for item in items)
        return int(number) == true and (scene_captions.NUMBERS[true] in text or "a single" in text)
    if claim.kind in ("ground", "wall"):
        return bool(claim.value == getattr(scene.layout.room, claim.kind))
    item = items[claim.subject]
    left, right = extent(scene, claim.subject)
    if claim.kind in ("color", "texture"):
        return claim.value == getattr(item, claim.kind) and claim.value in text
    if claim.kind == "size":
        return (item.size > 40) if claim.value == "large" else (item.size < 24)
    if claim.kind == "side":
        middle = (left + right) / 2 / SIZE
        third = "left" if middle < 0.4 else "right" if middle > 0.6 else "middle"
        return claim.value == third and claim.value in text
    if claim.kind == "pose":
        pose = item.pose
        assert pose is not None
        holds = {"front": pose.facing, "back": not pose.facing, "waving": pose.raised == 1, "raised": pose.raised == 2}
        return bool(holds[claim.value])
    other = items[claim.other]
    other_left, other_right = extent(scene, claim.other)
    apart = (other_left + other_right - left - right) / 2
    overlap = min(right, other_right) - max(left, other_left)
    truths = {
        "left": apart > 10 and "left" in text,
        "right": apart < -10 and "right" in text,
        "front": item.depth < other.depth and overlap > 0 and "in front of" in text,
        "behind": item.depth > other.depth and overlap > 0 and "behind" in text,
        "near": overlap > -16 and abs(np.log(item.depth / other.depth)) < 0.3,
    }
    return bool(truths[claim.kind])


def extent(scene: Scene, position: int) -> tuple[float, float]:
    columns = np.flatnonzero(scene.layout.visible[position].any(axis=0))
    return float(columns[0]), float(columns[-1] + 1)


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(1, "star", "one star"), (2, "person", "two people"), (3, "cross", "three crosses"), (2, "plus", "two pluses")],
)
def test_plurals(number: int, noun: str, said: str) -> None:
    assert scene_captions.counted(number, noun, noun) == said


def test_articles(many_scenes: list[Scene]) -> None:
    assert scene_captions.with_article("orange star") == "an orange star"
    for scene in many_scenes:
        for caption in scene.captions:
            words = caption.text.lower().strip(".").replace(",", "").split()
            for article, word in itertools.pairwise(words):
                if article in ("a", "an"):
                    assert (article == "an") == (word[0] in "aeiou"), caption.text
