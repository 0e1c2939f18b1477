"""Parity of AiT's inference: depth in four modes, boxes, boxes with masks, and the nucleus, all of them greedy."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from bench.parity.ait_model import AitSubject
from bench.parity.golden_file import GoldenFile, ParityTable
from decoders.base import Request
from decoders.causal.ait import Ait, AitOptions
from decoders.causal.ait_parallel import AitParallel, AitParallelOptions, parallel_inputs
from decoders.causal.generation import generate
from decoders.network.memory import Memory
from decoders.sampling import TokenSampler, within_nucleus
from tasks.detection import BOX
from tasks.formats.sequence import Decoded, SequenceFormat
from tasks.instances import Boxes, Instances
from tasks.targets import Context

DEPTH_MODES = ("ar_hard", "ar_soft", "par_soft", "par_hard")
NUCLEUS = re.compile(r"(?:depth|det)/nucleus_p([\d.]+)/.*")


def request(subject: AitSubject, format: SequenceFormat) -> Request:
    """One sequence without a prompt for each image of the file."""
    prompts = torch.zeros(subject.images, 1, 0, dtype=torch.int64)
    return Request(format, prompts, torch.ones(subject.images, 1, dtype=torch.bool))


@torch.no_grad()
def check_depth(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Logits of every step, tokens and maps."""
    form, memory = subject.depth.format, subject.memory()
    (codes,) = form.slots[0].ranges
    whole = _one_pass(subject, memory)  # (B, L, V)
    table.compare("depth one pass", "depth/par_onepass/logits_full_vocab", whole)
    for mode in DEPTH_MODES:
        family, soft = f"depth {mode}", mode.endswith("soft")
        if mode.startswith("ar"):
            logits = _steps(subject, memory, form, soft=soft)[..., form.column(codes)]
            decoder: Ait | AitParallel = Ait(AitOptions(soft_input=soft, soft_output=soft))
        else:
            logits = whole[..., codes.start : codes.stop]
            decoder = AitParallel(AitParallelOptions(soft_output=soft))
            stepwise = AitParallel(AitParallelOptions(soft_output=soft, one_pass=False))
            _check_map(
                subject, golden, table, _decoded(subject, memory, stepwise), mode=mode, family=f"{family} by steps"
            )
        table.compare(family, f"depth/{mode}/logits", logits)
        _check_map(subject, golden, table, _decoded(subject, memory, decoder), mode=mode, family=family)
    _check_depth_nucleus(subject, golden, table, memory)


def _one_pass(subject: AitSubject, memory: Memory) -> Tensor:
    """(B, L, V) logits over all released ids, from the parallel tokens."""
    form, network = subject.depth.format, subject.network
    start = torch.full((subject.images, 1, form.length), form.start or 0)
    hidden = network.decode(memory, parallel_inputs(network, form, start), attention="causal")
    return network.logits(hidden, subject.released)[:, 0]


def _steps(subject: AitSubject, memory: Memory, form: SequenceFormat, *, soft: bool) -> Tensor:
    """(B, L, V) logits of greedy decoding, step by step."""
    wanted = request(subject, form)
    sampler = TokenSampler(wanted, (), temperature=0.0)
    return generate(subject.network, memory, wanted, sampler, cached=True, soft=soft).logits[:, 0]


def _decoded(subject: AitSubject, memory: Memory, decoder: Ait | AitParallel) -> Decoded:
    return decoder.decode(subject.network, memory, request(subject, subject.depth.format), ())


def _check_map(
    subject: AitSubject, golden: GoldenFile, table: ParityTable, decoded: Decoded, *, mode: str, family: str
) -> None:
    (codes,) = subject.depth.format.slots[0].ranges
    table.compare(family, f"depth/{mode}/tokens", decoded.tokens[:, 0] - codes.start)
    size = golden.tensor(f"depth/{mode}/depth").shape[1:]
    context = Context((size[0], size[1]))
    maps = [subject.depth.interpret(decoded.image(image, 1), context) for image in range(subject.images)]
    table.compare(family, f"depth/{mode}/depth", torch.stack(maps))


