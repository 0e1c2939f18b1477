"""One mutation of the bytes of a file, or of the values of a JSON or YAML document."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", [], {}, -1, 0, 1.5, 2**31, 2**63, 2**64, -(2**70), 1e9, 1e300, 10**400),
    *(float("nan"), float("inf"), "../../outside", "/etc/passwd", "a\0b", "\x1b[31m", "[/nothing]", "é" * 300),
    *("x" * 5000, [[]], [None], [1e9] * 8, {"size": [10**9, 10**9], "counts": [1]}, "\ud800", [[[[[[]]]]]]),
)


def mutate_bytes(content: bytes, dice: random.Random) -> bytes:
    """The content with bytes flipped, cut, inserted, doubled or zeroed in one place."""
    start = dice.randrange(len(content) + 1)
    end = min(len(content), start + dice.choice((1, 1, 4, 64, 1024)))
    middle = dice.choice(
        (
            b"",
            bytes(byte ^ (1 << dice.randrange(8)) for byte in content[start:end]),
            content[start:end] * 2,
            bytes(end - start),
            dice.randbytes(end - start),
        )
    )
    cut = dice.random() < 0.2
    return content[:start] if cut else content[:start] + middle + content[end:]


def mutate_document(document: Any, dice: random.Random) -> Any:
    """A copy of JSON data with one value replaced, dropped or doubled."""
    changed = copy.deepcopy(document)
    places = list(_places(changed))
    if not places:
        return dice.choice(ODD_VALUES)
    holder, key = dice.choice(places)
    action = dice.random()
    if action < 0.15:
        del holder[key]
    elif action < 0.25 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action < 0.3 and isinstance(holder, dict):
        holder[str(dice.choice(ODD_VALUES))] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    return changed


def mutate_json(content: bytes, dice: random.Random) -> bytes:
    """A JSON file or file of JSON lines with one mutation of its values, or sometimes of its bytes."""
    if dice.random() < 0.2:
        return mutate_bytes(content, dice)
    lines = content.strip().split(b"\n") if _is_lines(content) else [content]
    row = dice.randrange(len(lines))
    text = json.dumps(mutate_document(json.loads(lines[row]), dice))
    lines[row] = text.encode("utf-8", "surrogatepass")
    return b"\n".join(lines) + b"\n"


def _is_lines(content: bytes) -> bool:
    return content.startswith(b"{") and b"}\n{" in content


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in list(items):
        yield value, key
        yield from _places(member)
