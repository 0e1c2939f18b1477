"""Words of a command line as pairs of option and value; messages about them in the spelling that the user typed."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from bench.errors import UserError

BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def option_types(options: type, prefix: str = "") -> dict[str, Any]:
    """Name of every option to its type; members of a nested class follow it as ``sizes.bins``."""
    hints = typing.get_type_hints(options)
    types: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        hint = hints[field.name]
        types[prefix + field.name] = hint
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            types |= option_types(hint, f"{prefix}{field.name}.")
    return types


def check_name(name: str, types: Mapping[str, Any], *, typed: str | None = None) -> None:
    """Refuse an option that there is not.

    Args:
        name: option with underscores, e.g. ``sizes.bins``.
        types: what ``option_types`` returns.
        typed: how the user spelled it, for the message.

    Raises:
        UserError: with the nearest option, spelled with dashes if the user did so.
    """
    head, dot, _ = name.removesuffix("+").rpartition(".")
    while dot and head not in types:
        head, dot, _ = head.rpartition(".")
    if name.removesuffix("+") in types or (dot and _takes_any_member(types[head])):
        return
    typed = typed or f"--{name}"
    near = get_close_matches(name, list(types), n=1, cutoff=0.6) or [
        option for option in types if option.startswith(name) or option.rpartition(".")[2] == name
    ]
    nearest = f"; did you mean --{_respell(near[0], typed)}?" if near else ""
    raise UserError(f"unknown option {typed}{nearest}")


def _takes_any_member(hint: Any) -> bool:
    return hint is Any or get_origin(hint) is dict


def _respell(name: str, typed: str) -> str:
    return name.replace("_", "-") if "-" in typed.removeprefix("--") else name


@dataclasses.dataclass
class Words:
    """A command line read against the options of a command.

    Args:
        options: normalized words, ``--name=value`` each.
        spellings: name of every option to how the user typed it, e.g. ``headers_only`` to ``headers-only``.
    """

    options: list[str] = dataclasses.field(default_factory=list)
    spellings: dict[str, str] = dataclasses.field(default_factory=dict)

    def respell(self, message: str) -> str:
        """Return the message with every option spelled as the user typed it."""
        return re.sub(
            r"--([A-Za-z][\w.-]*\w)",
            lambda match: "--" + self.spellings.get(match[1].replace("-", "_"), match[1]),
            message,
        )


def read_words(
    words: Sequence[str], types: Mapping[str, Any], *, positional: Sequence[str] = (), further: Collection[str] = ()
) -> Words:
    """Normalize the words of a command line.

    ``--headers-only`` is taken for ``--headers_only``, a bare ``--fresh`` for ``--fresh=true``, ``yes`` and ``on`` for
    ``true``, one path for a list of one, and words without an option for the positional ones.

    Args:
        words: what the user typed behind the command.
        types: what ``option_types`` returns.
        positional: options that may be given without their name, in order; a list takes all words that are left.
        further: options beside those of ``types``, e.g. ``config``.

    Raises:
        UserError: for an unknown option, a missing or superfluous value.
    """
    read, loose, rest = Words(), [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            loose.append(word)
            continue
        typed, equals, value = word.partition("=")
        name = typed[2:].replace("-", "_")
        read.spellings[name] = typed[2:]
        if name not in further:
            check_name(name, types, typed=typed)
        if types.get(name) is bool:
            value, equals = _boolean(typed, value if equals else None, rest, expects_word=len(loose) < len(positional))
        elif not equals and rest and not rest[0].startswith("--"):
            value, equals = rest.pop(0), "="
        if _is_list(types.get(name)) and equals and not value.startswith("["):
            value = json.dumps([value])
        read.options.append(f"--{name}{equals}{value}")
    read.options = [*_positional_options(loose, types, positional), *read.options]
    return read


def _boolean(typed: str, value: str | None, rest: list[str], *, expects_word: bool) -> tuple[str, str]:
    """Return the value of a flag and its equals sign; takes the next word off ``rest`` if it is the value."""
    if value is None and rest and not rest[0].startswith("-") and (rest[0].lower() in BOOLEANS or not expects_word):
        value = rest.pop(0)
    if value is None:
        return "true", "="
    if value.lower() not in BOOLEANS:
        raise UserError(f"{typed} {value}: expected {', '.join(BOOLEANS)}, or no value for true")
    return str(BOOLEANS[value.lower()]).lower(), "="


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is list


def _positional_options(loose: Sequence[str], types: Mapping[str, Any], positional: Sequence[str]) -> list[str]:
    options, left = [], list(loose)
    for name in positional:
        if left and _is_list(types[name]):
            options.append(f"--{name}={json.dumps(left)}")
            left = []
        elif left:
            options.append(f"--{name}={left.pop(0)}")
    if left:
        expected = f"at most {len(positional)} without an option" if positional else "options as --name value"
        raise UserError(f"unexpected {' '.join(left)}: expected {expected}")
    return options


def one_line(message: str) -> str:
    """Return the parser's message in one line: option, value that was given, types that are expected."""
    text = " ".join(message.split())
    key = re.search(r'[Pp]arser key "([^"]+)"', text)
    value = re.findall(r"(?:Given|Got) value: (\S+)", text)
    expected = [name for name in re.findall(r"Expected an? <class '(\w+)'>", text) if name != "NoneType"]
    if choices := re.search(r"Expected a typing.Literal\[([^\]]+)\]", text):
        expected = [f"one of {choices[1]}".replace("'", "")]
    if key and value and expected:
        return f"--{key[1]} {value[-1]}: expected {' or '.join(dict.fromkeys(expected))}"
    if missing := re.search(r"arguments? (?:is|are) required: (.+)", text):
        return f"missing: {', '.join('--' + name for name in missing[1].split(', '))}"
    return re.sub(r'^[Pp]arser key "([^"]+)":', r"--\1:", text).replace("a typing.Literal", "one of ")


def literal_choices(hint: Any) -> tuple[str, ...]:
    """Return the values of a ``Literal``, also inside ``Literal | None``; none for other types."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is typing.Literal:
            return tuple(map(str, get_args(part)))
    return ()
