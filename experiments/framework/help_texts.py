"""How ``--help`` shows options: FLOAT... for several numbers, the default in words or not at all where there is none."""

from __future__ import annotations

import functools
import inspect
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
    UnsupportedTypeAnnotationError,
)

RULES = ConstructorRegistry()
_SEVERAL = re.compile(r"\[(\S+) \[\1 \.\.\.\]\]")  # tyro's form of a tuple of any length
_UNSET = "unset"
_inside: set[Any] = set()  # the dataclasses whose fields are just being looked up


@RULES.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError | None:
    """Show an optional option by its type only, FLOAT rather than {None}|FLOAT."""
    kinds = get_args(info.type)
    if info.type_origin not in (Union, UnionType) or NoneType not in kinds:
        return None
    rest = functools.reduce(operator.or_, (kind for kind in kinds if kind is not NoneType))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest, info.markers))
    if isinstance(spec, UnsupportedTypeAnnotationError):
        return spec
    return replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: [_UNSET] if value is None else spec.str_from_instance(value),
    )


@RULES.struct_rule
def _in_words(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The fields of a dataclass as tyro has them, but for what ``--help`` says of them."""
    if not is_dataclass(info.type) or info.type in _inside:
        return None
    with _tyros_own(info.type):
        spec = ConstructorRegistry.get_struct_spec(info)
    if not isinstance(spec, StructConstructorSpec):
        return None
    return replace(spec, fields=tuple(_described(field, _left_out(info.type, field.name)) for field in spec.fields))


def _left_out(kind: type, name: str) -> str:
    """What holds where an option is left out that has no default of its own, from the class that declares it."""
    declaring = next(base for base in kind.__mro__ if name in inspect.get_annotations(base))
    return str(declaring.__dict__.get("left_out", ""))


@contextmanager
def _tyros_own(kind: object) -> Iterator[None]:
    _inside.add(kind)
    try:
        yield
    finally:
        _inside.discard(kind)


def _described(field: StructFieldSpec, left_out: str) -> StructFieldSpec:
    """The field with a placeholder and a default that read well; a switch that is off is shown by its name alone."""
    field = replace(field, helptext=functools.partial(_flowing, field.helptext))
    if field.default is False:
        return _with(field, FlagCreatePairsOff, arg(help_behavior_hint=""))
    if field.default is True:
        return _with(field, arg(help_behavior_hint="(on by default)"))
    hint = functools.partial(_default, left_out)
    repeated = UseAppendAction in getattr(field.type, "__metadata__", ())
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(field.type, set()))
    if repeated or isinstance(spec, UnsupportedTypeAnnotationError):
        return _with(field, arg(help_behavior_hint=hint))
    placeholder = _SEVERAL.sub(r"\1...", spec.metavar)
    return _with(field, arg(metavar=placeholder, help_behavior_hint=hint))


def _with(field: StructFieldSpec, *more: object) -> StructFieldSpec:
    """The field with more of what tyro reads off its type."""
    annotated: Any = Annotated[(field.type, *more)]
    return replace(field, type=annotated)


def _flowing(text: str | Callable[[], str | None] | None) -> str | None:
    """The description without the line breaks of the source, some of which tyro keeps."""
    found = text() if callable(text) else text
    return None if found is None else " ".join(found.split())


def _default(left_out: str, label: str) -> str:
    """What follows an option's description; an option that has no default says in its description what holds without it.

    >>> _default("", "0.5"), _default("", "unset"), _default("the preset's", "unset")
    ('(default: 0.5)', '', "(default: the preset's)")
    """
    shown = left_out if label in ("", "()", _UNSET) else label
    return f"(default: {shown})" if shown else ""
