"""The format says which ids may stand where; decoded rows and stacked prompts keep their image's order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, Slot, one_hot, stack_prompts
from tasks.formats.vocabulary import IdRange

LOW, HIGH, NONE = IdRange(10, 13, "low"), IdRange(20, 22, "high"), IdRange(30, 31, "none")
FORMAT = SequenceFormat("toy", 2, (Slot((HIGH,)), Slot((LOW, HIGH), dense=True)), 3, target_only=(NONE,))


def test_positions_ids_and_legality():
    assert FORMAT.length == 6
    assert FORMAT.ids.tolist() == [10, 11, 12, 20, 21, 30]
    assert FORMAT.legal.int().tolist() == [[0, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0]] * 3
    assert [slot.ids.tolist() for slot in FORMAT.slots] == [[20, 21], [10, 11, 12, 20, 21]]
    assert FORMAT.dense.tolist() == [False, True] * 3
    assert FORMAT.column(HIGH) == slice(3, 5)
    assert FORMAT.column(NONE) == slice(5, 6)


@given(st.lists(st.sampled_from([10, 11, 12, 20, 21, 30]), max_size=8))
def test_columns_are_the_places_of_ids(tokens):
    ids = torch.tensor(tokens, dtype=torch.int64)
    assert torch.equal(FORMAT.ids[FORMAT.columns_of(ids)], ids)
    assert torch.equal(one_hot(FORMAT, ids).sum(dim=-1), torch.ones(len(tokens)))


def test_foreign_ids_and_ranges_are_named():
    with pytest.raises(ValueError, match="token 15"):
        FORMAT.columns_of(torch.tensor([10, 15]))
    with pytest.raises(ValueError, match="no range 'code'"):
        FORMAT.column(IdRange(40, 50, "code"))


def test_prompts_of_images_are_padded_and_marked():
    stacked, valid = stack_prompts([torch.tensor([[1, 2], [3, 4]]), torch.zeros(0, 2, dtype=torch.int64)], fill=9)
    assert stacked.tolist() == [[[1, 2], [3, 4]], [[9, 9], [9, 9]]]
    assert valid.tolist() == [[True, True], [False, False]]


def test_rows_of_one_image():
    tokens = torch.arange(12).reshape(2, 3, 2)
    decoded = Decoded(tokens, tokens[..., None].float(), evaluations=3, positions=18)
    own = decoded.image(1, 2)
    assert own.tokens.tolist() == [[6, 7], [8, 9]]
    assert own.probabilities.shape == (2, 2, 1)
    assert decoded.image(0, 0).tokens.shape == (0, 2)
    encoded = Encoded(tokens[0], tokens[0].float(), tokens[0]).rows(torch.tensor([2, 0]))
    assert encoded.tokens.tolist() == [[4, 5], [0, 1]]
