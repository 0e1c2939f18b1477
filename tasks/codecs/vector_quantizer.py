"""Vectors to codes and back: the nearest row of a codebook that follows what is assigned to it (AiT section 3.1).

The codebook learns by exponential moving averages (van den Oord et al. 2017, appendix A.1), with the release's start
values: both codebook and sums are random and independent, and no code has been used. A code that the first step leaves
unused therefore jumps far away and is dead for about a thousand steps, unless ``revive`` is set (ours).

Shapes: B maps, D width of a code, K codes, h and w rows and columns of codes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DECAY = 0.99
EPSILON = 1e-5


class VectorQuantizer(nn.Module):
    """A codebook of K vectors.

    Args:
        codes: K.
        width: D.
        decay: of the moving averages.
        epsilon: added to every code's count before dividing by it.
        revive: codes that were taken less often than this in a step (moving average) start anew as one of the step's
            vectors, drawn at random; 0 leaves dead codes dead, as the release does.

    Attributes:
        embedding: (K, D) codebook.
        cluster_size: (K,) moving average of how many vectors took each code.
        sums: (K, D) moving average of the sum of those vectors.
        revived: codes that started anew, so far.
    """

    embedding: Tensor
    cluster_size: Tensor
    sums: Tensor
    revived: Tensor

    def __init__(
        self, *, codes: int, width: int, decay: float = DECAY, epsilon: float = EPSILON, revive: float = 0.0
    ) -> None:
        super().__init__()
        self.decay, self.epsilon, self.revive = decay, epsilon, revive
        self.register_buffer("embedding", torch.randn(codes, width))
        self.register_buffer("cluster_size", torch.zeros(codes))
        self.register_buffer("sums", torch.randn(codes, width))
        self.register_buffer("revived", torch.zeros((), dtype=torch.int64))

    def nearest(self, features: Tensor) -> Tensor:
        """(B, D, h, w) float to (B, h, w) int64: the code at the smallest squared distance."""
        rows = features.movedim(1, -1).float()  # (B, h, w, D)
        # |z - e|^2 without |z|^2, which is the same for all codes
        distances = self.embedding.square().sum(1) - 2 * rows @ self.embedding.T  # (B, h, w, K)
        return distances.argmin(dim=-1)

    def vectors(self, codes: Tensor) -> Tensor:
        """(B, h, w) int64 to (B, D, h, w) float: rows of the codebook."""
        return self.embedding[codes].movedim(-1, 1)

    def mixtures(self, shares: Tensor) -> Tensor:
        """(B, h, w, K) shares of the codes to (B, D, h, w) float: weighted means of their vectors (section 3.3)."""
        return (shares.float() @ self.embedding).movedim(-1, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Quantized features (B, D, h, w), through which gradients pass unchanged, and the commitment loss, a scalar.

        In training the codebook is moved afterwards; what is returned is of the codebook before.
        """
        with torch.autocast(features.device.type, enabled=False):  # distances and averages are of float32
            features = features.float()
            codes = self.nearest(features)
            chosen = self.vectors(codes)
            commitment = functional.mse_loss(features, chosen)
            if self.training:
                self._follow(features.detach(), codes)
            return features + (chosen - features).detach(), commitment

    @torch.no_grad()
    def _follow(self, features: Tensor, codes: Tensor) -> None:
        """Move the averages, and with them the codebook, towards the vectors of one step."""
        rows = features.movedim(1, -1).flatten(0, 2)  # (B * h * w, D)
        taken = functional.one_hot(codes.flatten(), len(self.embedding)).float()  # (B * h * w, K)
        counts, sums = taken.sum(0), taken.T @ rows
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
        size = self.cluster_size.lerp(counts, 1 - self.decay)
        total = size.sum()
        self.cluster_size.copy_((size + self.epsilon) / (total + len(size) * self.epsilon) * total)
        self.sums.lerp_(sums, 1 - self.decay)
        self.embedding.copy_(self.sums / self.cluster_size[:, None])
        if self.revive:
            self._revive(rows)

    def _revive(self, rows: Tensor) -> None:
        dead = (self.cluster_size < self.revive).nonzero()[:, 0]
        drawn = rows[torch.randint(len(rows), (len(dead),), device=rows.device)]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(drawn, 0)  # every process draws others, and one codebook has to come of it
        self.embedding[dead] = drawn
        self.sums[dead] = drawn * self.revive
        self.cluster_size[dead] = self.revive
        self.revived += len(dead)
