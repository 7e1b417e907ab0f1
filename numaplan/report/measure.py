"""How wide a text may get in a picture, and how it is shortened. The font is not known: this is on the wide side."""

import math
import unicodedata
from typing import Final

from numaplan.report.text import ELLIPSIS, clean

# In thousandths of the font size: DejaVu Sans, which is as wide as Verdana and wider than Arial or Helvetica.
_CLASSES: Final = (
    ("ijl'|", 320),
    (" ,.:;/\\-I!frt()[]\u00b7`", 420),
    ('Jcksvxyz?"*_^{}\u2013', 645),
    ("mwMW%@O&GQDHNU", 1010),
    ("+<=>#~\u00d7\u2265\u2264", 840),
    ("\u2026\u2014", 1000),
)
_WIDTHS: Final = {character: width for characters, width in _CLASSES for character in characters}
_LOWER_OR_DIGIT: Final = 645
_UPPER: Final = 790
_ACCENTED: Final = 1080
_FULL_WIDTH: Final = 1000
_MARK: Final = 300
_BOLD_PERCENT: Final = 113
_LATIN_END: Final = 0x180
# Some scripts need a mark or two on a letter; towers of them would leave the line.
_MARKS_KEPT: Final = 2
_MARKS: Final = frozenset({"Mn", "Me"})


def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """An upper bound in pixels for Latin text; exact enough to be enforced (`needs_fitting`) for any other."""
    thousandths = sum(_width(character) for character in text)
    if bold:
        thousandths = thousandths * _BOLD_PERCENT // 100
    return math.ceil(thousandths * size / 1000)


def _width(character: str) -> int:
    if character in _WIDTHS:
        return _WIDTHS[character]
    if character.isascii():
        return _UPPER if character.isupper() else _LOWER_OR_DIGIT
    if unicodedata.category(character) in _MARKS:
        return _MARK
    return _FULL_WIDTH if unicodedata.east_asian_width(character) in "WF" else _ACCENTED


def needs_fitting(text: str) -> bool:
    """Whether its real width is anybody's guess, so that the viewer must be told one (``textLength``)."""
    return any(ord(character) >= _LATIN_END and character not in _WIDTHS for character in text)


def shorten(text: str, size: int, width: int, *, bold: bool = False) -> str:
    """`text` if it fits `width` pixels, else as much of it as fits with an ellipsis; "" where not even that does."""
    if text_width(text, size, bold=bold) <= width:
        return text
    if text_width(ELLIPSIS, size, bold=bold) > width:
        return ""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle].rstrip() + ELLIPSIS, size, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + ELLIPSIS


def picture_text(text: str) -> str:
    """`text` made safe (`clean`), legal in XML 1.0, and without towers of combining marks."""
    cleaned = clean(text)
    if cleaned.isascii():
        return cleaned
    kept: list[str] = []
    marks = 0
    for character in cleaned:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else 0
        if marks <= _MARKS_KEPT:
            kept.append(_legal(character))
    return "".join(kept)


def _legal(character: str) -> str:
    """Unassigned and private code points have no agreed looks; U+FFFE and U+FFFF are no XML at all."""
    return "?" if unicodedata.category(character) in {"Cn", "Co"} else character
