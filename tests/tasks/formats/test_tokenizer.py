"""Pieces: captions come back as they were, training is repeatable, an abbreviated model cuts as the long one did."""

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import TaskError
from tasks.formats.tokenizer import SentencePieceTokenizer, abbreviate, normalise, train
from tests.tasks.task_examples import shared

NOUNS = ("dog", "kite", "boat", "teapot", "lamp", "clock")
CAPTIONS = [f"A {a} is next to the {b} on a wooden table." for a in NOUNS for b in NOUNS]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "captions.model"
    train(CAPTIONS, path, size=200)
    return path


@pytest.fixture(scope="module")
def tokenizer(model):
    return SentencePieceTokenizer(model)


@given(words=st.lists(st.sampled_from([*NOUNS, "Table", "NEXT", "wooden", "tablet", "skate"]), min_size=1, max_size=12))
def test_captions_come_back_up_to_normalization(tokenizer, words):
    caption = "  ".join(words) + ". "
    assert tokenizer.decode(tokenizer.encode(caption)) == " ".join(caption.lower().split())


@given(text=st.text(max_size=30))
def test_any_text_can_be_encoded(tokenizer, text):
    pieces = tokenizer.encode(text)
    assert all(0 < piece < len(tokenizer) for piece in pieces)
    assert isinstance(tokenizer.decode(pieces), str)


def test_decoding_stops_at_the_first_zero(tokenizer):
    pieces = tokenizer.encode("a dog")
    assert tokenizer.decode([*pieces, 0, *pieces, 0]) == "a dog"
    assert tokenizer.decode([0, *pieces]) == ""
    assert tokenizer.decode([]) == ""


def test_training_is_repeatable_and_silent(model, tmp_path, capfd):
    count = train(iter(CAPTIONS), tmp_path / "deep" / "again.model", size=200)
    assert (tmp_path / "deep" / "again.model").read_bytes() == model.read_bytes()
    assert count == len(SentencePieceTokenizer(model)) <= 200
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["again.model"]


def test_a_trained_model_has_t5s_special_pieces(model):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert [processor.id_to_piece(index) for index in range(3)] == ["<pad>", "</s>", "<unk>"]
    assert processor.bos_id() == -1


def test_training_needs_captions_and_room(tmp_path):
    with pytest.raises(TaskError, match="no captions"):
        train(["", "  "], tmp_path / "a.model", size=100)
    with pytest.raises(TaskError, match="could not train 4 pieces"):
        train(CAPTIONS, tmp_path / "a.model", size=4)
    assert list(tmp_path.iterdir()) == []


def test_an_abbreviated_model_cuts_the_same_captions_the_same_way(model, tmp_path):
    few = CAPTIONS[:4]
    count = abbreviate(model, few, tmp_path / "short.model")
    long, short = SentencePieceTokenizer(model), SentencePieceTokenizer(tmp_path / "short.model")
    assert count == len(short) < len(long)
    names = [sentencepiece.SentencePieceProcessor(model_file=str(path)) for path in (model, tmp_path / "short.model")]
    for caption in few:
        before = [names[0].id_to_piece(piece) for piece in long.encode(caption)]
        assert [names[1].id_to_piece(piece) for piece in short.encode(caption)] == before
        assert short.decode(short.encode(caption)) == normalise(caption)
    order = [names[0].piece_to_id(names[1].id_to_piece(index)) for index in range(count)]
    assert order == sorted(order)
    assert order[:3] == [0, 1, 2]


def test_a_model_without_a_padding_piece_zero_is_shifted(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CAPTIONS),
        model_prefix=str(tmp_path / "plain"),
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "plain.model"))
    tokenizer = SentencePieceTokenizer(tmp_path / "plain.model")
    assert processor.unk_id() == 0
    assert len(tokenizer) == len(processor) + 1
    assert tokenizer.encode("猫")[-1] == 1
    assert tokenizer.decode(tokenizer.encode("A dog.")) == "a dog."


def test_files_that_are_no_model_are_named(tmp_path):
    (tmp_path / "broken.model").write_bytes(b"no model at all")
    (tmp_path / "empty.model").write_bytes(b"")
    for name in ("broken", "empty", "missing"):
        with pytest.raises(TaskError, match=f"{name}.model"):
            SentencePieceTokenizer(tmp_path / f"{name}.model")


def test_mads_own_model_is_read():
    tokenizer = SentencePieceTokenizer(shared("data/tokenizer/t5_tokenizer_coco_caption.model"))
    assert len(tokenizer) == 11421
    assert tokenizer.encode("A dog.")[-1] == 4
    assert tokenizer.decode(tokenizer.encode("A brown Dog on a red sofa.")) == "a brown dog on a red sofa."
