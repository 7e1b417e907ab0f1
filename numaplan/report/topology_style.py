"""The looks of a host's picture. Dark on light; a letter or a pattern wherever a colour means something."""

from typing import Final

from numaplan.report.svg import BoxStyle, Sheet, TextStyle

# Light enough for dark text at a contrast of 7 and more; neighbours differ in lightness too.
GUEST_COLOURS: Final = (
    "#9fd3f2",
    "#f7c36b",
    "#93d8b4",
    "#e3b5ea",
    "#f4e37a",
    "#f5a88c",
    "#b9c6dc",
    "#c6e084",
    "#f7bcd2",
    "#82d6d6",
    "#dcc7a3",
    "#bdb8f7",
)

_INK: Final = "fill:#1b1f24"
_SOFT: Final = "fill:#4a5360"
_TEXTS: Final = {
    "h1": TextStyle(20, bold=True, css=_INK),
    "h2": TextStyle(14, bold=True, css=_INK),
    "h3": TextStyle(12, bold=True, css=_INK),
    "t": TextStyle(12, css=_INK),
    "s": TextStyle(11, css=_SOFT),
    "w": TextStyle(11, bold=True, css="fill:#8f1d1d"),
    "n": TextStyle(11, css=_INK),
    "tag": TextStyle(11, bold=True, css=_INK),
}
_GUESTS: Final = {
    f"g{i}": BoxStyle(f"fill:{colour};stroke:#4a5360;stroke-width:1", 3) for i, colour in enumerate(GUEST_COLOURS)
}
_BOXES: Final = {
    "page": BoxStyle("fill:#ffffff"),
    "package": BoxStyle("fill:#eef1f5;stroke:#5b6675;stroke-width:1.5", 8),
    "node": BoxStyle("fill:#ffffff;stroke:#5b6675;stroke-width:1", 6),
    "panel": BoxStyle("fill:#ffffff;stroke:#9aa4b1;stroke-width:1", 6),
    "llc": BoxStyle("fill:#f3f7ef;stroke:#8fa382;stroke-width:1", 4),
    "core": BoxStyle("fill:#dfe4ea;stroke:#8a94a1;stroke-width:1", 4),
    "free": BoxStyle("fill:#ffffff;stroke:#6b7480;stroke-width:1", 3),
    "kept": BoxStyle("fill:url(#numaplan-kept);stroke:#6b7480;stroke-width:1", 3),
    "floating": BoxStyle("fill:#f8f4e6;stroke:#6b7480;stroke-width:1;stroke-dasharray:3 2", 3),
    "clash": BoxStyle("fill:#fff3f0;stroke:#b3261e;stroke-width:2.5", 3),
    "pmd": BoxStyle("fill:url(#numaplan-pmd);stroke:#4a5360;stroke-width:1", 3),
    "offline": BoxStyle("fill:url(#numaplan-offline);stroke:#8a94a1;stroke-width:1;stroke-dasharray:2 2", 3),
    "isolated": BoxStyle("fill:#1d4f91"),
    "tickless": BoxStyle("fill:#7a4a00"),
    "bar": BoxStyle("fill:#ffffff;stroke:#5b6675;stroke-width:1", 2),
    "used": BoxStyle("fill:#5f7ea6", 2),
    "made": BoxStyle("fill:url(#numaplan-made)", 2),
    "device": BoxStyle("fill:#f6f4fb;stroke:#9a8fb8;stroke-width:1", 4),
    "local": BoxStyle("fill:#e3f1e3;stroke:#b9c1cb;stroke-width:1"),
    "near": BoxStyle("fill:#ffffff;stroke:#b9c1cb;stroke-width:1"),
    "far": BoxStyle("fill:#fbeedd;stroke:#b9c1cb;stroke-width:1"),
    "head": BoxStyle("fill:#eef1f5;stroke:#b9c1cb;stroke-width:1"),
    **_GUESTS,
}


def _pattern(name: str, size: int, ground: str, stroke: str, path: str) -> str:
    return (
        f'<pattern id="numaplan-{name}" width="{size}" height="{size}" patternUnits="userSpaceOnUse">'
        f'<rect width="{size}" height="{size}" fill="{ground}"/>'
        f'<path d="{path}" stroke="{stroke}" stroke-width="1" fill="none"/></pattern>'
    )


_DEFINITIONS: Final = "".join(
    [
        _pattern("kept", 6, "#ffffff", "#cfd6de", "M0 6L6 0"),
        _pattern("pmd", 4, "#e8edf2", "#b7c2cf", "M0 2H4"),
        _pattern("offline", 8, "#f2f3f5", "#cdd2d9", "M0 0L8 8M8 0L0 8"),
        _pattern("made", 5, "#e4ebf4", "#9fb3cd", "M0 5L5 0"),
    ]
)

SHEET: Final = Sheet(_TEXTS, _BOXES, _DEFINITIONS)
