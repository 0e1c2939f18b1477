"""Captioning: five references, ended and padded by piece 0, come back up to normalization."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import Task, TaskError, TaskParts
from tasks.captioning import Captioning
from tasks.formats.tokenizer import SentencePieceTokenizer, train
from tasks.formats.vocabulary import Vocabulary
from tasks.targets import Context, Targets
from tests.tasks.task_examples import parts, perfect

NOUNS = ("dog", "kite", "boat", "teapot")
SIZE = (4, 4)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("captioning") / "captions.model"
    train([f"a {a} near a {b}." for a in NOUNS for b in NOUNS], path, size=60)
    return SentencePieceTokenizer(path)


def captioned(*captions: str) -> Targets:
    return Targets(SIZE, captions=captions)


@given(words=st.lists(st.sampled_from([*NOUNS, "Near", "A"]), min_size=1, max_size=8))
def test_captions_come_back_up_to_normalization(tokenizer, words):
    task = Captioning(parts(tokenizer=tokenizer, caption_length=40))
    assert perfect(task, captioned("  ".join(words) + ".", "a boat.")) == " ".join(words).lower() + "."


def test_references_are_ended_cut_and_padded(tokenizer):
    built = parts(tokenizer=tokenizer, caption_length=5)
    task: Task = Captioning(built)
    long = "a dog near a kite near a boat."
    encoded = task.encode(captioned("a dog", long))
    start = built.vocabulary["word"].start
    pieces = [start + piece for piece in tokenizer.encode("a dog")]
    assert encoded.tokens[0].tolist() == pieces + [start] * (5 - len(pieces))
    assert encoded.tokens[1].tolist() == [start + piece for piece in tokenizer.encode(long)[:4]] + [start]
    assert bool((encoded.weights == 1).all())
    assert encoded.prompts.tolist() == [list(range(8, 14))] * 2
    assert task.prompt(Context(SIZE)).tolist() == [list(range(8, 14))]
    assert task.format.end == start


def test_at_most_five_references_are_used_and_cut_ones_counted(tokenizer):
    task = Captioning(parts(tokenizer=tokenizer, caption_length=5))
    targets = captioned("a dog", *["a dog near a kite near a boat."] * 6)
    assert len(task.encode(targets).tokens) == 5
    assert task.unreachable(targets) == 4


def test_an_image_without_captions_is_not_annotated(tokenizer):
    task = Captioning(parts(tokenizer=tokenizer))
    assert not task.annotated(Targets(SIZE))
    assert not task.annotated(captioned())
    assert task.encode(captioned()).tokens.shape == (0, 20)
    assert torch.equal(task.target_rows(Context(SIZE)), torch.tensor([0]))


def test_the_vocabulary_must_be_the_tokenizers(tokenizer):
    built = parts()
    with pytest.raises(TaskError, match="needs a tokenizer"):
        Captioning(built)
    wrong = TaskParts(Vocabulary(built.sizes, words=7), built.sizes, built.class_names, tokenizer)
    with pytest.raises(TaskError, match="7 words"):
        Captioning(wrong)
