"""The importer: every released name has a place, and what is not used or missing is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.errors import UserError
from bench.importing import import_checkpoint
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from decoders.network.released import to_ours, to_released
from tasks.vocabulary import Sizes, Vocabulary
from tests.tasks.builders import shared

OPTIONS = NetworkOptions(width=32, heads=1, ffn=16, encoder_layers=1, decoder_layers=2, positions=30)
SIZES = Sizes(words=40)


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    """A small checkpoint in the released names."""
    torch.manual_seed(3)
    vocabulary = Vocabulary(SIZES)
    state = build_network(OPTIONS, vocabulary).state_dict()
    found = {to_released(name) or "": value for name, value in state.items()}
    found["vocab_embed.embeddings.weight"] = found["vocab_embed.embeddings.weight"][: vocabulary["word"].stop]
    return found


def test_names_go_both_ways() -> None:
    for name in build_network(OPTIONS, Vocabulary(SIZES)).state_dict():
        released = to_released(name)
        assert released is not None and to_ours(released) == name
    assert to_ours("transformer.decoder.layers.3.attentions.2.attn.in_proj_bias") is None


def test_every_released_name_of_mad_r50_has_a_place() -> None:
    lines = [line.split("\t") for line in shared("facts/mad_state_dict_r50.txt").read_text().splitlines()]
    shapes = {line[0]: json.loads(line[1].replace("(", "[").replace(",)", "]").replace(")", "]")) for line in lines if len(line) == 4}  # fmt: skip # noqa: E501
    own = build_network(NetworkOptions(), Vocabulary(Sizes())).state_dict()
    assert len(shapes) == len(own) == 456
    for name, shape in shapes.items():
        ours = to_ours(name)
        assert ours is not None
        rows = Vocabulary(Sizes())["depth_bin"] if name == "vocab_embed.embeddings.weight" else ()
        assert [len(own[ours]) - len(rows), *own[ours].shape[1:]] == shape if shape else not own[ours].shape


def test_a_checkpoint_is_converted_and_its_card_written(tmp_path: Path, released: dict[str, Tensor]) -> None:
    path, out = tmp_path / "mad.pth", tmp_path / "weights" / "mad.safetensors"
    missing = "transformer.decoder.post_norm_layer.bias"
    state = {f"module.{name}": value for name, value in released.items() if name != missing}
    torch.save({"model": state | {"module.extra.weight": torch.zeros(3)}, "iteration": 7}, path)
    text = import_checkpoint("mad", path, out)
    assert "unused: extra.weight" in text
    assert "missing (left random): decoder.norm.bias" in text
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["unused"] == ["extra.weight"] and card["missing"] == ["decoder.norm.bias"]
    assert card["network"]["width"] == 32 and card["sizes"]["words"] == 40
    network = build_network(NetworkOptions(**card["network"]), Vocabulary(Sizes(words=40)))
    network.load_state_dict(load_file(out))
    wanted = released["transformer.decoder.layers.1.attentions.1.attn.in_proj_weight"]
    assert torch.equal(network.state_dict()["decoder.layers.1.cross.projection.weight"], wanted)
    before = out.read_bytes()
    assert import_checkpoint("mad", path, out) == text and out.read_bytes() == before


class Trap:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def test_what_is_no_checkpoint_is_refused_in_one_line(
    tmp_path: Path, released: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    contents: dict[str, object] = {
        "needs more than tensors": {"model": released, "args": Trap()},
        "is it a MAD checkpoint": {"a": torch.zeros(2)},
        "only MAD's ResNet": {name: value for name, value in released.items() if not name.startswith("backbone.")},
        "has shape": released | {"input_proj.bias": torch.zeros(31)},
    }
    for message, content in contents.items():
        path = tmp_path / "bad.pth"
        torch.save(content, path)
        with pytest.raises(UserError, match=message) as caught:
            import_checkpoint("mad", path, tmp_path / "out.safetensors")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="known: mad"):
        import_checkpoint("detr", path, tmp_path / "out.safetensors")
    assert "unpickled" not in capsys.readouterr().out
    assert not (tmp_path / "out.safetensors").exists()
