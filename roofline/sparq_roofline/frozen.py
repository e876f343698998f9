"""Immutable dataclasses that are quick to make: predicting makes a dozen in some microseconds."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """``dataclass(frozen=True, slots=True)`` whose ``__init__`` sets each slot by its descriptor.

    The usual one asks ``object.__setattr__`` to find the slot first: 0.7 µs for six fields where this takes 0.4.
    For classes without ``__post_init__`` and default factories.
    """
    made: Any = dataclass(frozen=True, slots=True)(cls)
    names: dict[str, Any] = {}
    parameters, lines = [], []
    for field in fields(made):
        assert field.default_factory is MISSING
        names[f"_set_{field.name}"] = made.__dict__[field.name].__set__
        names[f"_default_{field.name}"] = field.default
        parameters.append(field.name if field.default is MISSING else f"{field.name}=_default_{field.name}")
        lines.append(f"    _set_{field.name}(self, {field.name})")
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines), names)
    names["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
    made.__init__ = names["__init__"]
    return made  # type: ignore[no-any-return]
