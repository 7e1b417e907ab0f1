"""The profiles that ship with numaplan, as text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numaplan
from numaplan.sources.files import list_files, read_text

PROFILE_LIMIT: Final = 1 << 20


def shipped_profiles() -> Mapping[str, str]:
    """Profile name -> its YAML."""
    package = Path(numaplan.__file__).parent
    # In a wheel they stand in the package, in a checkout beside it.
    installed = package / "profiles"
    directory = installed if installed.is_dir() else package.parent / "profiles"
    paths = list_files(directory, suffix=".yaml")
    return {path.stem: read_text(path, limit=PROFILE_LIMIT, what="profile") for path in paths}
