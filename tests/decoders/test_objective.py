"""The loss: sums over counted positions, nothing from padding. Parity holds the release's targets and losses."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from decoders.base import View
from decoders.objective import mean, view_loss
from tests.tasks.task_examples import parts


def identity(hidden: torch.Tensor) -> torch.Tensor:
    return hidden


def test_padding_trains_nothing() -> None:
    from tasks.detection import Detection

    form = Detection(parts(slots=3)).format
    shape = (1, 1, form.length)
    view = View(
        inputs=torch.zeros(1, 1, form.prompt_length + form.length, dtype=torch.int64),
        attention="full",
        tokens=form.ids[0].expand(shape),
        weights=torch.zeros(shape),
        counted=torch.ones(shape, dtype=torch.bool),
        matching="groups",
        real=torch.zeros(1, 1, form.groups, dtype=torch.bool),
    )
    hidden = torch.randn(2, *view.inputs.shape, len(form.ids), requires_grad=True)
    total, weight = view_loss(form, view, hidden, identity)
    assert (float(weight), float(total.detach())) == (0, 0)
    mean(total, weight).backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert float(hidden.grad.abs().sum()) == 0


def test_only_counted_positions_are_in_the_loss_and_in_the_gradient() -> None:
    from tasks.segmentation import Segmentation

    form = Segmentation(parts(mask_size=2)).format
    generator = torch.Generator().manual_seed(0)
    tokens = form.ids[torch.randint(2, (1, 2, form.length), generator=generator)]
    counted = torch.rand(tokens.shape, generator=generator) < 0.5
    inputs = torch.zeros(1, 2, form.prompt_length + form.length, dtype=torch.int64)
    view = View(inputs, "full", tokens, torch.full(tokens.shape, 2.0), counted, "fixed")
    hidden = torch.randn(3, *inputs.shape, len(form.ids), requires_grad=True)
    total, weight = view_loss(form, view, hidden, identity)
    outputs = hidden[:, :, :, form.prompt_length :][:, counted]  # (Y, counted, V)
    columns = form.columns_of(tokens)[counted].expand(3, -1)
    expected = cross_entropy(outputs.flatten(0, 1), columns.flatten(), reduction="sum")
    torch.testing.assert_close(total, 2 * expected)
    assert float(weight) == 3 * 2 * int(counted.sum())
    total.backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert float(hidden.grad[:, :, :, form.prompt_length :][:, ~counted].abs().sum()) == 0
