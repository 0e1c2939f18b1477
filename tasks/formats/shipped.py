"""Formats of the shipped tasks' sequences. Nothing here needs torch, so that ``describe`` shows them at once.

Each function takes the vocabulary, the sizes of a preset and, where the task is written in learned codes, the shape of
the codec; tasks name theirs as ``sequence_format``.
"""

from __future__ import annotations

from tasks.codecs.options import CodecOptions
from tasks.formats.sequence import SequenceFormat, Slot
from tasks.formats.vocabulary import CAPTION_PROMPT, DEPTH_CODE, DETECTION_PROMPT, MASK_CODE, Sizes, Vocabulary

BOX = 4
OBJECT_PROMPT = 1 + BOX + 1  # task, box, class

Slots = tuple[Slot, ...]


def mask_bits(vocabulary: Vocabulary, sizes: Sizes) -> tuple[Slots, int]:
    """Return slots and groups of a mask as bits: a row is a group."""
    bit = Slot((vocabulary["foreground"], vocabulary["background"]), dense=True)
    return (bit,) * sizes.mask_size, sizes.mask_size


def mask_codes(vocabulary: Vocabulary, codec: CodecOptions) -> tuple[Slots, int]:
    """Return slots and groups of a mask as codes."""
    side = codec.side // codec.ratio
    return (Slot((vocabulary[MASK_CODE],), dense=True),) * side, side


def detection_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """Object slots of five tokens; an unused one has the class ``no_object`` as its target."""
    no_object = vocabulary["no_object"]
    return SequenceFormat(
        task="detection",
        prompt_length=DETECTION_PROMPT,
        slots=(Slot((vocabulary["coordinate"],)),) * BOX + (Slot((vocabulary["class"],)),),
        groups=sizes.slots,
        target_only=(no_object,),
        matching="groups",
        unmatched=(no_object.start,) * (BOX + 1),
        unmatched_weights=(0.0,) * BOX + (1.0,),
    )


def segmentation_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """The mask of one object, in bits or codes."""
    return mask_format(*(mask_bits(vocabulary, sizes) if codec is None else mask_codes(vocabulary, codec)))


def mask_format(slots: Slots, groups: int) -> SequenceFormat:
    """The mask of one object in the slots of any format of masks."""
    return SequenceFormat(task="segmentation", prompt_length=OBJECT_PROMPT, slots=slots, groups=groups)


def keypoints_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """The joints of one person, each x, y and visibility."""
    coordinate = Slot((vocabulary["coordinate"],), dense=True)
    visibility = Slot((vocabulary["visible"], vocabulary["invisible"]), dense=True)
    return SequenceFormat(
        task="keypoints",
        prompt_length=OBJECT_PROMPT,
        slots=(coordinate, coordinate, visibility),
        groups=sizes.keypoints,
    )


def captioning_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """The pieces of a sentence, ended and padded by the first."""
    return SequenceFormat(
        task="captioning",
        prompt_length=CAPTION_PROMPT,
        slots=(Slot((vocabulary["word"],)),),
        groups=sizes.caption_length,
        end=vocabulary["word"].start,
        matching="alternatives",
    )


def depth_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """The cells of a depth map, in bins or codes: a row of the grid is a group."""
    rows, columns = sizes.depth_grid
    cell = Slot((vocabulary["depth_bin" if codec is None else DEPTH_CODE],), dense=True)
    return depth_map_format(vocabulary, (cell,) * columns, rows)


def depth_map_format(vocabulary: Vocabulary, slots: Slots, groups: int) -> SequenceFormat:
    """A depth map in the slots of any format; layout ``mad`` has a prompt, ``ait`` a start token."""
    prompted = vocabulary.sizes.layout == "mad"
    return SequenceFormat(
        task="depth",
        prompt_length=int(prompted),
        slots=slots,
        groups=groups,
        rivals=vocabulary.rivals(slots[0].ranges),
        start=None if prompted else vocabulary.id("depth_start"),
    )


def boxes_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """AiT's objects of a box and a class."""
    return object_sequence_format("boxes", vocabulary, sizes, ())


def instances_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None = None) -> SequenceFormat:
    """AiT's objects of a box, a class and the codes of a mask."""
    slots, groups = ((), 0) if codec is None else mask_codes(vocabulary, codec)
    return object_sequence_format("instances", vocabulary, sizes, slots * groups)


def object_sequence_format(task: str, vocabulary: Vocabulary, sizes: Sizes, codes: Slots) -> SequenceFormat:
    """All objects of an image in one sequence, each a box, a class and the slots ``codes``."""
    noise = vocabulary["no_object"]
    slots = (Slot((vocabulary["coordinate"],)),) * BOX + (Slot((vocabulary["class"],)), *codes)
    return SequenceFormat(
        task=task,
        prompt_length=0,
        slots=slots,
        groups=sizes.slots,
        target_only=(noise,),
        rivals=vocabulary.rivals([noise, *(each for slot in slots for each in slot.ranges)]),
        start=vocabulary.id(f"{task}_start"),
        counts_positions=True,
    )
