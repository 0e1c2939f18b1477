"""Parity of AiT's codecs: encoding, quantizing, hard and soft decoding, steps of training, and the dense losses."""

from __future__ import annotations

from math import isqrt

import torch

from bench.parity.golden_file import GoldenFile
from bench.parity.parity_table import ParityTable
from bench.train.codec_batches import MapBatch
from bench.train.codec_loss import CodecLoss
from tasks.codecs.formats import CodeGrid
from tasks.codecs.losses import dice, silog
from tasks.codecs.options import CodecOptions
from tasks.codecs.vqvae import Codec, released_tensors
from tasks.formats.sequence import Decoded, SequenceFormat
from tasks.formats.vocabulary import IdRange

BUFFERS = {"_embedding": "embedding", "_ema_cluster_size": "cluster_size", "_ema_w": "sums"}
STEPS = 2


def check_codecs(table: ParityTable) -> None:
    """Compare every array whose name begins with ``vqm/``, ``vqd/``, ``vqtrain/``, ``loss/silog`` or ``loss/dice``."""
    golden = table.golden
    for family, prefix in {"codec masks": "vqm", "codec depth": "vqd"}.items():
        if f"{prefix}/cfg" in golden:
            _check_maps(table, family, prefix)
        else:
            table.absent(family)
    if "vqtrain/cfg" in golden:
        _check_training(table)
    else:
        table.absent("codec training")
    for prefix, loss in {"loss/silog": silog, "loss/dice": dice}.items():
        if f"{prefix}/pred" in golden:
            value = loss(golden.tensor(f"{prefix}/pred"), golden.tensor(f"{prefix}/gt"))
            table.compare("dense losses", f"{prefix}/value", value)
        else:
            table.absent("dense losses")


def golden_codec(golden: GoldenFile, prefix: str) -> Codec:
    """Return the codec of a task solver in the file, in evaluation mode."""
    config = golden.config(f"{prefix}/cfg")
    ratio = config["mask_size"] // isqrt(config["token_length"])
    options = CodecOptions(
        values="unit" if config["use_norm"] else "metres",
        side=config["mask_size"],
        ratio=ratio,
        width=config["hidden_dim"] // (ratio // 2),
        blocks=config["num_resnet_blocks"],
        codes=config["num_embeddings"],
        code_width=config["embedding_dim"],
    )
    return _load(golden, prefix, Codec(options)).eval()


def _load(golden: GoldenFile, prefix: str, codec: Codec) -> Codec:
    tensors = released_tensors(golden.beginning(f"{prefix}/w/"))
    missing, unexpected = codec.load_state_dict(tensors, strict=False)
    if unexpected or set(missing) - {"quantiser.revived"}:
        raise ValueError(f"{prefix}/w lacks {missing[:3]} and has {unexpected[:3]} too many")
    return codec


@torch.no_grad()
def _check_maps(table: ParityTable, family: str, prefix: str) -> None:
    """Features, codes and their vectors of images; maps of hard and soft codes, through the format that tasks use."""
    golden, row = table.golden, table.row(family, prefix)
    codec, config = golden_codec(golden, prefix), golden.config(f"{prefix}/cfg")
    images = golden.tensor(f"{prefix}/img")
    codes = codec.encode(images)
    vectors = codec.quantiser.vectors(codes).flatten(2).transpose(1, 2)
    row(enc_feat=codec.features(images), indices=codes.flatten(1), quantized=vectors)
    ids = IdRange(7, 7 + codec.options.codes, "code")
    size = (images.shape[1], images.shape[2])
    grid = CodeGrid(ids, codec, size=size, temperature=float(config.get("tau", 1.0)))
    form = SequenceFormat(task=family, prompt_length=0, slots=grid.slots, groups=grid.rows)
    logits = golden.tensor(f"{prefix}/soft_logits").flatten(2).transpose(1, 2)  # (N, L, K)
    hard, soft = (
        Decoded(grid.tokens(images), logits.softmax(dim=-1), evaluations=1, positions=0, soft=soft)
        for soft in (False, True)
    )
    row(decode_hard=grid.maps(hard, form), decode_soft=grid.maps(soft, form))
    row(decode_soft=grid.soft_maps(logits, form))


def _check_training(table: ParityTable) -> None:
    """Steps of the stand-alone trainer: losses, reconstruction, gradients, and the codebook after each."""
    golden = table.golden
    config = golden.config("vqtrain/cfg")
    options = CodecOptions(
        values="metres",
        side=config["image_size"],
        ratio=config["downsample_ratio"],
        width=config["hidden_dim"],
        blocks=config["num_resnet_blocks"],
        codes=config["num_tokens"],
        code_width=config["codebook_dim"],
    )
    codec = _load(golden, "vqtrain", Codec(options))
    codec.quantiser.decay, codec.quantiser.epsilon = config["decay"], config["eps"]
    objective = CodecLoss(codec, commitment=config["commitment"]).train()
    batch = MapBatch(golden.tensor("vqtrain/img")[:, 0], golden.tensor("vqtrain/label")[:, 0])
    parameters = dict(codec.named_parameters())
    ends = {"enc0": "encoder.0.weight", "dec_last": f"decoder.{len(codec.decoder) - 1}.weight"}
    for step in range(1, STEPS + 1):
        row = table.row("codec training", f"vqtrain/step{step}")
        with torch.no_grad():
            codec.eval()  # the codebook stays as it is
            row(out=codec(batch.inputs)[0][:, None])
            codec.train()
        codec.zero_grad()
        loss, parts = objective(batch)
        loss.backward()
        row(loss_total=loss, loss_recon=parts["reconstruction"])
        for name, parameter in ends.items():
            gradient = parameters[parameter].grad
            row(**{f"grad_{name}_weight": torch.zeros(0) if gradient is None else gradient})
        row(**{name: getattr(codec.quantiser, buffer) for name, buffer in BUFFERS.items()})
