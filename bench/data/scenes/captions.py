"""Five true sentences about a scene, each with objects, order, words and sentence pattern of its own draw.

Every caption draws one of the sentence patterns that fit (all equally likely), an order of mention, and one of two or
three synonyms for each word. No pattern dominates, and the picture decides every word but the synonyms. Each caption
keeps the claims that it makes, so that a test can check them against the scene.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.data.scenes.elements import SIZE, Caption, CaptionClaim, Item, Layout, Pose
from bench.data.scenes.worlds import World

LONGEST = 15  # words

NUMBERS = ("no", "one", "two", "three", "four", "five")
NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "ball"),
    "square": ("square", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus"),
    "heart": ("heart",),
}
PLURALS = {"person": "people", "cross": "crosses", "plus": "pluses"}
GROUNDS: dict[str, tuple[str, ...]] = {
    "wood": ("a wooden floor", "wooden boards"),
    "tiles": ("a tiled floor", "the tiles"),
    "checker": ("a checkered floor",),
    "carpet": ("a carpet", "a rug"),
    "grass": ("the grass", "a lawn"),
    "sand": ("the sand", "a sandy ground"),
}
WALLS: dict[str, tuple[str, ...]] = {
    "plain": ("a plain wall", "a bare wall"),
    "striped": ("a striped wall", "striped wallpaper"),
    "panelled": ("a panelled wall",),
    "brick": ("a brick wall", "a wall of bricks"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "front": ("in front of",),
    "behind": ("behind",),
    "near": ("next to", "beside", "close to"),
}
BESIDE_IT: dict[str, tuple[str, ...]] = {
    "left": ("on its left",),
    "right": ("on its right",),
    "front": ("in front of it",),
    "behind": ("behind it",),
    "near": ("next to it", "beside it"),
}


def describe(layout: Layout, generator: np.random.Generator, world: World) -> tuple[Caption, ...]:
    """Captions of at most 15 words each; equal ones are redrawn a few times where the scene has more to say."""
    patterns = [p for p in _PATTERNS if not world.patterns or _name(p) in world.patterns]
    captions: list[Caption] = []
    attempts = 0
    while len(captions) < world.captions:
        attempts += 1
        speaker = _Speaker(layout, generator, synonyms=world.synonyms)
        pattern = patterns[int(generator.integers(len(patterns)))]
        sentence = pattern(speaker)
        if sentence is None or speaker.repeats or len(sentence.split()) > LONGEST:
            continue
        text = sentence[0].upper() + sentence[1:] + "."
        if attempts < 100 and any(text == other.text for other in captions):
            continue
        captions.append(Caption(text=text, pattern=_name(pattern), claims=tuple(speaker.claims)))
    return tuple(captions)


def _name(pattern: Callable[[_Speaker], str | None]) -> str:
    return pattern.__name__.strip("_")


def related(layout: Layout, kind: str, subject: int, other: int) -> bool:
    """Whether ``subject`` is "left" of, "right" of, in "front" of, "behind" or "near" ``other``, with a margin."""
    a, b = layout.items[subject], layout.items[other]
    (left_a, right_a), (left_b, right_b) = _span(layout, subject), _span(layout, other)
    apart = (left_a + right_a) / 2 - (left_b + right_b) / 2
    gap = max(left_a, left_b) - min(right_a, right_b)
    if kind == "left":
        return apart < -0.14 * SIZE
    if kind == "right":
        return apart > 0.14 * SIZE
    if kind == "front":
        return a.depth < 0.85 * b.depth and gap < -0.35 * min(right_a - left_a, right_b - left_b)
    if kind == "behind":
        return related(layout, "front", other, subject)
    return gap < 12 and 0.78 < a.depth / b.depth < 1.28


def side(layout: Layout, subject: int) -> str:
    """ "left", "right", "middle" of the picture, or "" in between."""
    left, right = _span(layout, subject)
    middle = (left + right) / 2 / SIZE
    if middle < 0.36:
        return "left"
    if middle > 0.64:
        return "right"
    return "middle" if 0.41 < middle < 0.59 else ""


def _span(layout: Layout, index: int) -> tuple[float, float]:
    columns = np.flatnonzero(layout.visible[index].any(axis=0))
    return float(columns[0]), float(columns[-1] + 1)


class _Speaker:
    """One caption in the making: draws words and notes their claims."""

    def __init__(self, layout: Layout, generator: np.random.Generator, *, synonyms: bool = True) -> None:
        self.layout = layout
        self.claims: list[CaptionClaim] = []
        self.repeats = False  # whether two objects got the same phrase ("a red star and a red star")
        self._said: set[str] = set()
        self._generator = generator
        self._synonyms = synonyms
        areas = [int(np.count_nonzero(mask)) for mask in layout.visible]
        # People mention what is prominent: persons, then the largest; never more than three things.
        ranked = sorted(range(len(areas)), key=lambda i: (self.item(i).name != "person", -areas[i]))
        self.prominent = ranked[:3]

    def item(self, index: int) -> Item:
        """The object at a position of the layout."""
        return self.layout.items[index]

    def pick(self, words: Sequence[str]) -> str:
        """One of the words, all equally likely; the first without synonyms."""
        if not self._synonyms:
            return words[0]
        return words[int(self._generator.integers(len(words)))]

    def order(self, count: int) -> list[int]:
        """The numbers below ``count``, shuffled."""
        return [int(i) for i in self._generator.permutation(count)]

    def some(self, count: int) -> list[int] | None:
        """``count`` different prominent objects in random order, or None where there are fewer."""
        if len(self.prominent) < count:
            return None
        return [self.prominent[i] for i in self.order(len(self.prominent))[:count]]

    def up_to_two(self) -> list[int]:
        """Two different prominent objects in random order, or the only one there is."""
        return self.some(2) or self.prominent

    def named(self, index: int) -> str:
        """A noun phrase with its article."""
        item = self.item(index)
        phrase = self._someone(index, item, item.pose) if item.pose else self._something(index, item)
        self.repeats |= phrase in self._said
        self._said.add(phrase)
        return phrase

    def relation(self, pair: Sequence[int], words: dict[str, tuple[str, ...]]) -> str | None:
        """A true relation of the first of the pair to the second in words, or None."""
        subject, other = pair
        kinds = [kind for kind in RELATIONS if related(self.layout, kind, subject, other)]
        if not kinds:
            return None
        kind = self.pick(kinds)
        self.claims.append(CaptionClaim(kind=kind, subject=subject, other=other))
        return self.pick(words[kind])

    def ground(self) -> str:
        """What the objects stand on."""
        self.claims.append(CaptionClaim(kind="ground", value=self.layout.room.ground))
        return self.pick(GROUNDS[self.layout.room.ground])

    def wall(self) -> str:
        """What is behind them."""
        self.claims.append(CaptionClaim(kind="wall", value=self.layout.room.wall))
        return self.pick(WALLS[self.layout.room.wall])

    def stands(self, index: int) -> str:
        """ "is", or another verb that fits the object."""
        item = self.item(index)
        if item.pose is None or not self._synonyms:
            return self.pick(("is", "stands"))
        if item.pose.raised == 1:
            self.claims.append(CaptionClaim(kind="pose", subject=index, value="waving"))
            return self.pick(("is waving", "waves"))
        return self.pick(("is standing", "stands"))

    def _someone(self, index: int, item: Item, pose: Pose) -> str:
        noun = self.pick(("person", "figure"))
        if not self._synonyms:
            self.claims.append(CaptionClaim(kind="color", subject=index, value=item.color))
            return f"a {noun} in {item.color}"
        if pose.raised == 2 and self._generator.random() < 0.4:
            self.claims.append(CaptionClaim(kind="pose", subject=index, value="raised"))
            return f"a {noun} with raised arms"
        if self._generator.random() < 0.15:
            value = "front" if pose.facing else "back"
            self.claims.append(CaptionClaim(kind="pose", subject=index, value=value))
            return f"a {noun} facing us" if pose.facing else f"a {noun} seen from behind"
        self.claims.append(CaptionClaim(kind="color", subject=index, value=item.color))
        return self.pick((f"a {noun} in {item.color}", f"a {noun} wearing {item.color}"))

    def _something(self, index: int, item: Item) -> str:
        noun = self.pick(NOUNS[item.name])
        self.claims.append(CaptionClaim(kind="color", subject=index, value=item.color))
        words = [item.color, noun]
        extra = self._generator.random() if self._synonyms else 1.0
        if extra < 0.3 and item.texture != "plain":
            self.claims.append(CaptionClaim(kind="texture", subject=index, value=item.texture))
            words.insert(0, item.texture)
        elif extra < 0.3 and size_word(item):
            self.claims.append(CaptionClaim(kind="size", subject=index, value=size_word(item)))
            words.insert(0, self.pick(("large", "big") if size_word(item) == "large" else ("small", "little")))
        return with_article(" ".join(words))


def size_word(item: Item) -> str:
    """ "large" or "small" as the object appears, or "" in between."""
    return "large" if item.size > 42 else "small" if item.size < 22 else ""


def with_article(phrase: str) -> str:
    """``phrase`` after "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def counted(number: int, name: str, noun: str) -> str:
    """ "one star", "two people"."""
    return f"{NUMBERS[number]} {noun if number == 1 else PLURALS.get(noun, PLURALS.get(name, noun + 's'))}"


