"""YAML files that users give: read with bounds on size, depth and aliases, which else take hours or all memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError
from results.files import MEBIBYTE, StoreError, read_file

DEEPEST = 50
LARGEST = 100_000
"""Values of a file, those behind aliases counted as often as they are named."""


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UserError: if there is none, it is no YAML, or it is too large.
    """
    try:
        text = read_file(path, most=MEBIBYTE).decode()
        check_yaml(text)
        return yaml.safe_load(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a YAML file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a YAML file") from None
    except StoreError as error:
        raise UserError(str(error)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not a YAML file ({' '.join(str(error).split())[:300]}); correct it") from None


def check_yaml(text: str) -> None:
    """Refuse text that is nested too deeply, names an alias inside itself, or unfolds to too many values.

    Raises:
        ValueError: for those.
        yaml.YAMLError: if it is no YAML.
    """
    sizes: dict[str, int] = {}  # values behind each anchor
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor of each open node and the values in it so far
    for event in _events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > DEEPEST:
                raise ValueError(f"nested more than {DEEPEST} levels deep")
            continue
        elif isinstance(event, yaml.AliasEvent):
            anchor, size = None, sizes.get(str(event.anchor), 1)
            if event.anchor in (name for name, _ in open_nodes):
                raise ValueError(f"alias {event.anchor!r} stands inside what it names")
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        outer, sum_so_far = open_nodes[-1]
        open_nodes[-1] = (outer, sum_so_far + size)
        if open_nodes[-1][1] > LARGEST:
            raise ValueError(f"more than {LARGEST:,} values")


def _events(text: str) -> Iterable[yaml.Event]:
    return yaml.parse(text, Loader=yaml.SafeLoader)
