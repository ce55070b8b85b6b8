"""The chart of the README, as SVG: `python -m benchmarks.peers.chart` draws it anew from the last
saved results.

It has the reader's own colours, light or dark, and text that is text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.report import SAMPLES

from .contestants import JUPYTER, NGINX, NGINX_BUFFERED, OURS, RAW, REVPROXY, WERKZEUG, WSGIPROXY2
from .wide import Wide

FILE = Path(__file__).resolve().parents[2] / "docs" / "images" / "benchmark.svg"

_WIDTH, _NAMES, _VALUES, _MARGIN = 760, 178, 200, 20  # of the picture, and of its columns
_BAR, _STEP = 20, 30
_TOP, _PANEL_TOP, _PANEL_GAP, _CAPTION = 60, 34, 22, 76  # heights
_MUCH = 64  # MiB, more than any buffers

_STYLE = """
    .paper { fill: #ffffff } .title, .head, .name, .value { fill: #1f2328 }
    .note { fill: #59636e } .bar { fill: #b4bdc8 } .ours { fill: #0969da } .limit { fill: #dde2e8 }
    .axis { stroke: #b4bdc8 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117 } .title, .head, .name, .value { fill: #f0f6fc }
      .note { fill: #9198a1 } .bar { fill: #5b6572 }
      .ours { fill: #4493f8 } .limit { fill: #30363d } .axis { stroke: #5b6572 }
    }
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
    .title { font-size: 19px; font-weight: 600 } .head { font-size: 15px; font-weight: 600 }
    .name, .value { font-size: 14px } .note { font-size: 12.5px } .strong { font-weight: 600 }
"""


@dataclass(frozen=True)
class Panel:
    """Bars of one column. names: what each contestant is called here, in order."""

    title: str
    better: str
    column: str
    names: dict[str, str]
    how: str


PANELS = (
    Panel(
        "CPU added to a request of 1 KiB, in microseconds",
        "less is better",
        "added CPU us",
        {
            RAW: "a raw socket (the limit)",
            OURS: OURS,
            WERKZEUG: WERKZEUG,
            WSGIPROXY2: WSGIPROXY2,
            REVPROXY: REVPROXY,
        },
        ",.0f \u00b5s",
    ),
    Panel(
        "Download of 512 MiB, in MB a second",
        "more is better",
        "MB/s down",
        {
            OURS: OURS,
            NGINX: "nginx, unbuffered",
            NGINX_BUFFERED: "nginx, buffering",
            WERKZEUG: WERKZEUG,
            WSGIPROXY2: WSGIPROXY2,
            REVPROXY: REVPROXY,
            JUPYTER: JUPYTER,
        },
        ",.0f MB/s",
    ),
)


def draw(found: Wide, conditions: dict[str, Any]) -> str:
    """The SVG. conditions: of the run, as in the saved results."""
    body: list[str] = []
    y = _TOP
    for panel in PANELS:
        y = _panel(body, panel, found, y) + _PANEL_GAP
    height = y - _PANEL_GAP + _CAPTION
    told = (
        "All in front of the same service, in turns; medians. The WSGI ones run in gunicorn, one "
        "process with 8 threads.",
        f"{str(conditions['date'])[:10]}, {conditions['cores']} cores, Linux "
        f"{str(conditions['linux']).partition('-')[0]}, Python {conditions['python']}, gunicorn "
        f"{conditions['gunicorn']}, nginx {conditions['nginx']}.",
        "Repeat it with: make bench-peers",
    )
    for number, line in enumerate(told):
        body.append(_text("note", _MARGIN, height - 50 + 17 * number, line))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title description">',
            '  <title id="title">wsgi_portproxy side by side with like proxies</title>',
            f'  <desc id="description">{escape(described(found))}</desc>',
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="paper" width="{_WIDTH}" height="{height}" rx="6"/>',
            _text("title", _MARGIN, 36, "wsgi_portproxy side by side with like proxies"),
            *body,
            "</svg>",
            "",
        ]
    )


def described(found: Wide) -> str:
    """The chart in words, for those who do not see it."""
    panels = []
    for panel in PANELS:
        values = (
            f"{name} {_value(panel, found[key][panel.column])}" for key, name in panel.names.items()
        )
        panels.append(f"{panel.title}, {panel.better}: {', '.join(values)}.")
    return " ".join(panels)


def _panel(body: list[str], panel: Panel, found: Wide, y: int) -> int:
    """Adds the panel's lines; the y of its end."""
    body.append(
        f'  <text class="head" x="{_MARGIN}" y="{y + 14}">{escape(panel.title)}'
        f'<tspan class="note" dx="8" font-weight="400">{escape(panel.better)}</tspan></text>'
    )
    y += _PANEL_TOP
    values = {key: found[key][panel.column] for key in panel.names}
    longest = max([1.0, *(value for value in values.values() if value is not None)])
    left = _MARGIN + _NAMES
    bottom = y + _STEP * len(values) - (_STEP - _BAR)
    for number, (key, value) in enumerate(values.items()):
        top = y + number * _STEP
        strong = " strong" if key == OURS else ""
        kind = "ours" if key == OURS else "limit" if key == RAW else "bar"
        middle = top + _BAR - 5
        name = _text(f"name{strong}", left - 10, middle, panel.names[key], anchor="end")
        body.append(name)
        width = (_WIDTH - _MARGIN - _VALUES - left) * max(value or 0.0, 0.0) / longest
        if value is not None:
            body.append(
                f'  <rect class="{kind}" x="{left}" y="{top}" width="{width:.1f}" '
                f'height="{_BAR}" rx="2"/>'
            )
        x = round(left + width + 8)
        body.append(_text(f"value{strong}", x, middle, _value(panel, value)))
        if holds := _held(panel, found[key]):
            body[-1] = body[-1].replace(
                "</text>", f'<tspan class="note" dx="8">{holds}</tspan></text>'
            )
    body.append(f'  <path class="axis" d="M{left - 0.5} {y - 4}V{bottom + 4}"/>')
    return bottom + 4


def _held(panel: Panel, columns: dict[str, float | None]) -> str:
    """Of a download: whether the contestant had all of it in its memory."""
    peak = columns["peak MiB down"] or 0.0
    return f"holds {peak:.0f} MiB" if panel.column == "MB/s down" and peak > _MUCH else ""


def _value(panel: Panel, value: float | None) -> str:
    if value is None:
        return "not with its defaults"
    how, _, unit = panel.how.partition(" ")
    return f"{value:{how}} {unit}"


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'  <text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def draw_saved() -> None:
    saved = json.loads((SAMPLES / "peers.json").read_text())
    FILE.write_text(draw(saved["contestants"], saved["conditions"]), encoding="utf-8")


if __name__ == "__main__":
    draw_saved()
