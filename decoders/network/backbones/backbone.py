"""timm backbones behind one interface: images to one feature map at the preset's stride."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from decoders.network.backbones.pyramid import ChannelNorm, LastMap, SimplePyramid, TopDown
from decoders.network.errors import NetworkError
from decoders.network.options import NetworkOptions
from decoders.network.weights import read_tensors, skip_retries_offline

COARSEST = 32
PLAIN = ("vit_", "eva02_", "deit")  # one map of stride 14 or 16
PLAIN_STRIDE = 16
SECOND = "swinv2_"
WINDOWED = ("swin_", SECOND)  # timm leaves their maps without a norm
PRETRAINED_WINDOWS = (12, 12, 12, 6)  # of Swin V2 at 192 pixels, for its position biases (SimMIM, AiT)
EPSILON, FIRST_EPSILON = 1e-6, 1e-5  # of the layer norms of AiT's Swin V2, and of MAD's Swin
STEM = ("conv1", "bn1")
PRETRAINING = "encoder."  # prefix of the backbone in SimMIM's files


class Body(nn.Module):
    """The maps of a timm model, finest first; layers after the last are pruned.

    Args:
        model: any timm model with ``forward_intermediates``.
        indices: of its maps.
    """

    def __init__(self, *, model: Any, indices: Sequence[int]) -> None:
        super().__init__()
        self.indices = model.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True)
        self.model = model
        self.strides = [model.feature_info[index]["reduction"] for index in indices]
        self.channels = [model.feature_info[index]["num_chs"] for index in indices]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, height, width) to maps (B, C_i, h_i, w_i)."""
        maps = self.model.forward_intermediates(
            images, indices=self.indices, output_fmt="NCHW", intermediates_only=True
        )
        return list(maps)


class Backbone(nn.Module):
    """A timm body with maps of one or more strides, and a neck that fuses them.

    Args:
        body: images to maps (B, C_i, h_i, w_i), finest first.
        used: indices of the neck's maps.
        neck: those maps to (B, C, h, w).
        channels: C.
        multiple: images are padded at right and bottom to sides that are multiples of this.
    """

    def __init__(
        self, *, body: nn.Module, used: Sequence[int], neck: nn.Module, channels: int, multiple: int = 1
    ) -> None:
        super().__init__()
        self.body = body
        self.neck = neck
        self.channels = channels
        self._used = tuple(used)
        self._multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) normalized pixels to (B, C, h, w)."""
        below, right = (-side % self._multiple for side in images.shape[-2:])
        if below or right:
            images = functional.pad(images, (0, right, 0, below))
        maps = self.body(images)
        fused: Tensor = self.neck([maps[index] for index in self._used])
        return fused


def build_backbone(options: NetworkOptions) -> Backbone:
    """Return the backbone of a preset.

    Raises:
        NetworkError: if timm does not know the model, the model has no such stride, or its weights cannot be had.
    """
    body = _body(options)
    strides, channels = body.strides, body.channels
    if options.frozen_stem:
        for name in STEM:
            getattr(body.model, name, nn.Identity()).requires_grad_(False)
    if options.frozen_norm:
        from timm.layers import norm_act

        cast(Any, norm_act).freeze_batch_norm_2d(body)
    if options.backbone.startswith(PLAIN):
        pyramid = SimplePyramid(channels=channels[-1], width=options.width, scale=PLAIN_STRIDE / options.stride)
        return Backbone(body=body, used=(-1,), neck=pyramid, channels=options.width, multiple=strides[-1])
    if options.stride not in strides:
        raise NetworkError(f"backbone {options.backbone!r} has strides {strides}; set network.stride to one of them")
    used = [index for index, stride in enumerate(strides) if stride >= options.stride]
    widths = [channels[index] for index in used]
    norms: list[nn.Module] | None = None
    if options.backbone.startswith(WINDOWED):
        epsilon = EPSILON if options.backbone.startswith(SECOND) else FIRST_EPSILON
        norms = [ChannelNorm(width, eps=epsilon) for width in widths]
    if options.stride == COARSEST:
        last = LastMap(norm=norms[-1] if norms else None)
        return Backbone(body=body, used=used[-1:], neck=last, channels=widths[-1])
    fused = TopDown(channels=widths, width=options.width, norms=norms)
    return Backbone(body=body, used=used, neck=fused, channels=options.width)


def _body(options: NetworkOptions) -> Body:
    import timm  # seconds, which a run without a network does not need

    plain, arguments = options.backbone.startswith(PLAIN), _arguments(options)
    if options.weights == "timm":
        skip_retries_offline()
    try:
        model = timm.create_model(options.backbone, pretrained=str(options.weights) == "timm", **arguments)
    except (RuntimeError, TypeError) as error:
        raise NetworkError(f"backbone {options.backbone!r}: {_line(error)}; timm.list_models() names all") from None
    except Exception as error:
        if str(options.weights) != "timm":
            raise
        raise NetworkError(  # whatever the layers of the download raise
            f"timm's weights of {options.backbone!r} cannot be had ({_line(error)}); connect to the network once, "
            "or give a local file as network.weights"
        ) from None
    if options.weights is not None and str(options.weights) != "timm":
        _load(model, Path(str(options.weights)), options.backbone)
    maps = range(len(cast(Any, model).feature_info))
    return Body(model=model, indices=maps[-1:] if plain else maps)


def _arguments(options: NetworkOptions) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model``."""
    arguments: dict[str, Any] = {"num_classes": 0}
    if options.backbone.startswith(PLAIN):
        arguments |= {"dynamic_img_size": True}
    if options.backbone.startswith(WINDOWED):
        arguments |= {"strict_img_size": False}
    if options.image_side and options.backbone.startswith(PLAIN + WINDOWED):
        arguments["img_size"] = options.image_side
    if options.backbone_drop_path:
        arguments["drop_path_rate"] = options.backbone_drop_path
    if options.backbone.startswith(SECOND):
        arguments["norm_layer"] = partial(nn.LayerNorm, eps=EPSILON)
    if options.windows:
        if not options.backbone.startswith(SECOND):
            raise NetworkError(f"network.windows are a Swin V2's, the backbone is {options.backbone!r}; leave them out")
        arguments |= {"window_size": options.windows, "pretrained_window_sizes": PRETRAINED_WINDOWS}
    return arguments


def _load(model: nn.Module, path: Path, name: str) -> None:
    """Load a file in the naming of timm or of the original authors, but no tensors behind the features."""
    tensors: dict[str, Tensor] = read_tensors(path)
    if any(key.startswith(PRETRAINING) for key in tensors):
        tensors = {
            key.removeprefix(PRETRAINING): value for key, value in tensors.items() if key.startswith(PRETRAINING)
        }
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        if convert is not None:
            tensors = convert(tensors, model)
        missing = model.load_state_dict(tensors, strict=False).missing_keys
    except (RuntimeError, KeyError) as error:
        raise NetworkError(f"{path} does not fit backbone {name!r}: {_line(error)}") from None
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise NetworkError(
            f"{path} lacks {len(missing)} tensors of backbone {name!r}, the first is {missing[0]}; "
            "is it another model's file?"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
