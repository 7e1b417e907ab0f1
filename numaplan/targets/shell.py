"""Lines for a POSIX shell: every word quoted, so that no name of a site is taken for more than a word."""

import re
import shlex
from collections.abc import Iterable

_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def command(*words: str) -> str:
    """A command on one line."""
    return " ".join(shlex.quote(word) for word in words)


def long_command(head: tuple[str, ...], options: Iterable[tuple[str, ...]]) -> str:
    """A command with a line for each of its options and what belongs to it."""
    return " \\\n  ".join(command(*words) for words in (head, *options))


def comment(text: str) -> str:
    """A comment; what would end its line is escaped."""
    return f"# {one_line(text)}"


def one_line(text: str) -> str:
    """The text with line breaks and other control characters as escapes."""
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