def _joined(phrases: Sequence[str]) -> str:
    return " and ".join((", ".join(phrases[:-1]), phrases[-1])) if len(phrases) > 1 else phrases[0]


# --- the patterns: each returns a sentence without capital and full stop, or None where it does not fit --------------


def _related(speaker: _Speaker) -> str | None:
    pair = speaker.some(2)
    relation = speaker.relation(pair, RELATIONS) if pair else None
    if pair is None or relation is None:
        return None
    return f"{speaker.named(pair[0])} {speaker.stands(pair[0])} {relation} {speaker.named(pair[1])}"


def _there_is(speaker: _Speaker) -> str | None:
    pair = speaker.some(2)
    if pair is None:
        (only,) = speaker.prominent
        return f"there is {speaker.named(only)} on {speaker.ground()}"
    relation = speaker.relation(pair, RELATIONS)
    opening = speaker.pick(("there is", "we see"))
    return f"{opening} {speaker.named(pair[0])} {relation} {speaker.named(pair[1])}" if relation else None


def _with_another(speaker: _Speaker) -> str | None:
    pair = speaker.some(2)
    relation = speaker.relation(pair[::-1], BESIDE_IT) if pair else None
    if pair is None or relation is None:
        return None
    if speaker.item(pair[0]).name == "person":
        relation = relation.replace("its", "the").replace("it", "them")
    return f"{speaker.named(pair[0])} with {speaker.named(pair[1])} {relation}"


