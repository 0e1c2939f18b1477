"""Parity of functions on random numbers: matching, reference choice, caption cut and mask pasting."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from bench.parity.mad_model import MadSubject, compare_pairs, padded_pieces
from bench.parity.parity_table import ParityTable
from decoders.matching import group_costs, match_groups, nearest_alternative
from decoders.objective import mean
from tasks.formats.sequence import Decoded
from tasks.pasting import paste
from tasks.targets import Context


@torch.no_grad()
def check_functions(subject: MadSubject, table: ParityTable) -> None:
    """Compare every stand-alone family that the file has."""
    checks = {
        "hung/logits": _check_hungarian,
        "capmatch/logits": _check_reference,
        "capcut/logits": _check_cut,
        "paste/prob": _check_paste,
    }
    for first, check in checks.items():
        family = f"stand-alone {first.partition('/')[0]}"
        if first in table.golden:
            check(subject, table, family)
        else:
            table.absent(family)


def _check_hungarian(subject: MadSubject, table: ParityTable, family: str) -> None:
    """Costs, pairs, targets and loss for images with some, no and as many objects as slots."""
    golden, form = table.golden, subject.tasks["det"].format
    logits = golden.tensor("hung/logits")[..., form.ids]  # (R, Q, 5, V)
    log_probabilities = logits.log_softmax(dim=-1)
    columns = form.columns_of(torch.tensor(form.unmatched)).repeat(len(logits), form.groups, 1)  # (R, Q, 5)
    real = torch.zeros(columns.shape[:2], dtype=torch.bool)
    for row in range(len(logits)):
        objects = form.columns_of(golden.tensor(f"hung/gt_tokens_img{row}"))  # (n, 5)
        costs = group_costs(log_probabilities[row : row + 1], objects[None])
        compare_pairs(table, family, f"hung/{{}}_img{row}", costs[0])
        columns[row, : len(objects)] = objects
        real[row, : len(objects)] = True
    empty = form.columns_of(torch.tensor(form.unmatched)), torch.tensor(form.unmatched_weights)
    weights = torch.where(real[..., None], torch.ones(len(form.slots)), empty[1])
    targets, weights = match_groups(
        log_probabilities.flatten(1, 2), columns.flatten(1), weights.flatten(1), real, unmatched=empty
    )
    losses = cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none") * weights.flatten()
    table.row(family, "hung")(
        target_seq=form.ids[targets], target_weight=weights.long(), loss=mean(losses.sum(), weights.sum())
    )


def _check_reference(subject: MadSubject, table: ParityTable, family: str) -> None:
    """The nearest of five references, padded ones excluded."""
    golden, form = table.golden, subject.tasks["caption"].format
    log_probabilities = golden.tensor("capmatch/logits")[..., form.ids].log_softmax(dim=-1)  # (R, L, V)
    references = golden.tensor("capmatch/references")  # (R, A, L)
    present = 1 - golden.tensor("capmatch/pad_flag")[..., None].expand(references.shape)
    chosen = nearest_alternative(log_probabilities, form.columns_of(references), present)
    index = torch.arange(len(chosen)), chosen
    table.row(family, "capmatch")(target_seq=references[index], target_weight=present[index])


def _check_cut(subject: MadSubject, table: ParityTable, family: str) -> None:
    """Captions up to their first end token."""
    task = subject.tasks["caption"]
    logits = table.golden.tensor("capcut/logits")[:, 0][..., task.format.ids]  # (R, L, V)
    decoded = Decoded(task.format.ids[logits.argmax(dim=-1)][:, None], logits.softmax(dim=-1)[:, None], 1, positions=0)
    captions = [task.interpret(decoded.image(row, 1), Context((1, 1))) for row in range(len(logits))]
    table.compare(family, "capcut/token_ids", padded_pieces(captions, logits.shape[1]))


def _check_paste(subject: MadSubject, table: ParityTable, family: str) -> None:
    """Masks pasted at image size."""
    golden = table.golden
    height, width = golden.tensor("paste/size").tolist()
    pasted = paste(golden.tensor("paste/prob"), golden.tensor("paste/boxes"), (0, 0, width, height))
    table.compare(family, "paste/mask", pasted)
