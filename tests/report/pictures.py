"""Pictures read again as a reader sees them: boxes with what stands in them, texts with the room that they take."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from lxml import etree

SVG: Final = "{http://www.w3.org/2000/svg}"

# Advance widths of DejaVu Sans and its bold face from U+0020 to U+007E, in thousandths of the font size: measured from
# the fonts, which are among the widest that a browser takes for "sans-serif".
# fmt: off
REGULAR: Final = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)
BOLD: Final = (
    348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696, 696, 696, 696, 696, 696,
    696, 696, 696, 400, 400, 838, 838, 838, 580, 1000, 774, 762, 734, 830, 683, 683, 821, 837, 372, 372, 775, 637, 995,
    837, 850, 733, 850, 770, 720, 682, 812, 774, 1103, 771, 724, 725, 457, 365, 457, 838, 500, 500, 675, 716, 593, 716,
    678, 435, 716, 712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652, 582, 712,
    365, 712, 838,
)
# fmt: on
OTHERS: Final = {"\u00b7": 380, "\u00d7": 838, "\u2026": 1000}
WIDEST: Final = 1000


@dataclass(frozen=True)
class Area:
    """A rectangle of the page, and what is drawn there."""

    what: str
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: "Area") -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right + 0.5
            and other.bottom <= self.bottom
        )

    def touches(self, other: "Area") -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 0.5 and down > 0.5


def parse(text: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(text.encode(), parser)


def overlaps(root: etree._Element) -> list[str]:
    """What lies outside of its box, and siblings that lie on each other."""
    wrong: list[str] = []
    styles = _styles(root)
    page = Area("page", 0, 0, float(root.get("width", "0")), float(root.get("height", "0")))
    _check(root, page, styles, wrong)
    return wrong


def _check(element: etree._Element, frame: Area, styles: dict[str, tuple[int, bool]], wrong: list[str]) -> None:
    areas = []
    own = element.find(f"{SVG}rect") if element.tag == f"{SVG}g" else None
    for child in element:
        if child is own or child.tag not in {f"{SVG}g", f"{SVG}rect", f"{SVG}text"}:
            continue
        if child.tag == f"{SVG}text":
            area = _text_area(child, styles)
        else:
            rect = child.find(f"{SVG}rect") if child.tag == f"{SVG}g" else child
            assert rect is not None
            area = _rect_area(rect)
            if child.tag == f"{SVG}g":
                _check(child, area, styles, wrong)
        if not frame.holds(area):
            wrong.append(f"{area} is not within {frame}")
        areas.append(area)
    wrong += [f"{one} lies on {other}" for one, other in _touching(areas)]


def _touching(areas: list[Area]) -> Iterator[tuple[Area, Area]]:
    for i, one in enumerate(areas):
        for other in areas[i + 1 :]:
            if one.touches(other):
                yield one, other


def _rect_area(rect: etree._Element) -> Area:
    x, y, width, height = (float(rect.get(name, "-1")) for name in ("x", "y", "width", "height"))
    assert min(x, y, width, height) >= 0
    return Area(rect.get("class", "room"), x, y, x + width, y + height)


def _styles(root: etree._Element) -> dict[str, tuple[int, bool]]:
    """Font size and weight of each class, as the style sheet has them."""
    found = {}
    for rule in root.findtext(f"{SVG}style", "").split("\n"):
        if "font-size:" in rule:
            name = rule.split("{")[0].rpartition(".")[2]
            found[name] = (int(rule.partition("font-size:")[2].partition("px")[0]), "bold" in rule)
    return found


def _text_area(element: etree._Element, styles: dict[str, tuple[int, bool]]) -> Area:
    size, bold = styles[element.get("class", "")]
    shown = shown_text(element)
    fitted = element.get("textLength")
    width = sum(_advance(c, bold=bold) for c in shown) * size / 1000 if fitted is None else float(fitted)
    x, base = float(element.get("x", "0")), float(element.get("y", "0"))
    left = {"middle": x - width / 2, "end": x - width}.get(element.get("text-anchor", ""), x)
    # Of every line that DejaVu draws for Latin text, accents included, is above 0.93 and below 0.24 of the size.
    return Area(f"text {shown!r}", left, base - 0.93 * size, left + width, base + 0.24 * size)


def _advance(character: str, *, bold: bool) -> int:
    if " " <= character <= "~":
        return (BOLD if bold else REGULAR)[ord(character) - 0x20]
    return OTHERS.get(character, WIDEST)


def shown_text(element: etree._Element) -> str:
    """What stands in the picture, without the tooltip."""
    title = element.find(f"{SVG}title")
    return (element.text or "") if title is None else (title.tail or "")


def all_texts(root: etree._Element) -> list[str]:
    """Every text that the picture shows, in its order."""
    return [shown_text(element) for element in root.iter(f"{SVG}text")]


def tooltips(root: etree._Element) -> list[str]:
    """Every tooltip."""
    return [element.text or "" for element in root.iter(f"{SVG}title")]


def cell(root: etree._Element, cpu: int) -> tuple[str, list[str]]:
    """The style of a CPU's cell, and the texts in it."""
    (group,) = [
        element
        for element in root.iter(f"{SVG}g")
        if (element.findtext(f"{SVG}title") or "").split(";")[0] == f"CPU {cpu}"
    ]
    rect = group.find(f"{SVG}rect")
    assert rect is not None
    return rect.get("class", ""), [shown_text(text) for text in group.findall(f"{SVG}text")]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2, "contrast ratio")."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start:end], 16) / 255 for start, end in pairwise((1, 3, 5, 7))]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
