"""Parity of AiT's inference: depth in four modes, boxes, boxes with masks, and the nucleus, all of them greedy."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from bench.parity.ait_model import AitSubject
from bench.parity.parity_table import ParityTable
from decoders.base import Request
from decoders.causal.ait import Ait
from decoders.causal.ait_parallel import AitParallel, parallel_inputs
from decoders.causal.generation import generate
from decoders.causal.options import AitOptions, AitParallelOptions
from decoders.network.memory import Memory
from decoders.sampling import TokenSampler, within_nucleus
from tasks.formats.sequence import Decoded, SequenceFormat
from tasks.formats.shipped import BOX
from tasks.instances import Boxes, Instances
from tasks.targets import Context

NUCLEUS = re.compile(r"(?:depth|det)/nucleus_p([\d.]+)/.*")


def _request(subject: AitSubject, format: SequenceFormat) -> Request:
    """Return one sequence without a prompt for each image of the file."""
    prompts = torch.zeros(subject.images, 1, 0, dtype=torch.int64)
    return Request(format, prompts, torch.ones(subject.images, 1, dtype=torch.bool))


@torch.no_grad()
def check_depth(subject: AitSubject, table: ParityTable) -> None:
    """Compare logits of every step, tokens and maps."""
    form, memory = subject.depth.format, subject.memory()
    (codes,) = form.slots[0].ranges
    whole = _one_pass(subject, memory)  # (B, L, V)
    table.compare("depth one pass", "depth/par_onepass/logits_full_vocab", whole)
    greedy = {soft: _greedy(subject, memory, form, soft=soft)[..., form.column(codes)] for soft in (False, True)}
    for soft, mode in ((False, "ar_hard"), (True, "ar_soft")):
        table.compare(f"depth {mode}", f"depth/{mode}/logits", greedy[soft])
        strategy = Ait(AitOptions(soft_input=soft, soft_output=soft))
        _check_map(subject, table, memory, strategy, mode=mode, family=f"depth {mode}")
    for soft, mode in ((True, "par_soft"), (False, "par_hard")):
        for one_pass, family in ((False, f"depth {mode} by steps"), (True, f"depth {mode}")):
            parallel = AitParallel(AitParallelOptions(soft_output=soft, one_pass=one_pass))
            _check_map(subject, table, memory, parallel, mode=mode, family=family)
        table.compare(f"depth {mode}", f"depth/{mode}/logits", whole[..., codes.start : codes.stop])
    for share in _shares(table, "depth/"):
        probabilities = _filter(greedy[False], float(share))
        table.row("nucleus", f"depth/nucleus_p{share}")(logits=greedy[False], probs=probabilities)


def _one_pass(subject: AitSubject, memory: Memory) -> Tensor:
    """Return logits (B, L, V) over all released ids, from the parallel tokens."""
    form, network = subject.depth.format, subject.network
    start = torch.full((subject.images, 1, form.length), form.start or 0)
    hidden = network.decode(memory, parallel_inputs(network, form, start), attention="causal")
    return network.logits(hidden, subject.released)[:, 0]


def _greedy(subject: AitSubject, memory: Memory, form: SequenceFormat, *, soft: bool) -> Tensor:
    """Return logits (B, L, V) of greedy decoding, step by step."""
    request = _request(subject, form)
    sampler = TokenSampler(request, (), temperature=0.0)
    return generate(subject.network, memory, request, sampler, cached=True, soft=soft).logits[:, 0]


def _check_map(
    subject: AitSubject, table: ParityTable, memory: Memory, strategy: Ait | AitParallel, *, mode: str, family: str
) -> None:
    (codes,) = subject.depth.format.slots[0].ranges
    decoded = strategy.decode(subject.network, memory, _request(subject, subject.depth.format), ())
    size = table.golden.tensor(f"depth/{mode}/depth").shape[1:]
    context = Context((size[0], size[1]))
    maps = [subject.depth.interpret(decoded.image(image, 1), context) for image in range(subject.images)]
    table.row(family, f"depth/{mode}")(tokens=decoded.tokens[:, 0] - codes.start, depth=torch.stack(maps))


def _shares(table: ParityTable, prefix: str) -> list[str]:
    """Return the sizes of the nuclei that the file has arrays of, from the names of those."""
    matches = (NUCLEUS.fullmatch(name) for name in table.golden.names if name.startswith(prefix))
    return sorted({match[1] for match in matches if match})


def _filter(logits: Tensor, share: float) -> Tensor:
    """Return probabilities (..., K) within the nucleus of logits (..., K)."""
    ordered, columns = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    inside = ordered * within_nucleus(ordered, share, "keep")
    return torch.zeros_like(inside).scatter(-1, columns, inside / inside.sum(dim=-1, keepdim=True))


@torch.no_grad()
def check_objects(subject: AitSubject, table: ParityTable) -> None:
    """Compare tokens, scores, mask logits and nucleus of both sequences of objects."""
    memory, form = subject.memory(), subject.instances.format
    for soft, mode in ((False, "ar_hard"), (True, "ar_soft")):
        _check_sequence(table, subject, memory, subject.instances, family=f"insseg/{mode}", soft=soft)
    _check_sequence(table, subject, memory, subject.boxes, family="det", soft=False)
    (codes,) = form.slots[-1].ranges
    logits = _greedy(subject, memory, form, soft=True)[..., form.column(codes)]
    grouped = logits.reshape(subject.images, form.groups, -1, len(codes))
    table.compare("insseg/ar_soft", "insseg/ar_soft/mask_logits", grouped[:, :, BOX + 1 :])
    logits = _greedy(subject, memory, subject.boxes.format, soft=False)
    for share in _shares(table, "det/"):
        padded, tokens = _pad(subject.boxes.format, logits, float(share))
        table.row("nucleus", f"det/nucleus_p{share}")(probs_padded=padded, tokens=tokens)


def _check_sequence(
    table: ParityTable, subject: AitSubject, memory: Memory, task: Boxes | Instances, *, family: str, soft: bool
) -> None:
    form = task.format
    strategy = Ait(AitOptions(soft_input=soft, soft_output=soft, top_p={}))
    decoded: Decoded = strategy.decode(subject.network, memory, _request(subject, form), ())
    first = torch.tensor([slot.ranges[0].start for slot in form.slots]).repeat(form.groups)
    grouped = (subject.images, form.groups, len(form.slots))
    tokens, probabilities = decoded.tokens.reshape(grouped), decoded.probabilities.reshape(*grouped, -1)
    images = zip(tokens[:, :, BOX], probabilities[:, :, BOX], strict=True)  # boxes without extent have a score, too
    scores = torch.stack([task.sequence.scores(*image)[0] for image in images])
    table.row(family, family)(tokens=decoded.tokens[:, 0] - first, scores=scores)


def _pad(form: SequenceFormat, logits: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return the nucleus and the likeliest token of the legal ids at every position, from logits (B, L, V).

    Probabilities (B, L, most legal ids) are padded with -1; tokens are (B, L) columns of the legal ids.
    """
    widest = max(len(slot.ids) for slot in form.slots)
    padded = torch.full((*logits.shape[:2], widest), -1.0)
    tokens = torch.zeros(logits.shape[:2], dtype=torch.int64)
    for place in range(form.length):
        slot = form.slots[place % len(form.slots)]
        legal = logits[:, place, form.columns_of(slot.ids)]
        padded[:, place, : len(slot.ids)] = _filter(legal, share)
        tokens[:, place] = legal.argmax(dim=-1)
    return padded, tokens
