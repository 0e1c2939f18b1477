"""Captions as SentencePiece pieces (MAD section 4.1: T5's model, cut down to the pieces COCO's captions use)."""

from __future__ import annotations

import importlib
import io
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.errors import TaskError

if TYPE_CHECKING:
    import sentencepiece

METHOD = "bpe-1"  # changes whenever `train` would make another model of the same captions
PAD, END, UNKNOWN = 0, 1, 2  # ids in a trained model, T5's
QUIET = 2  # SentencePiece's log level for errors only


class Tokenizer(Protocol):
    """Text to pieces and back. Piece 0 pads and ends a caption, as in MAD's release."""

    def __len__(self) -> int:
        """Number of pieces."""
        ...

    def encode(self, text: str) -> list[int]:
        """Pieces of a lower-cased caption, without an end token."""
        ...

    def decode(self, pieces: list[int]) -> str:
        """Text of the pieces before the first 0."""
        ...


class SentencePieceTokenizer:
    """A SentencePiece model file.

    MAD's model, T5's and those of ``train`` have a padding piece 0. In a model whose piece 0 is none (SentencePiece's
    own default is ``<unk>``) every id is one higher than in the file, which leaves 0 free.

    Args:
        model: the ``.model`` file.

    Raises:
        TaskError: if the file is missing, is no SentencePiece model, or has no ``<unk>`` piece.
    """

    def __init__(self, model: Path) -> None:
        self._processor = _load(model)
        self._shift = 0 if self._processor.is_control(0) else 1

    def __len__(self) -> int:
        return len(self._processor) + self._shift

    def encode(self, text: str) -> list[int]:
        """Pieces of the normalized caption, without an end token."""
        return [piece + self._shift for piece in self._processor.encode(normalise(text))]

    def decode(self, pieces: list[int]) -> str:
        """Text of the pieces before the first 0."""
        end = pieces.index(0) if 0 in pieces else len(pieces)
        return str(self._processor.decode([piece - self._shift for piece in pieces[:end]]))


def normalise(caption: str) -> str:
    """The caption as MAD codes it: lower case, no blanks around it. The model adds its own rules (NFKC)."""
    return caption.strip().lower()


def train(captions: Iterable[str], path: Path, *, size: int) -> int:
    """Train a BPE model on captions: the same captions in the same order give the same file.

    T5's model is a unigram one, which needs a large corpus: it considers only pieces that occur in two different words,
    so that with few captions even common words fall apart ("figure" into three pieces; 36 % of the embedded captions
    would not fit 20 tokens, with BPE none). Other choices are T5's.

    Args:
        captions: sentences; they are normalized here.
        path: the ``.model`` file to write; written whole or not at all.
        size: largest number of pieces, with the three special ones; few captions fill fewer.

    Returns:
        Number of pieces in the model.

    Raises:
        TaskError: if there are no captions, or ``size`` is too small for their characters.
    """
    import sentencepiece

    if path.is_dir():
        raise TaskError(f"{path} is a folder; give the name of the .model file to write")
    sentences = [sentence for sentence in map(normalise, captions) if sentence]
    if not sentences:
        raise TaskError(f"no captions to train {path.name} on; give a file with captions")
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=written,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="nmt_nfkc",
            add_dummy_prefix=True,
            pad_id=PAD,
            eos_id=END,
            unk_id=UNKNOWN,
            bos_id=-1,
            shuffle_input_sentence=False,
            num_threads=1,
            minloglevel=QUIET,
        )
    except RuntimeError as error:
        raise TaskError(
            f"SentencePiece could not train {size} pieces on {len(sentences)} captions: {str(error).strip()}"
        ) from error
    _write(path, written.getvalue())
    return len(_load(path))


def abbreviate(model: Path, captions: Iterable[str], path: Path) -> int:
    """Keep the pieces of a model that captions use, as MAD does with T5's, and write them as a new model.

    The special pieces stay; pieces keep their order and scores, so that these captions are cut into the same pieces as
    before.

    Args:
        model: the ``.model`` file to shorten.
        captions: sentences; they are normalized here.
        path: the ``.model`` file to write; written whole or not at all.

    Returns:
        Number of pieces left.

    Raises:
        TaskError: if the model cannot be read.
    """
    # Needs protobuf, which nothing else here does; its generated module has no types.
    schema: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
    processor = _load(model)
    used = {piece for caption in captions for piece in processor.encode(normalise(caption))}
    proto = schema.ModelProto.FromString(model.read_bytes())
    normal = schema.ModelProto.SentencePiece.NORMAL
    texts = {proto.pieces[index].piece for index in used}
    if proto.trainer_spec.model_type == proto.trainer_spec.BPE:  # its pieces are merged from shorter ones
        texts |= {text[i:j] for text in texts for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    pieces = [piece for piece in proto.pieces if piece.piece in texts or piece.type != normal]
    del proto.pieces[:]
    proto.pieces.extend(pieces)
    proto.trainer_spec.vocab_size = len(pieces)
    _write(path, proto.SerializeToString(deterministic=True))
    return len(pieces)


def _load(model: Path) -> sentencepiece.SentencePieceProcessor:
    import sentencepiece

    if not model.is_file() or model.stat().st_size == 0:
        raise TaskError(f"{model} is not there or is empty; give a SentencePiece .model file or train one")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except RuntimeError as error:
        raise TaskError(f"{model} is not a SentencePiece model: {str(error).strip()}") from error
    unknown = processor.unk_id()
    if not 0 <= unknown < len(processor) or not processor.is_unknown(unknown):
        raise TaskError(f"{model} has no <unk> piece; give a model that has one")
    return processor


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)  # mkstemp's file is the owner's alone
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
