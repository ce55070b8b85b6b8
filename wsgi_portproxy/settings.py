"""Settings that may differ from port to port: a value, or a callable that takes the target.

A value and a callable behave alike; if the callable fails, the error is logged and nothing is sent
upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from .errors import SettingFailed
from .locate.target import Target

T = TypeVar("T")

#: Which address a service is told that it has: `"local"`, Host `localhost:{port}` and Origin to
#: match, or `"external"`, the visitor's. A callable is called once per request, after the
#: authorizer; if it raises or returns anything else, the response is 500 and nothing is sent.
Identity: TypeAlias = "Literal['local', 'external'] | Callable[[Target], str]"
#: Whether the service is asked for the path after the prefix (True) or for the visitor's full path
#: (False); a callable works as for `Identity`.
StripMount: TypeAlias = "bool | Callable[[Target], bool]"


class PerPort(Generic[T]):
    """One such setting. Raises `ValueError` for a value that is not in `allowed`."""

    def __init__(self, name: str, value: T | Callable[[Target], T], allowed: Collection[T]) -> None:
        self._name = name
        self._allowed = allowed
        self._value: Any = value
        self._is_asked = callable(value)
        if not callable(value) and value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}: {value!r}")

    def of(self, target: Target) -> T:
        """The value for a target. Raises `SettingFailed`."""
        if not self._is_asked:
            constant: T = self._value
            return constant
        try:
            value: T = self._value(target)
        except Exception as error:
            raise SettingFailed(target.port, detail=f"the {self._name} callable raised") from error
        if not any(
            value is one or (isinstance(one, str) and value == one) for one in self._allowed
        ):
            detail = f"the {self._name} callable returned {type(value).__name__}"
            raise SettingFailed(target.port, detail=detail)
        return value
