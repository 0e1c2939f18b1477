"""Weights on disk: safetensors, and beside them a card that names their origin and the networks that they fit.

A preset's checkpoints are ``<decoder>.safetensors`` and, where the decoders share a frozen encoder,
``encoder.safetensors``; learned codecs are ``codec-<kind>.safetensors``. Matrices are stored as float16, vectors
(norms, biases, running statistics) and codebooks as float32. torch is imported where tensors are read or written, as
cards are checked before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config.parts import SuiteOptions
from bench.errors import UserError
from bench.paths import CHECKPOINTS, REPOSITORY
from bench.system.environment import git_state
from decoders.network.options import NetworkOptions
from results.store import write_atomically
from tasks.formats.vocabulary import Sizes, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor, device, nn

    from decoders.network.network import Network

ENCODER = "encoder"
ENCODER_PARTS = ("backbone", "projection", "positions", "encoder")
EXACT = "quantiser."  # a dead code's vector can be larger than float16 holds
SHAPING = (
    "family",
    "width",
    "heads",
    "ffn",
    "encoder_ffn",
    "encoder_layers",
    "decoder_layers",
    "backbone",
    "stride",
    "windows",
    "positions",
    "placed_values",
)
"""Options of the network that decide which tensors there are and what they mean."""


def checkpoint_path(preset: str, name: str, root: Path = CHECKPOINTS) -> Path:
    """Return the path of the weights of a decoder, of ``encoder`` or of a codec."""
    return root / preset / f"{name}.safetensors"


def is_encoder(name: str) -> bool:
    """Return whether a tensor of ``Network.state_dict`` belongs to the parts that compute the memory."""
    return name.split(".", 1)[0] in ENCODER_PARTS


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> Path:
    """Write weights and, beside them, their card with the hash of the file; each appears whole.

    Raises:
        NetworkError: if a tensor holds NaN or infinity.
    """
    from safetensors.torch import save

    from decoders.network.weights import check_finite

    check_finite(tensors, path)
    compact = {name: _compact(name, value) for name, value in tensors.items()}
    content = save(compact, metadata={"format": "pt"})
    full = {
        **card,
        "hash": content_hash(content),
        "parameters": sum(v.numel() for v in compact.values()),
        **git_state(REPOSITORY),
    }
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), (json.dumps(full, indent=2, default=str) + "\n").encode())
    return path


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy weights with their card, and their learning curve where there is one; each file appears whole.

    Args:
        source: safetensors file; ``.json`` and ``.jsonl`` files of that name lie beside it.
        target: safetensors file to write; its folder is made if absent.

    Raises:
        UserError: if the weights or their card cannot be read.
    """
    for suffix in (source.suffix, ".json", ".jsonl"):
        path = source.with_suffix(suffix)
        try:
            content = path.read_bytes()
        except OSError as error:
            if suffix == ".jsonl":
                continue
            raise UserError(f"{path}: cannot copy it ({error.strerror}); give weights with their card") from None
        write_atomically(target.with_suffix(suffix), content)


def fit_card(sizes: Sizes, network: NetworkOptions, vocabulary: Vocabulary, tokenizer: str | None) -> dict[str, Any]:
    """Return what weights and a run must agree on: sizes of sequences and network, vocabulary and tokenizer."""
    return {
        "sizes": plain_sizes(sizes),
        "network": shape_of(network),
        "vocabulary": len(vocabulary),
        "tokenizer": tokenizer,
        **({"added": vocabulary.added} if vocabulary.added else {}),
    }


def plain_sizes(sizes: Sizes) -> dict[str, Any]:
    """Return sizes as plain JSON data."""
    return {**dataclasses.asdict(sizes), "depth_grid": list(sizes.depth_grid)}


def shape_of(network: NetworkOptions) -> dict[str, Any]:
    """Return what weights and a network must agree on, as plain JSON data."""
    options = dataclasses.asdict(network)
    return _untagged({name: options[name] for name in SHAPING} | {"windows": list(network.windows)})


