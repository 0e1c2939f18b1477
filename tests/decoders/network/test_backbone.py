"""Backbones of every family at every stride, frozen parts, and weights from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from decoders.network.backbones.backbone import build_backbone
from decoders.network.errors import NetworkError
from decoders.network.folding import folded
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from decoders.network.weights import read_tensors
from tasks.formats.vocabulary import Sizes, Vocabulary

RESNET = "resnet10t"
SWIN = "swin_tiny_patch4_window7_224"
VIT = "vit_tiny_patch16_224"
EVA = "eva02_tiny_patch14_224"


@pytest.mark.parametrize(
    ("name", "stride", "channels", "grid"),
    [
        (RESNET, 32, 512, (4, 5)),
        (RESNET, 16, 16, (7, 9)),
        (RESNET, 8, 16, (13, 17)),
        (SWIN, 32, 768, (4, 5)),
        (SWIN, 8, 16, (13, 17)),
        (VIT, 32, 16, (3, 4)),
        (VIT, 16, 16, (7, 9)),
        (VIT, 8, 16, (14, 18)),
        (EVA, 32, 16, (4, 5)),
    ],
)
@torch.no_grad()
def test_every_family_gives_one_map(name: str, stride: int, channels: int, grid: tuple[int, int]) -> None:
    backbone = build_backbone(NetworkOptions(backbone=name, stride=stride, width=16, heads=4)).eval()
    actual = backbone(torch.zeros(1, 3, 100, 132))  # no multiple of any stride
    assert actual.shape == (1, channels, *grid)
    assert backbone.channels == channels


@torch.no_grad()
def test_the_image_side_of_a_preset_is_heeded() -> None:
    for name in (VIT, SWIN):
        backbone = build_backbone(NetworkOptions(backbone=name, image_side=256, width=16, heads=4)).eval()
        assert backbone(torch.zeros(1, 3, 256, 256)).shape[2:] == (8, 8)
        assert backbone(torch.zeros(1, 3, 128, 192)).shape[2:] == (4, 6)


def test_frozen_norms_and_stem_do_not_train() -> None:
    backbone = build_backbone(NetworkOptions(backbone="resnet18"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    frozen = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert frozen == {"body.model.conv1.weight"}
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone.train()(torch.randn(2, 3, 64, 64))
    assert before and all(torch.equal(before[name], value) for name, value in backbone.named_buffers())
    free = build_backbone(NetworkOptions(backbone="resnet18", frozen_norm=False, frozen_stem=False))
    assert all(parameter.requires_grad for parameter in free.parameters())


def test_the_network_trains_end_to_end() -> None:
    options = NetworkOptions(
        backbone=RESNET, stride=8, frozen_norm=False, frozen_stem=False, width=16, heads=4, ffn=32, encoder_layers=1,
        decoder_layers=1, positions=12,
    )  # fmt: skip
    network = build_network(options, Vocabulary(Sizes(words=30)))
    memory = network.project_memory(network.encode(network.backbone_features(torch.randn(2, 3, 64, 64))))
    network.logits(network.decode(memory, torch.zeros(2, 1, 8, dtype=torch.int64)), slice(0, 40)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("name", "frozen"), [("resnet18", True), ("resnet26", False), (RESNET, False), (VIT, False)])
@torch.no_grad()
def test_folded_norms_give_the_same_map(name: str, frozen: bool) -> None:
    torch.manual_seed(0)
    options = NetworkOptions(
        backbone=name, frozen_norm=frozen, width=16, heads=4, ffn=32, encoder_layers=1, decoder_layers=1
    )
    network = build_network(options, Vocabulary(Sizes(words=30))).eval()
    for module in network.backbone.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                assert values is not None
                values.copy_(torch.rand(values.shape) + 0.5)
    images = torch.randn(1, 3, 64, 96)
    expected = network.backbone_features(images).map
    faster = folded(network)
    torch.testing.assert_close(faster.backbone_features(images).map, expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d) for module in faster.modules())
    torch.testing.assert_close(network.backbone_features(images).map, expected)  # the original is as it was


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_local_file(tmp_path: Path, suffix: str) -> None:
    source = build_backbone(NetworkOptions(backbone=RESNET, frozen_norm=False))
    state = {f"{name}": value for name, value in source.body.model.state_dict().items()}
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}  # not needed, left out
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        safetensors.torch.save_file(state, path)
    loaded = build_backbone(NetworkOptions(backbone=RESNET, weights=path))
    torch.testing.assert_close(loaded.body.model.conv1[0].weight, source.body.model.conv1[0].weight)
    with pytest.raises(NetworkError, match=r"lacks \d+ tensors of backbone 'resnet18'|does not fit backbone"):
        build_backbone(NetworkOptions(backbone="resnet18", weights=path))


class Trap:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def test_bad_weight_files_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap, text, empty = tmp_path / "trap.pth", tmp_path / "text.pth", tmp_path / "empty.safetensors"
    torch.save({"model": {"a": Trap()}}, trap)
    text.write_text("hello")
    empty.write_bytes(b"")
    for path, message in {
        trap: "needs more than tensors",
        text: "not a PyTorch file",
        empty: "not a safetensors file",
        tmp_path / "none.pth": "no such weight file",
    }.items():
        with pytest.raises(NetworkError, match=message) as caught:
            read_tensors(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out


def test_unknown_backbones_and_unreachable_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NetworkError, match="Unknown model"):
        build_backbone(NetworkOptions(backbone="resnt50"))

    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("Name or service\nnot known")

    monkeypatch.setattr("decoders.network.weights.socket.create_connection", unreachable)
    monkeypatch.setattr("decoders.network.weights.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(NetworkError, match="give a local file as") as caught:
        build_backbone(NetworkOptions(weights="timm"))
    assert "\n" not in str(caught.value)