def _on_ground(speaker: _Speaker) -> str | None:
    objects = speaker.up_to_two()
    phrase = _joined([speaker.named(i) for i in objects])
    verb = f" {speaker.stands(objects[0])}" if len(objects) == 1 else ""
    return f"{phrase}{verb} on {speaker.ground()}"


def _ground_first(speaker: _Speaker) -> str | None:
    objects = speaker.up_to_two()
    return f"on {speaker.ground()} there is {_joined([speaker.named(i) for i in objects])}"


def _at_wall(speaker: _Speaker) -> str | None:
    objects = speaker.up_to_two()
    return f"{_joined([speaker.named(i) for i in objects])} in front of {speaker.wall()}"


def _sides(speaker: _Speaker) -> str | None:
    objects = speaker.up_to_two()
    places = [side(speaker.layout, i) for i in objects]
    if not all(places) or len(set(places)) < len(places):
        return None
    for index, place in zip(objects, places, strict=True):
        speaker.claims.append(CaptionClaim(kind="side", subject=index, value=place))
    phrases = [
        f"{speaker.named(i)} {'in' if place == 'middle' else 'on'} the {place}"
        for i, place in zip(objects, places, strict=True)
    ]
    return _joined(phrases) if len(phrases) > 1 else f"{phrases[0]} of the picture"


def _counts(speaker: _Speaker) -> str | None:
    """All objects by class: "two stars and one ring on the grass"."""
    names = [item.name for item in speaker.layout.items]
    kinds = sorted(set(names), key=names.index)
    if len(kinds) > 3:
        return None
    kinds = [kinds[i] for i in speaker.order(len(kinds))]
    phrases = []
    for name in kinds:
        number = names.count(name)
        speaker.claims.append(CaptionClaim(kind="count", value=f"{number} {name}"))
        phrases.append(counted(number, name, speaker.pick(NOUNS.get(name, ("person",)))))
    if len(names) == 1:
        phrases[0] = phrases[0].replace("one", speaker.pick(("one", "a single", "only one")), 1)
    return f"{_joined(phrases)} on {speaker.ground()}"


def _total(speaker: _Speaker) -> str | None:
    """The number of objects and one of them: "three objects, one of them a red star"."""
    number = len(speaker.layout.items)
    objects = speaker.some(1)
    if number < 2 or objects is None:
        return None
    speaker.claims.append(CaptionClaim(kind="count", value=f"{number} object"))
    noun = speaker.pick(("objects", "things"))
    return f"{NUMBERS[number]} {noun} on {speaker.ground()}, one of them {speaker.named(objects[0])}"


def _list(speaker: _Speaker) -> str | None:
    objects = speaker.some(3)
    return _joined([speaker.named(i) for i in objects]) if objects else None


_PATTERNS: tuple[Callable[[_Speaker], str | None], ...] = (
    _related,
    _there_is,
    _with_another,
    _on_ground,
    _ground_first,
    _at_wall,
    _sides,
    _counts,
    _total,
    _list,
)