def _untagged(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the tag of timm's weights from the backbone's name; it says where training began, not what fits."""
    return {**shape, "backbone": str(shape["backbone"]).split(".")[0]}


def read_checkpoint(path: Path, *, train: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors as float32, and their card.

    Args:
        path: safetensors file; its card lies beside it.
        train: the command that makes it, for errors.

    Raises:
        UserError: if file or card is missing, broken, or they do not belong together.
        NetworkError: if a tensor holds NaN or infinity.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from decoders.network.weights import check_finite

    copy_hint = _copy_hint(path)
    try:
        content, card = path.read_bytes(), read_card(path)
        tensors = load_file(path)
    except OSError as error:
        missing = Path(error.filename or path)
        kind = "weights" if missing.suffix == path.suffix else "card of weights"
        raise UserError(f"{missing}: no such {kind}; make them with `{train}`{copy_hint}") from None
    except (SafetensorError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: broken ({reason}); make them again with `{train}`{copy_hint}") from None
    if not isinstance(card, dict):
        raise UserError(
            f"{path.with_suffix('.json')}: not a card of weights; copy the card of {path.name}, or run `{train}`"
        )
    if card.get("hash") != content_hash(content):
        raise UserError(f"{path.name}: its card is another file's; copy both together or make them with `{train}`")
    check_finite(tensors, path)
    return {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}, card


def _copy_hint(path: Path) -> str:
    return "" if path.is_relative_to(CHECKPOINTS) else f", and copy them with their card into {path.parent}"


def load_network(name: str, options: SuiteOptions, vocabulary: Vocabulary, *, tokenizer: str | None = None) -> Network:
    """Return the network of a preset with a decoder's trained weights, ready to decode.

    Args:
        name: the decoder whose weights to load.
        options: ``preset``, ``sizes`` and ``network`` of the run.
        vocabulary: of the run.
        tokenizer: hash of the run's caption tokenizer (``Suite.data["tokenizer"]["hash"]``); None skips the check.

    Raises:
        UserError: if weights are missing, broken, or were made for something else.
    """
    path = weights_path(name, options)
    tensors, card = read_checkpoint(path, train=train_command(name, options.preset))
    if card.get("decoder", name) != name:
        raise UserError(f"{path}: its card names decoder {card['decoder']}; give weights of {name}")
    check_fit(path, card, fit_card(options.sizes, options.network, vocabulary, tokenizer) | _square(card, options))
    if not any(map(is_encoder, tensors)):
        shared = path.with_name(f"{ENCODER}.safetensors")
        encoder, encoder_card = read_checkpoint(shared, train=train_command(ENCODER, options.preset))
        if encoder_card["hash"] != card.get("encoder"):
            raise UserError(
                f"{path.name}: was trained on another encoder than {shared.name}; train it again with "
                f"`{train_command(name, options.preset)}`"
            )
        tensors |= encoder
    return network_with(tensors, dataclasses.replace(options.network, weights=None), vocabulary, path.name)


def weights_path(name: str, options: SuiteOptions) -> Path:
    """Return the path of the weights that a decoder runs with."""
    return checkpoint_path(options.preset, name, options.checkpoints or CHECKPOINTS)


def read_card(path: Path) -> dict[str, Any]:
    """Return the card beside a file of weights; raises as ``json`` and ``Path`` do."""
    card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return card


def check_weights(name: str, options: SuiteOptions) -> None:
    """Refuse weights of a decoder that are absent or were made for other sizes, as far as their card tells.

    Raises:
        UserError: with the command that makes them.
    """
    path, train = weights_path(name, options), train_command(name, options.preset)
    for file, kind in ((path, "weights"), (path.with_suffix(".json"), "card of weights")):
        if not file.is_file():
            raise UserError(f"{file}: no such {kind}; make them with `{train}`{_copy_hint(path)}")
    try:
        card = read_card(path)
    except ValueError:
        return  # ``read_checkpoint`` says what is broken
    if isinstance(card, dict):
        fit = {"sizes": plain_sizes(options.sizes), "network": shape_of(options.network)}
        check_fit(path, card, fit | _square(card, options))


def weights_hashes(name: str, options: SuiteOptions) -> dict[str, str]:
    """Return the hashes of the weights that a decoder runs with, its frozen encoder's included, from their card.

    Args:
        name: of the weights.
        options: ``preset`` and ``checkpoints`` of the run.
    """
    card = read_card(weights_path(name, options))
    hashes = {name: card["hash"], ENCODER: card.get("encoder")}
    return {part: str(value) for part, value in hashes.items() if value}


def missing_tensors(name: str, options: SuiteOptions) -> list[str]:
    """Return the tensors that the checkpoint behind imported weights lacks, from their card; they are random."""
    return list(map(str, read_card(weights_path(name, options)).get("missing", ())))


def network_with(
    tensors: Mapping[str, Tensor], options: NetworkOptions, vocabulary: Vocabulary, source: str
) -> Network:
    """Build a network in evaluation mode and load the parts that ``tensors`` names, each completely.

    Raises:
        UserError: if names or shapes disagree.
    """
    from decoders.network.network import build_network

    network = build_network(options, vocabulary)
    load_into(network, tensors, source)
    return network.eval()


def load_into(network: Network, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load the parts of a network that ``tensors`` names, each completely.

    Raises:
        UserError: if names or shapes disagree.
    """
    try:
        missing, unexpected = network.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as error:
        raise UserError(f"{source}: does not fit the network ({' '.join(str(error).split())[:200]})") from None
    parts = {name.split(".", 1)[0] for name in tensors}
    lacking = [n for n in missing if n.split(".", 1)[0] in parts and not n.endswith("num_batches_tracked")]
    if lacking or unexpected:
        raise UserError(
            f"{source}: lacks {len(lacking)} tensors and has {len(unexpected)} too many, for example "
            f"{(lacking + unexpected)[0]}; it was made by another version, train it again"
        )


def train_command(name: str, preset: str) -> str:
    """Return the command that makes a checkpoint."""
    return f"nox -s train -- --decoder {name} --preset {preset} --publish"


def check_fit(path: Path, card: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare a card with what ``fit_card`` returns for a run. Raises UserError where they differ."""
    shown = f"{path.parent.name}/{path.name}"
    # What a card does not name was added to the options later, so that its weights were made with the default.
    defaults = {"sizes": dataclasses.asdict(Sizes()), "network": shape_of(NetworkOptions())}
    for key, value in expected.items():
        trained = card.get(key)
        if isinstance(value, dict) and isinstance(trained, dict):
            settings = defaults.get(key, {}) | trained
            settings = _untagged(settings) if key == "network" else settings
            trained = {name: settings.get(name) for name in value}
        if value is None or trained == value:
            continue
        if key == "tokenizer" and trained is None:
            raise UserError(f"{shown}: names no caption tokenizer; import it again with --tokenizer MODEL")
        if isinstance(value, dict) and isinstance(trained, dict):
            name = next(n for n in value if trained[n] != value[n])
            difference = f"{key}.{name} {trained[name]}, this run has {value[name]}"
        else:
            difference = f"{key} {trained}, this run has {value}"
        raise UserError(f"{shown}: was trained with {difference}; use the preset's own or train again")


def _square(card: Mapping[str, Any], options: SuiteOptions) -> dict[str, Any]:
    """Return the side of square images, which weights and run must agree on; other transforms vary the size anyway."""
    square = options.image.transform == "square" and card.get("image", {}).get("transform") == "square"
    return {"image": {"side": options.image.side}} if square else {}


def _compact(name: str, value: Tensor) -> Tensor:
    import torch

    value = value.detach().cpu().contiguous()
    exact = value.dim() < 2 or name.startswith(EXACT) or not value.is_floating_point()
    return value if exact or value.abs().max() > torch.finfo(torch.float16).max else value.half()


def content_hash(content: bytes) -> str:
    """Return the hash by which cards name a file of weights."""
    return hashlib.sha256(content).hexdigest()[:16]


def encoder_tensors(network: Network) -> dict[str, Tensor]:
    """Return the tensors of the parts that compute the memory."""
    return {name: value for name, value in network.state_dict().items() if is_encoder(name)}


def decoder_tensors(network: Network) -> dict[str, Tensor]:
    """Return the tensors of the other parts."""
    return {name: value for name, value in network.state_dict().items() if not is_encoder(name)}


def device_of(network: nn.Module) -> device:
    """Return the device of a network."""
    return next(network.parameters()).device
