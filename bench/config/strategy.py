"""Options of a decoder strategy from ``--strategy``, checked without importing the strategy itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from bench import registry
from bench.errors import UserError, unknown
from bench.registry import DecoderEntry


def strategy_options(entry: DecoderEntry, strategy: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return an instance of a strategy's options; None of a strategy that has none.

    Args:
        entry: what the strategy declares.
        strategy: decoder to name and value of its options.

    Raises:
        UserError: if it has no such option, a value is of the wrong type, or a task is unknown.
    """
    given = strategy.get(entry.name, {})
    if entry.Options is None:
        if given:
            raise UserError(f"--strategy: {entry.name} has no options, got {', '.join(given)}")
        return None
    types = {field.name: field.type for field in dataclasses.fields(entry.Options)}
    for name in given:
        if name not in types:
            raise UserError(f"--strategy: {unknown(f'option of {entry.name}', name, list(types))}")
    for name in entry.by_task:
        if isinstance(given.get(name), Mapping):
            registry.check_tasks(f"--strategy: {entry.name}: {name}", given[name])
    try:
        return msgspec.convert(given, entry.Options, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        hints = [f" (takes {name}: {expected})" for name, expected in types.items() if name in str(error)]
        hint = hints[0] if hints and isinstance(error, msgspec.ValidationError) else ""
        raise UserError(f"--strategy: {entry.name}: {error}{hint}") from None
