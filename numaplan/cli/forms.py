"""The forms of output that each verb offers, and the two ways out: data to stdout or a file, notes to stderr."""

import errno
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final

from numaplan.sources.files import write_text
from numaplan.sources.streams import NO_ROOM, to_nowhere

# Controls but for line ends and tabs, and characters that reorder text or have no width.
_OBEYED: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\r(?!\n)"
)


class InventoryFormat(StrEnum):
    """``inventory -o``."""

    TABLE = "table"
    JSON = "json"
    DOT = "dot"
    GRAPHML = "graphml"
    NODE_LINK = "node-link"
    SVG = "svg"


class PlanFormat(StrEnum):
    """``place -o``; all after `XML` are the plan in the words of another tool."""

    DIFF = "diff"
    TABLE = "table"
    JSON = "json"
    XML = "xml"
    VIRSH = "virsh"
    VIRT_INSTALL = "virt-install"
    QEMU = "qemu"
    NOVA = "nova"
    VMX = "vmx"


class ApplyFormat(StrEnum):
    """``apply -o``."""

    DIFF = "diff"
    TABLE = "table"
    JSON = "json"


class AuditFormat(StrEnum):
    """``audit -o``."""

    TABLE = "table"
    JSON = "json"


class CapacityFormat(StrEnum):
    """``capacity -o``."""

    TABLE = "table"
    JSON = "json"


class RecordKind(StrEnum):
    """``schema``."""

    VNF = "vnf"
    INVENTORY = "inventory"
    PLAN = "plan"
    AUDIT = "audit"
    CAPACITY = "capacity"
    HOSTS = "hosts"
    MOVES = "moves"
    APPLY = "apply"


class FailOn(StrEnum):
    """``audit --fail-on``."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"

    def includes(self, severity: str) -> bool:
        """Whether a finding of `severity` makes the audit fail."""
        order = ["error", "warning", "info"]
        return self is not FailOn.NEVER and order.index(severity) <= order.index(self.value)


def line(words: str) -> str:
    """A line for people to read, in a terminal or a file: no name in it breaks, hides or colours it.

    Data (JSON, XML, diffs) is written as it is.
    """
    from numaplan.report.text import clean

    return clean(words) + "\n"


def print_data(text: str, out: Path | None) -> None:
    """To `out`, or to stdout; what a terminal cannot show becomes escapes, what it would obey or hide "?"."""
    if out is not None:
        write_text(out, text)
        return
    if sys.stdout.isatty():
        text = _OBEYED.sub("?", text)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def print_note(text: str) -> None:
    """To stderr; what a terminal would obey or hide becomes "?".

    Where nobody reads it or there is no room for it, nothing is said: what was found and done is so all the same.
    """
    text = _OBEYED.sub("?", text)
    encoding = sys.stderr.encoding or "utf-8"
    try:
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, *NO_ROOM):
            raise
        to_nowhere(sys.stderr)
