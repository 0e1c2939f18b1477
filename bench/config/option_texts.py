"""What the docstrings of options classes say of each option."""

from __future__ import annotations

import dataclasses
import typing

from docstring_parser import Docstring, DocstringStyle, parse


def class_text(options: type) -> Docstring:
    """Return the docstring of a class, parsed."""
    return parse(options.__doc__ or "", DocstringStyle.GOOGLE)


def option_texts(options: type, prefix: str = "") -> dict[str, str]:
    """Return name to explanation in the order of the fields; members of a nested class follow it as ``sizes.bins``.

    A base class explains what it declares, unless the class explains it anew.
    """
    explained = {
        param.arg_name: " ".join((param.description or "").split())
        for base in reversed(options.__mro__)
        for param in class_text(base).params
    }
    hints = typing.get_type_hints(options)
    texts: dict[str, str] = {}
    for field in dataclasses.fields(options):
        texts[prefix + field.name] = explained.get(field.name, "")
        if dataclasses.is_dataclass(hint := hints[field.name]) and isinstance(hint, type):
            texts |= option_texts(hint, f"{prefix}{field.name}.")
    return texts
