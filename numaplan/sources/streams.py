"""The standard streams of this process."""

import errno
import os
import sys
from pathlib import Path
from typing import Final, TextIO

# What a full disk or a full quota says, where a stream is a file there.
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)

_STDERR: Final = 2


def open_standard_streams() -> None:
    """Opens those that a caller closed, to nowhere: else a file that is opened later becomes what is printed to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    # Open for as long as the process lives.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def to_nowhere(stream: TextIO) -> None:
    """Python flushes it once more at its end, where there is nobody or no room for it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
