"""What a task asks for and what it gets back: the format of a sequence, its targets, and a decoded sequence.

torch is imported where tensors are made, as a format can be described without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from tasks.formats.vocabulary import IdRange

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Slot:
    """One position of a group: the ranges whose ids may be decoded there, and whether AiT calls the position dense."""

    ranges: tuple[IdRange, ...]
    dense: bool = False

    @cached_property
    def ids(self) -> Tensor:
        """(K,) int64: the ids that may be decoded here, in ascending order."""
        import torch

        return torch.cat([torch.arange(r.start, r.stop) for r in sorted(self.ranges)])


@dataclass(frozen=True)
class SequenceFormat:
    """Format of a task's sequences: ``groups`` repetitions of the same few slots behind a prompt.

    Args:
        task: name of the task.
        prompt_length: P, prompt tokens in front of the targets.
        slots: positions of one group (5 to a box, 3 to a joint, M mask bits to a row).
        groups: groups in a sequence; ``length`` is ``groups * len(slots)``.
        target_only: ranges that may be a training target but are never decoded (``no_object``).
        end: id that ends and pads a sequence, or None where every position counts (only captions end early).
        matching: how the targets of a sequence are chosen in training: ``fixed``; ``groups`` where the groups are a set
            that is matched to the predicted ones (object slots); ``alternatives`` where any of an image's sequences
            will do (references of a caption).
        unmatched: target tokens of a group that no object was matched to, for ``groups``.
        unmatched_weights: their loss weights.
        start: id in front of the first target where decoding is causal; None: the vocabulary's ``start``.
        dense_loss: loss of the dense positions read softly and as a whole (AiT section 3.3): logits (R, L, V) of R
            sequences and their ``originals`` (R, ...) to a scalar; None where tokens are all there is.
        rivals: ranges that share the softmax in training though the task never uses them (AiT's release trains every
            task over its whole vocabulary); decoding does not know of them.
        counts_positions: whether the mean loss divides by the number of positions that have weight instead of by the
            sum of their weights (AiT's release, whose mask codes weigh .2).
    """

    task: str
    prompt_length: int
    slots: tuple[Slot, ...]
    groups: int
    target_only: tuple[IdRange, ...] = ()
    end: int | None = None
    matching: str = "fixed"
    unmatched: tuple[int, ...] = ()
    unmatched_weights: tuple[float, ...] = ()
    start: int | None = None
    dense_loss: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, compare=False)
    rivals: tuple[IdRange, ...] = ()
    counts_positions: bool = False

    @property
    def length(self) -> int:
        """L, target tokens of a sequence."""
        return self.groups * len(self.slots)

    @cached_property
    def ranges(self) -> tuple[IdRange, ...]:
        """The task's vocabulary: every range that occurs at some position, in order of id."""
        return tuple(sorted({r for slot in self.slots for r in slot.ranges} | set(self.target_only)))

    @cached_property
    def ids(self) -> Tensor:
        """(V,) int64: ids of the task's vocabulary in ascending order; column v of a probability is of ``ids[v]``."""
        import torch

        return torch.cat([torch.arange(r.start, r.stop) for r in self.ranges])

    @cached_property
    def trained(self) -> tuple[Tensor, Tensor]:
        """Ids (W,) int64 of the softmax in training, ascending, and columns (V,) of ``ids`` among them."""
        import torch

        ids = torch.cat([torch.arange(r.start, r.stop) for r in sorted({*self.ranges, *self.rivals})])
        return ids, torch.searchsorted(ids, self.ids)

    @cached_property
    def legal(self) -> Tensor:
        """(L, V) bool: which columns may be decoded at which position."""
        import torch

        rows = [torch.isin(self.ids, slot.ids) for slot in self.slots]
        return torch.stack(rows).repeat(self.groups, 1)  # (groups * slots, V)

    @cached_property
    def dense(self) -> Tensor:
        """(L,) bool: positions that hold dense codes or bits."""
        import torch

        return torch.tensor([slot.dense for slot in self.slots]).repeat(self.groups)

    def column(self, range_: IdRange) -> slice:
        """Columns of one range within the task's vocabulary."""
        start = 0
        for other in self.ranges:
            if other == range_:
                return slice(start, start + len(other))
            start += len(other)
        raise ValueError(f"{self.task} has no range {range_.name!r}; it has {', '.join(r.name for r in self.ranges)}")

    def columns_of(self, tokens: Tensor) -> Tensor:
        """Columns of ids; same shape as ``tokens``. Raises ValueError for an id outside the task's vocabulary."""
        import torch

        columns = torch.searchsorted(self.ids.to(tokens.device), tokens.contiguous()).clamp(max=len(self.ids) - 1)
        wrong = self.ids.to(tokens.device)[columns] != tokens
        if bool(wrong.any()):
            raise ValueError(f"{self.task}: token {int(tokens[wrong][0])} is not in the task's vocabulary")
        return columns


def with_dense_loss(format: SequenceFormat, part: Any) -> SequenceFormat:
    """The format with the loss of the part that its dense tokens are made by, if that has one.

    Args:
        format: format of the task's sequences.
        part: may have ``dense_loss(logits, originals, format)``.
    """
    loss = getattr(part, "dense_loss", None)
    return format if loss is None else replace(format, dense_loss=partial(loss, format=format))


@dataclass(frozen=True)
class Encoded:
    """Target sequences of one image.

    Args:
        tokens: (N, L) int64 target ids.
        weights: (N, L) float loss weights; 0 where the annotation says nothing.
        prompts: (N, P) int64 prompt ids.
    """

    tokens: Tensor
    weights: Tensor
    prompts: Tensor

    def rows(self, index: Tensor) -> Encoded:
        """The sequences at ``index`` (int64), in that order; they stay on their own device."""
        index = index.to(self.tokens.device)
        return Encoded(self.tokens[index], self.weights[index], self.prompts[index])


@dataclass(frozen=True)
class TrainingBatch:
    """Target sequences of B images of one task, as a strategy trains on them.

    Args:
        prompts: (B, N, P) int64.
        tokens: (B, N, L) int64; groups that are no object hold noise tokens.
        weights: (B, N, L) float; 0 where the annotation says nothing, and for sequences that only pad an image. Groups
            that are no object carry the format's ``unmatched_weights``, so a sequence without any weight is padding.
        real: (B, N, G) bool, for formats with ``matching == "groups"``: which groups hold an annotated object.
        originals: (B, N, ...) what the dense tokens were made from, for formats with a ``dense_loss``.
        inputs: (B, N, L) int64 what a causal strategy lets later positions see instead of ``tokens``, where the task
            says so.
    """

    prompts: Tensor
    tokens: Tensor
    weights: Tensor
    real: Tensor | None = None
    originals: Tensor | None = None
    inputs: Tensor | None = None


@dataclass(frozen=True)
class TrainingExample:
    """Target sequences of one image of one task; ``TrainingBatch`` says what the members hold.

    Args:
        prompts: (N, P) int64.
        tokens: (N, L) int64.
        weights: (N, L) float.
        real: (N, G) bool, for formats with ``matching == "groups"``.
        originals: (N, ...) what the dense tokens were made from.
        inputs: (N, L) int64 what later positions see instead of ``tokens``.
    """

    prompts: Tensor
    tokens: Tensor
    weights: Tensor
    real: Tensor | None = None
    originals: Tensor | None = None
    inputs: Tensor | None = None

    @classmethod
    def of(cls, encoded: Encoded) -> TrainingExample:
        """The sequences of ``Task.encode``, for tasks whose training targets are those."""
        return cls(encoded.prompts, encoded.tokens, encoded.weights)


def collate(
    examples: Sequence[TrainingExample], format: SequenceFormat, *, sequences: int | None = None
) -> TrainingBatch:
    """Stack images with different numbers of sequences.

    Missing sequences have an all-zero prompt, some legal tokens and no weight (MAD's release does the same).

    Args:
        examples: one per image, none or more sequences each.
        format: format of the sequences.
        sequences: N, for a fixed shape; by default that of the image with the most. Never fewer than the images have.
    """
    import torch

    most = max([len(example.tokens) for example in examples] + [sequences or 0])
    some = torch.tensor([slot.ranges[0].start for slot in format.slots]).repeat(format.groups)  # (L,)
    prompts = torch.zeros(len(examples), most, format.prompt_length, dtype=torch.int64)
    tokens = some.repeat(len(examples), most, 1)  # (B, N, L)
    weights = torch.zeros(tokens.shape)
    real = torch.zeros(*tokens.shape[:2], format.groups, dtype=torch.bool)
    for image, example in enumerate(examples):
        count = len(example.tokens)
        prompts[image, :count] = example.prompts
        tokens[image, :count] = example.tokens
        weights[image, :count] = example.weights
        if example.real is not None:
            real[image, :count] = example.real
    originals = _padded([example.originals for example in examples], most)
    inputs = _padded([example.inputs for example in examples], most)
    return TrainingBatch(prompts, tokens, weights, real if format.matching == "groups" else None, originals, inputs)


def _padded(parts: Sequence[Tensor | None], most: int) -> Tensor | None:
    """(N, ...) of B images to (B, most, ...), zeros behind an image's own; None if an image gives none."""
    tensors = [part for part in parts if part is not None]
    if not tensors or len(tensors) < len(parts):
        return None
    stacked = tensors[0].new_zeros(len(tensors), most, *tensors[0].shape[1:])
    for row, part in zip(stacked, tensors, strict=True):
        row[: len(part)] = part
    return stacked


@dataclass(frozen=True)
class Decoded:
    """Filled sequences. With B images of up to N sequences each; rows past an image's own count are padding.

    Args:
        tokens: (B, N, L) int64 ids, each legal at its position.
        probabilities: (B, N, L, V) float over the columns of ``SequenceFormat.ids``.
        evaluations: passes of the network that were needed.
        positions: positions that those passes computed, all sequences together.
        soft: whether dense positions are to be read as mixtures of all their legal tokens (AiT section 3.3) instead of
            as ``tokens``, by formats that can.
    """

    tokens: Tensor
    probabilities: Tensor
    evaluations: int
    positions: int
    soft: bool = False

    def image(self, index: int, sequences: int) -> Decoded:
        """The first ``sequences`` rows of one image: tokens (N, L), probabilities (N, L, V)."""
        return replace(self, tokens=self.tokens[index, :sequences], probabilities=self.probabilities[index, :sequences])


def one_hot(format: SequenceFormat, tokens: Tensor) -> Tensor:
    """Certain probabilities: (..., L) ids to (..., L, V) float, 1 at each token."""
    import torch

    return torch.nn.functional.one_hot(format.columns_of(tokens), len(format.ids)).float()


def stack_prompts(prompts: Sequence[Tensor], fill: int) -> tuple[Tensor, Tensor]:
    """Pad a list of (N_b, P) prompts to (B, N, P) with ``fill``; also (B, N) bool, True where a prompt is real."""
    import torch

    most = max((len(p) for p in prompts), default=0)
    width = prompts[0].shape[-1]
    stacked = torch.full((len(prompts), most, width), fill, dtype=torch.int64)
    valid = torch.zeros(len(prompts), most, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        stacked[row, : len(prompt)] = prompt
        valid[row, : len(prompt)] = True
    return stacked, valid
