"""The live host: its files, and beside them, as in a capture, what netlink, udev, libvirt and their kin say of it."""

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from numaplan.sources.hypervisor import read_hypervisor
from numaplan.sources.netlink import read_netlink
from numaplan.sources.ovs import read_openvswitch
from numaplan.sources.processes import read_processes
from numaplan.sources.store import ROWS_FOLDER, AheadStore, Kind, Store, UnreadableError, rows_path
from numaplan.sources.udev import read_udev

# A door gives its rows as what JSON can hold, or None where the host has no such thing; DoorError says what failed.
Door = Callable[[], object]

DOORS: Final[Mapping[str, Door]] = {
    "libvirt": read_hypervisor,
    "netlink": read_netlink,
    "openvswitch": read_openvswitch,
    "processes": read_processes,
    "udev": read_udev,
}


class LiveStore:
    """Another store with the rows of the live doors in the folder that a capture has them in.

    A door is opened when its rows are read, and the library behind it is not loaded before.
    """

    def __init__(self, files: Store, doors: Mapping[str, Door] = DOORS) -> None:
        self._files = files
        self._ahead = files if isinstance(files, AheadStore) else None
        self._doors = {rows_path(name): door for name, door in doors.items()}

    def kind(self, path: str) -> Kind:
        """A folder and a file for each door; else the file's."""
        if path == ROWS_FOLDER:
            return Kind.FOLDER
        return Kind.FILE if path in self._doors else self._files.kind(path)

    def target(self, path: str) -> str:
        """The file's."""
        return self._files.target(path)

    def names(self, path: str) -> Sequence[str]:
        """The file's; the folder of rows lists every door, failing ones too."""
        if path == ROWS_FOLDER:
            return [path.rpartition("/")[2] for path in self._doors]
        return self._files.names(path)

    def read(self, path: str) -> bytes:
        """The file's bytes, or a door's rows as JSON; UnreadableError where the door fails."""
        door = self._doors.get(path)
        if door is None:
            return self._files.read(path)
        try:
            rows = door()
        except UnreadableError:
            raise
        except Exception as error:  # a fault of a library behind one door may cost its own rows only
            raise UnreadableError(f"{type(error).__name__}: {error}") from error
        if rows is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return json.dumps(rows, ensure_ascii=True).encode("ascii") + b"\n"

    def read_ahead(self, folder: str, names: Iterable[str]) -> Mapping[str, bytes]:
        """The files'; no door is opened for it."""
        return {} if self._ahead is None else self._ahead.read_ahead(folder, names)

    def below(self, path: str) -> Store:
        """The files alone: rows are of the whole host."""
        return self._files.below(path)
