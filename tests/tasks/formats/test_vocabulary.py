"""The vocabulary is laid out as MAD's release lays it out, and grows only at its end."""

import pytest

from tasks.formats.vocabulary import Sizes, Vocabulary


def test_the_papers_sizes_give_the_layout_of_mads_release():
    vocabulary = Vocabulary(Sizes())
    expected = {
        "detection_prompt": (0, 6),
        "segmentation_prompt": (6, 7),
        "keypoints_prompt": (7, 8),
        "caption_prompt": (8, 14),
        "mask": (19, 20),
        "class": (20, 100),
        "no_object": (100, 101),
        "coordinate": (101, 602),
        "foreground": (602, 603),
        "background": (603, 604),
        "visible": (604, 605),
        "invisible": (605, 606),
        "word": (606, 12027),
    }
    assert {name: (vocabulary[name].start, vocabulary[name].stop) for name in expected} == expected


def test_ranges_are_contiguous_and_extras_come_last():
    vocabulary = Vocabulary(Sizes(), words=10, extra={"code": 4})
    stops = [0, *(found.stop for found in vocabulary)]
    assert [found.start for found in vocabulary] == stops[:-1]
    assert len(vocabulary) == stops[-1] == vocabulary["code"].stop
    assert len(vocabulary["word"]) == 10


def test_mistakes_are_named():
    vocabulary = Vocabulary(Sizes())
    with pytest.raises(KeyError, match="no range 'color'"):
        vocabulary["color"]
    with pytest.raises(ValueError, match="80 ids"):
        vocabulary.id("class")
    with pytest.raises(ValueError, match="exists already"):
        Vocabulary(Sizes(), extra={"word": 3})
    with pytest.raises(ValueError, match="size 0"):
        Vocabulary(Sizes(), extra={"code": 0})


@pytest.mark.parametrize(
    "wrong", [{"bins": 0}, {"caption_length": 1}, {"depth_grid": (0, 3)}, {"min_depth": 0.0}, {"max_depth": 0.1}]
)
def test_sizes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="sizes"):
        Sizes(**wrong)
