"""The standard streams of this process."""

import os
import sys
from pathlib import Path
from typing import Final

_STDERR: Final = 2


def open_standard_streams() -> None:
    """Opens those that a caller closed, to nowhere: else a file that is opened later becomes what is printed to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    # Open for as long as the process lives.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
