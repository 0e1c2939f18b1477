"""Optimizer: parameter groups, learning rate of a step, moving average of the weights, and precision."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn

from bench.config.training import CodecSchedule, Schedule

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
START_DIVISOR = 25.0  # OneCycle: peak over first learning rate
END_DIVISOR = 1e4  # OneCycle: first over last learning rate
DROP = 0.1
LINEAR_END = 0.01
POSITIONS = ("positions", "cpb_mlp", "logit_scale", "pos_embed")  # in names of learned positions and of a Swin's biases
COSINE_START = 1e-3  # cosine: first over peak learning rate


def parameter_groups(model: nn.Module, schedule: Schedule) -> list[dict[str, object]]:
    """Return groups for AdamW, each with ``scale``, the factor of its learning rate (MAD Table 9; both releases).

    With ``undecayed="norms"`` layer norms and the positions of a ViT backbone are not decayed; with ``"vectors"``
    biases, embeddings and the decoder's positions are not decayed either. The rate of the backbone is scaled by
    ``schedule.backbone_scale``, that of its early layers also by ``schedule.layer_decay``. Frozen parameters are left
    out.
    """
    undecayed, layers = _undecayed(model, schedule), _layer_scales(model, schedule)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = schedule.backbone_scale if "backbone." in name else 1.0
            scale *= layers.get(id(parameter), 1.0)
            decay = 0.0 if id(parameter) in undecayed else schedule.weight_decay
            groups.setdefault((scale, decay), []).append(parameter)
    return [{"params": params, "scale": s, "weight_decay": decay} for (s, decay), params in groups.items()]


def _undecayed(model: nn.Module, schedule: Schedule) -> set[int]:
    kinds = nn.LayerNorm if schedule.undecayed == "norms" else (nn.LayerNorm, nn.Embedding)
    undecayed = {id(p) for m in model.modules() if isinstance(m, kinds) for p in m.parameters(recurse=False)}
    named = list(model.named_parameters())
    undecayed |= {id(p) for name, p in named if name.endswith("pos_embed")}  # of a ViT backbone, as in MAD's release
    if schedule.undecayed == "vectors":
        undecayed |= {id(p) for name, p in named if p.dim() < 2 or any(part in name for part in POSITIONS)}
    return undecayed


def _layer_scales(model: nn.Module, schedule: Schedule) -> dict[int, float]:
    """Return the factors of the rates of a timm model's parameters."""
    scales: dict[int, float] = {}
    if schedule.layer_decay == 1:
        return scales
    for module in model.modules():
        if hasattr(module, "group_matcher"):
            for group in param_groups_layer_decay(module, layer_decay=schedule.layer_decay):
                scales |= {id(p): float(group["lr_scale"]) * schedule.layer_decay for p in group["params"]}
    return scales


def make_optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters; ``set_rate`` sets its rate at every step."""
    groups = parameter_groups(model, schedule)
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=schedule.betas, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, step: int, schedule: Schedule) -> float:
    """Set every group's learning rate for a step; return the unscaled rate."""
    rate = schedule.rate * factor(step, schedule)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def factor(step: int, schedule: Schedule) -> float:
    """Return the share of the peak learning rate at a step (counted from 0).

    ``one_cycle`` rises along a cosine over the share ``warm_up`` of the steps and falls along one to almost 0.
    ``drops`` rises linearly over ``warm_up`` and is cut to a tenth at each share in ``drops``. ``linear`` rises
    likewise and falls to a hundredth. ``CodecSchedule`` describes ``exponential`` and ``cosine``.
    """
    if isinstance(schedule, CodecSchedule) and schedule.kind in ("exponential", "cosine"):
        return _exponential(step, schedule) if schedule.kind == "exponential" else _warm_cosine(step, schedule)
    warm = schedule.warm_up * schedule.steps
    climbing = min(1.0, (step + 1) / warm) if warm else 1.0
    if schedule.kind == "drops":
        return climbing * DROP ** sum(step >= share * schedule.steps for share in schedule.drops)
    if schedule.kind == "linear":
        left = 1 - max(0.0, step - warm) / max(1.0, schedule.steps - 1 - warm)
        return climbing * (LINEAR_END + (1 - LINEAR_END) * left)
    if step < warm:
        return _cosine(1 / START_DIVISOR, 1.0, step / warm)
    last = 1 / (START_DIVISOR * END_DIVISOR)
    return _cosine(1.0, last, (step - warm) / max(1.0, schedule.steps - 1 - warm))


def _exponential(step: int, schedule: CodecSchedule) -> float:
    epochs, within = divmod(step, schedule.epoch)
    return schedule.gamma ** (epochs * math.ceil(schedule.epoch / schedule.every) + within // schedule.every + 1)


def _warm_cosine(step: int, schedule: CodecSchedule) -> float:
    warm = schedule.warm_up * schedule.steps
    if step < warm:
        return COSINE_START + (1 - COSINE_START) * step / warm
    return _cosine(1.0, schedule.lowest / schedule.rate, (step - warm) / max(1.0, schedule.steps - 1 - warm))


def _cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


class MovingAverage:
    """Exponential moving average of the trainable parameters; with ``decay`` 0 it equals them.

    Attributes:
        parameters: parameter name to parameter.
        values: parameter name to average.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.parameters = {name: p for name, p in named if p.requires_grad}
        self.decay = decay
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the parameters; the first steps count more, so that the random start is forgotten soon."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(self.parameters.values()), 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Replace the averages by saved ones."""
        for name, value in self.values.items():
            value.copy_(values[name])


def fastest_precision(device: torch.device, side: int = 768) -> str:
    """Return ``bfloat16`` where its matrix products take at most two thirds of float32's time, else ``float32``.

    On an accelerator without units for bfloat16 return ``float16``.
    """
    if device.type != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    seconds = {}
    for name in ("float32", "bfloat16"):
        matrix = torch.ones(side, side, dtype=DTYPES[name])
        best = float("inf")
        for _ in range(6):
            started = time.perf_counter()
            matrix @ matrix
            best = min(best, time.perf_counter() - started)
        seconds[name] = best
    return "bfloat16" if seconds["bfloat16"] * 1.5 < seconds["float32"] else "float32"
