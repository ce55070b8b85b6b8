"""Defines the redirect that a visitor's browser is sent."""

from __future__ import annotations

from typing import NamedTuple


class Location(NamedTuple):
    """A redirect for the visitor's browser. status: 307 or 308. url: absolute if it leads to
    another origin, else root-absolute."""

    status: int
    url: str
