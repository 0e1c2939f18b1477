"""The loss of learned codecs: reconstruction and commitment (AiT Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.train.codec_batches import MapBatch
from tasks.codecs.vqvae import COMMITMENT, Codec


class CodecLoss(nn.Module):
    """Squared error of the reconstruction plus the commitment loss (AiT Eq. 1).

    Args:
        codec: what learns.
        commitment: weight of the commitment loss, lambda of Eq. 1.
    """

    def __init__(self, codec: Codec, *, commitment: float = COMMITMENT) -> None:
        super().__init__()
        self.codec = codec
        self.commitment = commitment

    def forward(self, batch: MapBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts; unknown depths do not count, hidden ones do."""
        device = self.codec.quantiser.embedding.device
        targets = batch.targets.to(device)
        outputs, commitment = self.codec(batch.inputs.to(device))
        reconstruction = self.reconstruction(outputs, targets)
        parts = {"reconstruction": reconstruction, "commitment": commitment}
        if self.codec.quantiser.revive:
            parts["revived"] = self.codec.quantiser.revived.float()
        return reconstruction + self.commitment * commitment, parts

    def reconstruction(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the squared error of (B, H, W): in the network's own values for masks, in meters for depths."""
        if self.codec.options.values == "unit":
            return (outputs.float() - self.codec.inwards(targets)).square().mean()
        known = targets > 0
        errors = torch.where(known, self.codec.outwards(outputs) - targets, 0.0).square()
        return errors.sum() / known.sum().clamp(min=1)
