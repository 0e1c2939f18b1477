"""Released state dicts fitted into our network: names translated by templates, shapes checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from decoders.network.errors import NetworkError

Fit = Callable[[str, Tensor, str, Tensor], Tensor]  # released name, its tensor, our name, ours: one shaped like ours


@dataclass(frozen=True)
class Conversion:
    """A released state dict in our names.

    Args:
        tensors: our name to tensor, every one of our network's names.
        unused: released names without a place in our network.
        missing: our names that the released state dict does not fill; they keep the network's own values.
        kept_rows: rows of the embedding that it does not have (depth tokens); they keep the network's own values.
    """

    tensors: dict[str, Tensor]
    unused: list[str]
    missing: list[str]
    kept_rows: int = 0


class NameTranslation:
    """Translates names by templates such as ``layers.{n}.{rest}``: {n} and {m} are numbers, {rest} is one word."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._rules = [(_pattern(source), target) for source, target in templates.items()]

    def __call__(self, name: str) -> str | None:
        """Return the translated name, or None if no template matches."""
        for pattern, template in self._rules:
            match = pattern.fullmatch(name)
            if match:
                return template.format(**match.groupdict())
        return None


def fill(
    released: Mapping[str, Tensor], state: Mapping[str, Tensor], translate: Callable[[str], str | None], fit: Fit
) -> Conversion:
    """Put released tensors in the places of our own.

    Args:
        released: released name to tensor.
        state: our network's state dict, for names, shapes and values that are not released.
        translate: released name to ours, or None.
        fit: brings a released tensor to our shape, as far as it can.

    Raises:
        NetworkError: if a tensor's shape differs from our network's.
    """
    tensors, unused, filled = dict(state), [], set()
    for name, value in released.items():
        ours = translate(name)
        if ours is None or ours not in state:
            unused.append(name)
            continue
        fitted = fit(name, value, ours, state[ours])
        if fitted.shape != state[ours].shape:
            raise NetworkError(
                f"{name} has shape {list(fitted.shape)}, the network's {ours} {list(state[ours].shape)}; "
                "the preset's sizes differ from the checkpoint's"
            )
        tensors[ours] = fitted
        filled.add(ours)
    return Conversion(tensors, unused, [name for name in state if name not in filled])


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(r"\{rest\}", r"(?P<rest>\w+)")
    for number in "nm":
        pattern = pattern.replace(rf"\{{{number}\}}", rf"(?P<{number}>\d+)")
    return re.compile(pattern, re.ASCII)
