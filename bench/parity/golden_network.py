"""Our network around a golden file's feature maps, with the file's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from bench.errors import UserError
from bench.parity.parity_table import FAILURES
from decoders.network.errors import NetworkError
from decoders.network.network import Network, assemble
from decoders.network.options import NetworkOptions
from decoders.network.released import Conversion
from tasks.formats.vocabulary import Vocabulary


class GivenMaps(nn.Module):
    """A backbone that returns the maps (B, C, h, w) it was given, whatever the images."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: Tensor) -> Tensor:
        """The maps (B, C, h, w)."""
        return self.maps


def golden_network(
    options: NetworkOptions, vocabulary: Vocabulary, maps: Tensor, convert: Callable[[Mapping[str, Tensor]], Conversion]
) -> Network:
    """Return the network in evaluation mode.

    Args:
        options: sizes of the file.
        vocabulary: of the file.
        maps: (B, C, h, w) of the file's images.
        convert: our state dict to the file's weights in our names.

    Raises:
        NetworkError: if weights are unused or missing.
    """
    network = assemble(options, vocabulary, backbone=GivenMaps(maps), channels=maps.shape[1])
    conversion = convert(network.state_dict())
    if conversion.unused or conversion.missing:
        raise NetworkError(f"unused {conversion.unused[:3]}, missing {conversion.missing[:3]}")
    network.load_state_dict(conversion.tensors)
    return network.eval()


@contextmanager
def golden_errors(model: str, path: Path) -> Iterator[None]:
    """Turn errors of building a model from a golden file into a UserError of one line."""
    try:
        yield
    except KeyError as error:
        raise UserError(f"{path}: lacks {error}; give a golden file of {model} model") from None
    except FAILURES as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: its weights and configuration disagree ({reason}); write it again") from None
