"""Formats of learned codes: a mask or a depth map as the few codes of a VQ-VAE (AiT sections 3.1 and 3.3).

Every position is dense. Codes are read hard, or as a mixture where ``Decoded.soft`` is set.

Shapes: N sequences, R sequences with weight, M side of a mask, L codes of a map, V columns of the task's vocabulary, K
codes of the codebook.
"""

from __future__ import annotations

import copy
import hashlib

import torch
from torch import Tensor

from tasks.codecs.losses import mask_loss, silog
from tasks.codecs.vqvae import Codec, tempered
from tasks.formats.binning import overlaps
from tasks.formats.sequence import Decoded, SequenceFormat, Slot
from tasks.formats.vocabulary import IdRange

MASK_TEMPERATURE = 1.0  # of mixtures; the release's, the paper names none
DEPTH_TEMPERATURE = 0.8
KEPT = 65_536  # maps whose codes are kept


class CodeGrid:
    """The codes of maps of one size as tokens, row by row.

    Args:
        ids: range of the code tokens, K ids.
        codec: the VQ-VAE, which is used as it is and never trained here.
        size: height and width of the maps in pixels.
        temperature: of the softmax by which mixtures are read; below 1 they are softer than the prediction.

    Raises:
        TaskError: if the codec's ratio does not divide the size.
        ValueError: if the range has not one id for each code.
    """

    def __init__(self, ids: IdRange, codec: Codec, *, size: tuple[int, int], temperature: float) -> None:
        if len(ids) != codec.options.codes:
            raise ValueError(f"range {ids.name!r} has {len(ids)} ids for {codec.options.codes} codes; give as many")
        self.size = size
        self.rows, self.columns = codec.grid(size)
        self.slots = (Slot((ids,), dense=True),) * self.columns
        self._ids = ids
        self._temperature = temperature
        self._codecs = {torch.device("cpu"): copy.deepcopy(codec).cpu().eval().requires_grad_(False)}
        self._known: dict[bytes, Tensor] = {}

    def tokens(self, maps: Tensor) -> Tensor:
        """(N, H, W) masks or meters to (N, L) int64 tokens; those of the last maps are kept, as training asks again."""
        if not len(maps):
            return torch.zeros(0, self.rows * self.columns, dtype=torch.int64)
        return torch.stack([self._tokens(plane) for plane in maps.float().cpu()])

    def _tokens(self, plane: Tensor) -> Tensor:
        key = hashlib.blake2b(plane.contiguous().numpy().tobytes(), digest_size=16).digest()
        tokens = self._known.get(key)
        if tokens is None:
            # One by one: a convolution's last digit depends on what else is in its batch, and the nearest code on that.
            with torch.inference_mode(False):
                codes = self._codecs[torch.device("cpu")].encode(plane[None].clone())[0]
            tokens = self._ids.start + codes.flatten()
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = tokens
        return tokens

    @torch.no_grad()
    def maps(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(N, H, W) float maps of tokens (N, L), or of probabilities (N, L, V) if they are to be read softly."""
        codec = self._codecs[torch.device("cpu")]
        if not len(decoded.tokens):
            return torch.zeros(0, *self.size)
        if decoded.soft:
            shares = tempered(decoded.probabilities[..., format.column(self._ids)], self._temperature)
            return codec.decode_soft(self._gridded(shares))
        return codec.decode(self._gridded(decoded.tokens - self._ids.start))

    def soft_maps(self, logits: Tensor, format: SequenceFormat) -> Tensor:
        """(R, H, W) float maps of logits (R, L, V), read softly, with gradient, where the logits are."""
        shares = (logits[..., format.column(self._ids)].float() * self._temperature).softmax(dim=-1)  # (R, L, K)
        if logits.device not in self._codecs:
            self._codecs[logits.device] = copy.deepcopy(self._codecs[torch.device("cpu")]).to(logits.device)
        return self._codecs[logits.device].decode_soft(self._gridded(shares))

    def _gridded(self, positions: Tensor) -> Tensor:
        """(N, L, ...) to (N, rows, columns, ...)."""
        return positions.reshape(len(positions), self.rows, self.columns, *positions.shape[2:])


class MaskCodes:
    """Masks as learned codes, 4 x 4 of them in the paper.

    Args:
        ids: range of the code tokens.
        codec: a VQ-VAE of masks.
        temperature: see ``CodeGrid``.

    Attributes:
        side: M.
    """

    def __init__(self, ids: IdRange, codec: Codec, *, temperature: float = MASK_TEMPERATURE) -> None:
        self.side = codec.options.side
        self._grid = CodeGrid(ids, codec, size=(self.side, self.side), temperature=temperature)
        self.slots, self.groups = self._grid.slots, self._grid.rows

    def encode(self, masks: Tensor) -> Tensor:
        """(N, M, M) bool masks to (N, L) int64 tokens."""
        return self._grid.tokens(masks)

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(N, M, M) float: 1 where foreground is certain; not cut to [0, 1]."""
        return self._grid.maps(decoded, format)

    def dense_loss(self, logits: Tensor, originals: Tensor, format: SequenceFormat) -> Tensor:
        """DICE plus squared error, a scalar, of logits (R, L, V) read softly against masks (R, M, M)."""
        return mask_loss(self._grid.soft_maps(logits, format), originals.float())


class DepthCodes:
    """A depth map as learned codes, 15 x 15 of them in the paper.

    Maps of another size than the grid's are fitted to it: means over known pixels.

    Args:
        ids: range of the code tokens.
        codec: a VQ-VAE of depths.
        grid: rows and columns of codes; with the codec's ratio they make the size of the map.
        temperature: see ``CodeGrid``.
    """

    def __init__(
        self, ids: IdRange, codec: Codec, *, grid: tuple[int, int], temperature: float = DEPTH_TEMPERATURE
    ) -> None:
        ratio = codec.options.ratio
        self._grid = CodeGrid(ids, codec, size=(grid[0] * ratio, grid[1] * ratio), temperature=temperature)
        self.slots, self.groups = self._grid.slots, self._grid.rows

    def encode(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (L,) of a map in meters, 0 where unknown, and weights (L,).

        Every code counts, those of unknown cells too (the release); of a map without any depth none does.
        """
        tokens = self._grid.tokens(self.original(depth)[None])[0]
        return tokens, torch.full(tokens.shape, float(bool((depth > 0).any())))

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(height, width) float meters at the grid's size."""
        return self._grid.maps(decoded, format)[0]

    def original(self, depth: Tensor) -> Tensor:
        """The map (height, width) float32 meters at the grid's size, which codes are made from."""
        return fitted(depth, self._grid.size)

    def dense_loss(self, logits: Tensor, originals: Tensor, format: SequenceFormat) -> Tensor:
        """SILog, a scalar, of logits (R, L, V) read softly against maps (R, height, width) in meters."""
        return silog(self._grid.soft_maps(logits, format), originals)


def fitted(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """A depth map at another size: the mean of the known pixels that each new one covers, 0 where there are none."""
    if tuple(depth.shape) == size:
        return depth.float()
    exact = depth.double()
    rows, columns = (
        overlaps(exact.new_zeros(1), exact.new_tensor([before]), after, before)[0]
        for before, after in zip(depth.shape, size, strict=True)
    )
    known = rows @ (exact > 0).double() @ columns.T
    total = rows @ exact.clamp(min=0) @ columns.T
    return torch.where(known > 0, total / known.clamp(min=torch.finfo(known.dtype).tiny), 0.0).float()
