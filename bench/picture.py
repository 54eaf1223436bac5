"""Bars for the figures of each scenario, as an SVG that is readable on light and on dark ground."""

from dataclasses import dataclass
from html import escape

WIDTH, LABELS, VALUES = 800, 270, 80
BAR, GAP, TITLE, FOOT = 14, 6, 50, 30
# Two columns of colours: for light ground, and where the reader's system prefers dark.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.small { fill: #59636e; font-size: 11px }
.ground { fill: #ffffff }
.bar { fill: #9aa7b4 }
.ours { fill: #0a7d5a }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .ground { fill: #0d1117 }
  .bar { fill: #59636e }
  .ours { fill: #2ea98a }
  .spread { stroke: #e6edf3 }
}
"""


@dataclass(frozen=True)
class Panel:
    """The bars of one scenario: by label, median, least and most. Less is better."""

    title: str
    unit: str
    bars: dict[str, tuple[float, float, float]]
    ranked: bool = True
    """Whether the least comes first; else they are in the order of the table."""


def draw(panels: list[Panel], foot: str) -> str:
    """The panels below each other, each with a scale of its own."""
    parts, top = [], 0
    for panel in panels:
        parts.append(head(panel, top))
        top += TITLE
        longest = max((most for _, _, most in panel.bars.values()), default=0) or 1
        bars = list(panel.bars.items())
        if panel.ranked:
            bars.sort(key=lambda bar: bar[1][0])
        for label, figures in bars:
            parts.append(bar(label, figures, longest, top))
            top += BAR + GAP
    parts.append(f'<text class="small" x="10" y="{top + FOOT - 10}">{escape(foot)}</text>')
    height = top + FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">'
        f"<style>{STYLE}</style>"
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def head(panel: Panel, top: int) -> str:
    title = f'<text class="title" x="10" y="{top + 26}">{escape(panel.title)}</text>'
    unit = f'<text class="small" x="10" y="{top + 39}">{escape(panel.unit)}, less is better</text>'
    return title + unit


def bar(label: str, figures: tuple[float, float, float], longest: float, top: int) -> str:
    """A bar for the median, and a line from the least to the most."""
    scale = (WIDTH - LABELS - VALUES) / longest
    median, least, most = figures
    kind = "ours" if label.startswith("tidegate") else "bar"
    middle = top + BAR / 2
    name = f'<text x="{LABELS - 8}" y="{top + 11}" text-anchor="end">{escape(label)}</text>'
    body = f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{median * scale:.1f}" height="{BAR}"/>'
    left, right = LABELS + least * scale, LABELS + most * scale
    spread = (
        f'<path class="spread" d="M{left:.1f} {middle}H{right:.1f}'
        f'M{left:.1f} {middle - 3}v6M{right:.1f} {middle - 3}v6"/>'
    )
    value = f'<text x="{right + 8:.1f}" y="{top + 11}">{number(median)}</text>'
    return name + body + (spread if most > least else "") + value


def number(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"
