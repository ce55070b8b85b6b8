"""Matches the mount, the part of the app's paths that ports hang under: `/{username}/{project}`.

Refuses segments that the wrapped app and another hop could read differently, so that the authorizer
always judges exactly the segments that the app would see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

from ..errors import NotFound

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Mount:
    """A compiled mount template. Raises `ValueError` for an invalid template."""

    def __init__(self, template: str) -> None:
        template = template.rstrip("/")
        if template and not template.startswith("/"):
            raise ValueError(f"mount must be empty or start with '/': {template!r}")
        self.template = template
        self.segments = template.split("/")[1:] if template else []
        self.depth = len(self.segments)
        self._parameters = [
            match[1] if (match := _PARAMETER.fullmatch(segment)) else None
            for segment in self.segments
        ]
        for segment, name in zip(self.segments, self._parameters, strict=True):
            if name is None and (not segment or "{" in segment or "}" in segment):
                raise ValueError(
                    f"mount segments are either plain text or one {{name}}: {segment!r}"
                )
            if is_dot_segment(segment):
                raise ValueError(
                    f"mount has a '.' or '..' segment, which browsers remove: {template!r}"
                )
        if taken := self.names & {"port", "path"}:
            raise ValueError(
                f"mount has {{{min(taken)}}}, which is a parameter of url_for_port: {template!r}"
            )
        if len(self.names) < sum(name is not None for name in self._parameters):
            raise ValueError(f"mount names a parameter twice: {template!r}")

    @property
    def names(self) -> frozenset[str]:
        """The names of the parameters."""
        return frozenset(name for name in self._parameters if name is not None)

    def filled(self, params: Mapping[str, str]) -> list[str]:
        """The segments with the parameters filled in, as they appear in a URL."""
        return [
            quote(template if name is None else params[name], safe="")
            for template, name in zip(self.segments, self._parameters, strict=True)
        ]

    def match(self, decoded: Sequence[str]) -> Mapping[str, str] | None:
        """The parameters if the first segments of a path match, else None.

        `decoded`: the path as it was sent, split into segments, each then percent-decoded (latin-1,
        as in WSGI; PEP 3333). Raises `NotFound` for a path that matches but is ambiguous:
        `.` or `..`, an encoded slash or backslash, control characters, invalid UTF-8.
        """
        params = self._match(decoded)
        if params is None:
            by_app = "/".join(decoded).split("/")  # the app sees an encoded slash as a slash
            if len(by_app) > len(decoded) and self._match(by_app) is not None:
                raise _ambiguous()
        return params

    def _match(self, decoded: Sequence[str]) -> Mapping[str, str] | None:
        if len(decoded) < len(self.segments):
            return None
        params: dict[str, str] = {}
        ambiguous = False
        for template, name, value in zip(self.segments, self._parameters, decoded, strict=False):
            if name is not None and value.isalnum() and value.isascii():  # cannot be ambiguous
                params[name] = value
                continue
            text, damaged = _text(value)
            if name is None:
                if text != template:
                    return None
            elif not value:
                return None
            else:
                ambiguous = ambiguous or damaged or is_dot_segment(value) or "/" in value
                params[name] = text
        if ambiguous:
            raise _ambiguous()
        return MappingProxyType(params)


def is_dot_segment(decoded: str) -> bool:
    """Whether browsers and servers resolve this segment away (RFC 3986 section 5.2.4)."""
    return decoded in (".", "..")


def _ambiguous() -> NotFound:
    return NotFound("There is no such page.", detail="ambiguous path segment in the mount")


def _text(value: str) -> tuple[str, bool]:
    """A WSGI segment as text, and whether two hops could read it differently."""
    try:
        text = value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return "", True
    return text, "\\" in text or _CONTROL.search(text) is not None
