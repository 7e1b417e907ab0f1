"""The forms of output that each verb offers, and the two ways out: data to stdout or a file, notes to stderr."""

import sys
from enum import StrEnum
from pathlib import Path

from numaplan.sources.files import write_text


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


def print_data(text: str, out: Path | None) -> None:
    """To `out`, or to stdout; characters that the terminal cannot show become escapes."""
    if out is not None:
        write_text(out, text)
        return
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def print_note(text: str) -> None:
    """To stderr."""
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stderr.flush()