def _check_depth_nucleus(subject: AitSubject, golden: GoldenFile, table: ParityTable, memory: Memory) -> None:
    """The filter at every step of a decode that goes on with the likeliest tokens."""
    form = subject.depth.format
    (codes,) = form.slots[0].ranges
    logits = _steps(subject, memory, form, soft=False)[..., form.column(codes)]
    for share in _shares(golden, "depth/"):
        table.compare("nucleus", f"depth/nucleus_p{share}/logits", logits)
        table.compare("nucleus", f"depth/nucleus_p{share}/probs", filtered(logits, float(share)))


def _shares(golden: GoldenFile, prefix: str) -> list[str]:
    """The nuclei that the file has arrays of; their names say how large they are."""
    found = (NUCLEUS.fullmatch(name) for name in golden.names if name.startswith(prefix))
    return sorted({match[1] for match in found if match})


def filtered(logits: Tensor, share: float) -> Tensor:
    """(..., K) probabilities of what the nucleus keeps of logits (..., K)."""
    ordered, columns = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    kept = ordered * within_nucleus(ordered, share, "keep")
    return torch.zeros_like(kept).scatter(-1, columns, kept / kept.sum(dim=-1, keepdim=True))


@torch.no_grad()
def check_objects(subject: AitSubject, golden: GoldenFile, table: ParityTable) -> None:
    """Tokens, scores, mask logits and nucleus of both sequences of objects."""
    memory = subject.memory()
    for soft, mode in ((False, "ar_hard"), (True, "ar_soft")):
        _check_sequence(subject, table, memory, subject.instances, name=f"insseg/{mode}", soft=soft)
    _check_sequence(subject, table, memory, subject.boxes, name="det", soft=False)
    (codes,) = subject.instances.format.slots[-1].ranges
    logits = _steps(subject, memory, subject.instances.format, soft=True)
    logits = logits[..., subject.instances.format.column(codes)]
    grouped = logits.reshape(subject.images, subject.instances.format.groups, -1, len(codes))
    table.compare("insseg/ar_soft", "insseg/ar_soft/mask_logits", grouped[:, :, BOX + 1 :])
    _check_box_nucleus(subject, golden, table, memory)


def _check_sequence(
    subject: AitSubject, table: ParityTable, memory: Memory, task: Boxes | Instances, *, name: str, soft: bool
) -> None:
    form = task.format
    decoder = Ait(AitOptions(soft_input=soft, soft_output=soft, top_p={}))
    decoded = decoder.decode(subject.network, memory, request(subject, form), ())
    first = torch.tensor([slot.ranges[0].start for slot in form.slots]).repeat(form.groups)
    table.compare(name, f"{name}/tokens", decoded.tokens[:, 0] - first)
    grouped = (subject.images, form.groups, len(form.slots))
    tokens, probabilities = decoded.tokens.reshape(grouped), decoded.probabilities.reshape(*grouped, -1)
    rows = zip(tokens[:, :, BOX], probabilities[:, :, BOX], strict=True)  # boxes without extent have a score, too
    table.compare(name, f"{name}/scores", torch.stack([task.sequence.scores(*row)[0] for row in rows]))


def _check_box_nucleus(subject: AitSubject, golden: GoldenFile, table: ParityTable, memory: Memory) -> None:
    """Filtered probabilities of the ids that each position may hold, padded with -1."""
    logits = _steps(subject, memory, subject.boxes.format, soft=False)
    for share in _shares(golden, "det/"):
        padded, tokens = _padded(subject.boxes.format, logits, float(share))
        table.compare("nucleus", f"det/nucleus_p{share}/probs_padded", padded)
        table.compare("nucleus", f"det/nucleus_p{share}/tokens", tokens)


def _padded(form: SequenceFormat, logits: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Probabilities (B, L, most legal ids) and likeliest of them (B, L), from logits (B, L, V)."""
    widest = max(len(slot.ids) for slot in form.slots)
    padded = torch.full((*logits.shape[:2], widest), -1.0)
    tokens = torch.zeros(logits.shape[:2], dtype=torch.int64)
    for place in range(form.length):
        slot = form.slots[place % len(form.slots)]
        own = logits[:, place, form.columns_of(slot.ids)]
        padded[:, place, : len(slot.ids)] = filtered(own, share)
        tokens[:, place] = own.argmax(dim=-1)
    return padded, tokens
