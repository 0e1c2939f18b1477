"""The importer of AiT's checkpoints: codecs, task solvers, and solvers that hold their codecs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.checkpoints.codec import load_codec
from bench.checkpoints.convert import import_checkpoint
from bench.cli.main import main
from bench.errors import UserError
from decoders.network.network import build_network
from decoders.network.options import NetworkOptions
from tasks.codecs.options import CodecOptions
from tasks.codecs.vqvae import Codec
from tasks.formats.vocabulary import Sizes, Vocabulary
from tests.bench.checkpoints.bad_checkpoints import Trap, check_refused
from tests.bench.parity.test_check import AIT

WIDTH, LENGTH, ROWS = 32, 40, 2339
BUFFERS = {"embedding": "_embedding", "cluster_size": "_ema_cluster_size", "sums": "_ema_w"}


def codec(ratio: int, codes: int = 6) -> dict[str, Tensor]:
    """A small released codec."""
    torch.manual_seed(ratio)
    values: Any = "unit" if ratio == 16 else "metres"
    own = Codec(CodecOptions(values=values, side=64, ratio=ratio, width=1, blocks=1, codes=codes, code_width=4))
    named = {}
    for name, value in own.state_dict().items():
        part = name.removeprefix("quantiser.")
        if part != "revived":
            named[f"_vq_vae.{BUFFERS[part]}" if part in BUFFERS else name] = value
    return named


@pytest.fixture(scope="module")
def solver() -> dict[str, Tensor]:
    """A released task solver, small but for its vocabulary, with the original authors' names of a Swin V2-T."""
    torch.manual_seed(3)
    with np.load(AIT) as archive:
        shapes = {
            name.removeprefix("tr/w/"): list(archive[name].shape) for name in archive.files if name.startswith("tr/w/")
        }
    shapes |= {"voc_embed": [ROWS, WIDTH], "outp_bias": [ROWS], "dec_embed": [4, LENGTH, WIDTH]}
    shapes["input_proj.weight"] = [WIDTH, 768]
    named = {f"transformer.{name}": torch.randn(shape) for name, shape in shapes.items()}
    model = timm.create_model("swinv2_tiny_window16_256", num_classes=0)
    for name, value in model.state_dict().items():
        parts = name.split(".")
        if "downsample" in parts:  # the authors' stages end with it, timm's begin
            parts[1] = str(int(parts[1]) - 1)
        if parts[0] != "norm":
            named[f"backbone.{'.'.join(parts)}"] = value
    named["backbone.norm3.weight"], named["backbone.norm3.bias"] = torch.randn(768), torch.randn(768)
    named["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(4, 4)
    return named


@pytest.fixture(scope="module")
def light(solver: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with hardly more than the names of its backbone."""
    named = {name: value for name, value in solver.items() if not name.startswith("backbone.")}
    blocks = {f"backbone.layers.2.blocks.{block}.unknown": torch.zeros(1) for block in range(6)}
    return named | blocks | {"backbone.patch_embed.proj.weight": solver["backbone.patch_embed.proj.weight"]}


@pytest.mark.parametrize("wrapper", ["weights", "module", "model", "state_dict"])
def test_a_codec_is_converted_and_can_be_used(tmp_path: Path, wrapper: str) -> None:
    for ratio, kind in {16: "masks", 32: "depth"}.items():
        named, path = codec(ratio), tmp_path / f"{kind}.pth"
        torch.save({wrapper: {f"module.{name}": value for name, value in named.items()}, "epoch": 3}, path)
        out = tmp_path / "checkpoints" / "mine" / f"codec-{kind}.safetensors"
        text = import_checkpoint("ait", path, out)
        assert f"codec of {kind}: 6 codes of 4 numbers" in text
        assert "unused: none" in text and "missing (left random): none" in text
        found = load_codec(kind, "mine", tmp_path / "checkpoints")
        assert (found.codec.options.ratio, found.codec.options.codes) == (ratio, 6)
        assert torch.equal(found.codec.quantiser.embedding, named["_vq_vae._embedding"])
        assert torch.equal(found.codec.state_dict()["decoder.0.weight"], named["decoder.0.weight"])


def test_a_task_solver_is_converted_and_told_of(tmp_path: Path, solver: dict[str, Tensor]) -> None:
    lost, path, out = "transformer.norm.bias", tmp_path / "solver.pth", tmp_path / "ait.safetensors"
    state = {name: value for name, value in solver.items() if name != lost} | {"task_heads.extra": torch.zeros(2)}
    torch.save({"weights": state, "module": "not a state dict"}, path)
    text = import_checkpoint("ait", path, out)
    assert "unused: task_heads.extra" in text
    assert "missing (left random): decoder.norm.bias" in text
    assert "swinv2_tiny_window16_256" in text and "2 + 2 layers" in text
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["unused"] == ["task_heads.extra"] and card["missing"] == ["decoder.norm.bias"]
    assert card["sizes"]["layout"] == "ait" and card["vocabulary"] == 2345
    options = NetworkOptions(
        **{name: value for name, value in card["network"].items() if name != "windows"}, frozen_stem=False
    )
    network = build_network(options, Vocabulary(Sizes(layout="ait", bins=2000)))
    tensors = load_file(out)
    network.load_state_dict(tensors)
    block = "transformer.decoder.blocks.1.crossattn"
    wanted = torch.cat([solver[f"{block}.{part}.weight"] for part in ("wq", "wk", "wv")])
    assert torch.equal(tensors["decoder.layers.1.cross.projection.weight"], wanted)
    table = tensors["embedding.table.weight"]
    assert torch.equal(table[:ROWS], solver["transformer.voc_embed"])
    assert torch.equal(table[ROWS : ROWS + 4], solver["transformer.det_embed"][:, 0])
    assert torch.equal(table[network.vocabulary.id("parallel")], solver["transformer.mask_embed"][0, 0])
    assert torch.equal(tensors["decoder.positions.tables"], solver["transformer.dec_embed"])
    body = "backbone.body.model.layers"
    assert torch.equal(tensors[f"{body}.2.downsample.norm.weight"], solver["backbone.layers.1.downsample.norm.weight"])
    assert torch.equal(
        tensors[f"{body}.3.blocks.1.attn.qkv.weight"], solver["backbone.layers.3.blocks.1.attn.qkv.weight"]
    )
    assert torch.equal(tensors["backbone.neck.norm.weight"], solver["backbone.norm3.weight"])


def test_rows_that_no_task_uses_are_imported(tmp_path: Path, light: dict[str, Tensor]) -> None:
    rows, bias = torch.randn(ROWS + 128, WIDTH), torch.randn(ROWS + 128)
    torch.save(light | {"transformer.voc_embed": rows, "transformer.outp_bias": bias}, tmp_path / "solver.pth")
    out = tmp_path / "ait.safetensors"
    import_checkpoint("ait", tmp_path / "solver.pth", out, allow_missing=True)
    card, tensors = json.loads(out.with_suffix(".json").read_text()), load_file(out)
    assert card["sizes"]["others"] == 128 and card["vocabulary"] == 2345 + 128
    assert torch.equal(tensors["embedding.table.weight"][: ROWS + 128], rows)
    assert torch.equal(tensors["embedding.bias"][: ROWS + 128], bias)
    task_ids = [used for used in Vocabulary(Sizes(**card["sizes"])) if used.name in ("coordinate", "class")]
    softmax = [len(used) for used in (*task_ids, *Vocabulary(Sizes(**card["sizes"])).rivals(task_ids))]
    assert sum(softmax) == ROWS + 128  # of training


def test_codecs_inside_a_task_solver_become_files_of_their_own(tmp_path: Path, light: dict[str, Tensor]) -> None:
    inside = {f"task_heads.2.vae.{name}": value for name, value in codec(32, codes=128).items()}
    path, root = tmp_path / "solver.pth", tmp_path / "checkpoints"
    torch.save(light | inside, path)
    text = import_checkpoint("ait", path, root / "mine" / "ait.safetensors", allow_missing=True)
    assert text.count("unused: none") == 1 and text.count("unused: backbone.layers.2") == 1
    assert text.count("missing (left random): none") == 1
    stored = load_codec("depth", "mine", root)
    card = json.loads((root / "mine" / "ait.json").read_text())
    assert card["codecs"] == {"depth": stored.reference} and card["formats"] == {"depth": "codes"}


def test_codecs_can_be_named(tmp_path: Path, light: dict[str, Tensor], capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(codec(16, codes=128), tmp_path / "masks.pth")
    torch.save(light, tmp_path / "solver.pth")
    masks, out = tmp_path / "codec-masks.safetensors", tmp_path / "ait.safetensors"
    assert main(["import", "ait", str(tmp_path / "masks.pth"), "--out", str(masks)]) == 0
    words = ["import", "ait", str(tmp_path / "solver.pth"), "--out", str(out), "--allow-missing"]
    assert main([*words, "--codecs", json.dumps([str(masks)])]) == 0
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["formats"] == {"segmentation": "codes", "instances": "codes"}
    assert set(card["codecs"]) == {"masks"}
    assert main([*words, "--codecs", json.dumps([str(out)])]) == 2
    assert "is no codec" in capsys.readouterr().err


def test_what_is_no_checkpoint_of_ait_is_refused_in_one_line(
    tmp_path: Path, light: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    short = light | {"transformer.voc_embed": torch.zeros(100, WIDTH)}
    swin = light | {"backbone.patch_embed.proj.weight": torch.zeros(64, 3, 4, 4)}
    contents: dict[str, object] = {
        "needs more than tensors": {"weights": light, "config": Trap()},
        "is it a checkpoint of AiT": {"a": torch.zeros(2)},
        "8 pixels to a code": {n: v for n, v in codec(16).items() if not n.startswith("encoder.6.")},
        "is it a codec of AiT": codec(16) | {"decoder.0.weight": torch.zeros(3, 4, 1, 1)},
        "other bins, classes or codes": short,
        "it is no Swin V2 of AiT": swin,
        "lacks 'dec_embed'": {n: v for n, v in light.items() if not n.endswith("dec_embed")},
    }
    check_refused("ait", contents, tmp_path, capsys)
    with pytest.raises(UserError, match="--codecs: are AiT's"):
        import_checkpoint("mad", tmp_path / "bad.pth", tmp_path / "out.safetensors", codecs=[tmp_path / "bad.pth"])
