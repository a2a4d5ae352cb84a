"""A line chart with two logarithmic axes as SVG: how a figure grows with the size of a mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 90
COLOURS = ("#0b6e99", "#9a6700", "#a40e26", "#1a7f37")
Points = Sequence[tuple[float, float]]


def line_chart(title: str, x_name: str, y_name: str, lines: Mapping[str, Points]) -> str:
    """Return the chart; every line has its values as text, for who cannot see colours."""
    shown = {name: points for name, points in lines.items() if points}
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    x_axis, y_axis = _decades(xs), _decades(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * _share(x, x_axis),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(y, y_axis),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    for power in range(x_axis[0], x_axis[1] + 1):
        x, bottom = place(10**power, 10 ** y_axis[0])
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="#ddd"/>',
            f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{10**power:,}</text>',
        ]
    for power in range(y_axis[0], y_axis[1] + 1):
        left, y = place(10 ** x_axis[0], 10**power)
        parts += [
            f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>',
        ]
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{TOP - 8}" text-anchor="end">{escape(y_name)}</text>'
    )
    below = HEIGHT - BOTTOM + 34
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{below}" text-anchor="end">{escape(x_name)}</text>')
    for number, (name, points) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join("{:.1f},{:.1f}".format(*place(*each)) for each in sorted(points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            at = place(x, y)
            parts.append(
                f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="3" fill="{colour}"/>'
                f'<text x="{at[0]:.1f}" y="{at[1] - 6:.1f}" fill="{colour}" font-size="10" '
                f'text-anchor="middle">{y:.3g}</text>'
            )
        parts.append(
            f'<text x="{LEFT}" y="{below + 16 * number}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten around the values."""
    lowest = math.floor(math.log10(min(values)))
    return lowest, max(math.ceil(math.log10(max(values))), lowest + 1)


def _share(value: float, axis: tuple[int, int]) -> float:
    return (math.log10(value) - axis[0]) / (axis[1] - axis[0])
