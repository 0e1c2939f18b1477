"""Parity of the stand-alone families: matching, reference choice, caption cut and mask pasting on random numbers."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from bench.parity.golden_file import GoldenFile, ParityTable
from bench.parity.mad_model import Subject
from decoders.matching import assign, group_costs, match_groups, nearest_alternative
from decoders.objective import mean
from tasks.formats.sequence import Decoded
from tasks.pasting import paste
from tasks.targets import Context


@torch.no_grad()
def check_alone(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Every stand-alone family that the file has."""
    for name, check in {
        "hung": _check_hungarian,
        "capmatch": _check_reference,
        "capcut": _check_cut,
        "paste": _check_paste,
    }.items():
        first = {"paste": "prob"}.get(name, "logits")
        if f"{name}/{first}" in golden:
            check(subject, golden, table)
        else:
            table.compare(f"stand-alone {name}", f"{name}/{first}", torch.zeros(0))


def _check_hungarian(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Costs, pairs, targets and loss for images with some, no and as many objects as slots."""
    family, form = "stand-alone hung", subject.tasks["det"].format
    logits = golden.tensor("hung/logits")[..., form.ids]  # (R, Q, 5, V)
    certain = logits.log_softmax(dim=-1)
    columns = form.columns_of(torch.tensor(form.unmatched)).repeat(len(logits), form.groups, 1)  # (R, Q, 5)
    real = torch.zeros(columns.shape[:2], dtype=torch.bool)
    for row in range(len(logits)):
        objects = form.columns_of(golden.tensor(f"hung/gt_tokens_img{row}"))  # (n, 5)
        costs = group_costs(certain[row : row + 1], objects[None])
        pairs = assign(costs, torch.tensor([len(objects)]))[0]
        slots = (pairs >= 0).nonzero()[:, 0]
        table.compare(family, f"hung/cost_img{row}", costs[0])
        table.compare(family, f"hung/row_img{row}", slots)
        table.compare(family, f"hung/col_img{row}", pairs[slots])
        columns[row, : len(objects)] = objects
        real[row, : len(objects)] = True
    empty = form.columns_of(torch.tensor(form.unmatched)), torch.tensor(form.unmatched_weights)
    weights = torch.where(real[..., None], torch.ones(len(form.slots)), empty[1])
    found, found_weights = match_groups(
        certain.flatten(1, 2), columns.flatten(1), weights.flatten(1), real, unmatched=empty
    )
    table.compare(family, "hung/target_seq", form.ids[found])
    table.compare(family, "hung/target_weight", found_weights.long())
    losses = cross_entropy(logits.flatten(0, 2), found.flatten(), reduction="none") * found_weights.flatten()
    table.compare(family, "hung/loss", mean(losses.sum(), found_weights.sum()))


def _check_reference(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """The nearest of five references, padded ones aside."""
    family, form = "stand-alone capmatch", subject.tasks["caption"].format
    certain = golden.tensor("capmatch/logits")[..., form.ids].log_softmax(dim=-1)  # (R, L, V)
    references = golden.tensor("capmatch/references")  # (R, A, L)
    present = 1 - golden.tensor("capmatch/pad_flag")[..., None].expand(references.shape)
    chosen = nearest_alternative(certain, form.columns_of(references), present)
    index = torch.arange(len(chosen)), chosen
    table.compare(family, "capmatch/target_seq", references[index])
    table.compare(family, "capmatch/target_weight", present[index])


def _check_cut(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Captions up to their first end token."""
    task = subject.tasks["caption"]
    logits = golden.tensor("capcut/logits")[:, 0][..., task.format.ids]  # (R, L, V)
    wanted = torch.zeros(logits.shape[:2], dtype=torch.int64)
    for row, own in enumerate(logits):
        tokens = task.format.ids[own.argmax(dim=-1)]
        decoded = Decoded(tokens[None], own.softmax(dim=-1)[None], evaluations=1, positions=0)
        pieces = [int(piece) for piece in task.interpret(decoded, Context((1, 1))).split()]
        wanted[row, : len(pieces)] = torch.tensor(pieces, dtype=torch.int64)
    table.compare("stand-alone capcut", "capcut/token_ids", wanted)


def _check_paste(subject: Subject, golden: GoldenFile, table: ParityTable) -> None:
    """Masks pasted at image size."""
    height, width = golden.tensor("paste/size").tolist()
    pasted = paste(golden.tensor("paste/prob"), golden.tensor("paste/boxes"), (0, 0, width, height))
    table.compare("stand-alone paste", "paste/mask", pasted)
