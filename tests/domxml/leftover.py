"""What of a domain XML no patch may touch, found with regular expressions alone: tags, text and comments as bytes."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?:[^<>\"']|\"[^\"]*\"|'[^']*')+>|[^<]+", re.DOTALL)
_NAME = re.compile(rb"</?([^\s/>]+)")

# Elements that a patch may write, change or take away as a whole.
_OWNED = {
    "cpu/cache",
    "cpu/numa/cell",
    "cpu/topology",
    "cputune/emulatorpin",
    "cputune/iothreadpin",
    "cputune/vcpupin",
    "cputune/vcpusched",
    "currentMemory",
    "devices/hostdev/source/address",
    "devices/interface/source/address",
    "iothreads",
    "memory",
    "memoryBacking/access",
    "memoryBacking/allocation",
    "memoryBacking/hugepages",
    "memoryBacking/locked",
    "memoryBacking/nosharepages",
    "memoryBacking/source",
    "memtune/hard_limit",
    "metadata/guest",
    "numatune/memnode",
    "numatune/memory",
    "vcpu",
    "vcpus",
}
_BALLOON = "devices/memballoon"
_SHARES = {"cputune/cachetune", "cputune/memorytune"}
_BACKING = [b"<memoryBacking>", b"</memoryBacking>"]
_SEEN_AT = {"devices/hostdev/address", "devices/interface/address"}
# What may come: shells around those, and devices with what stands in them.
_SHELLS = {b"cpu", b"numa", b"cputune", b"devices", b"memoryBacking", b"memtune", b"metadata", b"numatune", b"source"}
_DEVICES = {b"controller", b"hostdev", b"interface"}
# And iothreads, where others are listed.
_LISTED = {b"iothread"}
_IN_DEVICES = {b"address", b"alias", b"mac", b"node", b"source", b"tag", b"target", b"vlan"}


def tokens(data: bytes, *, balloon_goes: bool, devices_move: bool, vcpus_go: bool) -> Iterator[bytes]:
    """The tokens of all that must stay. White space between tags does not count, nor whether a tag is an empty one."""
    owned = _OWNED | ({_BALLOON} if balloon_goes else set()) | (_SEEN_AT if devices_move else set())
    owned |= _SHARES if vcpus_go else set()
    path: list[str] = []
    skipping = 0
    for match in _TOKEN.finditer(data.removeprefix(b"\xef\xbb\xbf")):
        token = match[0]
        name = _NAME.match(token)
        if name is None or token.startswith((b"<!", b"<?")):
            if token.startswith(b"<!--") or (not skipping and token.strip()):
                yield token.strip()
            continue
        if token.startswith(b"</"):
            if not skipping:
                yield token
            skipping -= bool(skipping)
            path.pop()
            continue
        path.append(name[1].decode().rpartition(":")[2])
        if skipping or "/".join(path[1:]) in owned:
            skipping += 1
        elif token.endswith(b"/>"):
            yield re.sub(rb"\s*/>$", b">", token)
            yield b"</" + name[1] + b">"
        else:
            yield re.sub(rb"\s+>$", b">", token)
        if token.endswith(b"/>"):
            skipping -= bool(skipping)
            path.pop()


def _without_empty(pair: list[bytes], found: list[bytes]) -> list[bytes]:
    """The tokens but for a start and an end tag of which nothing stands between them: the element may go."""
    starts = {i for i in range(len(found)) if found[i : i + 2] == pair}
    return [token for i, token in enumerate(found) if not {i, i - 1} & starts]


def assert_nothing_else_changed(
    old: bytes, new: bytes, *, balloon_goes: bool, devices_move: bool, vcpus_go: bool
) -> None:
    """Everything that must stay is there in its order, and what came is a shell or a device."""
    here, there = (
        _without_empty(
            _BACKING, list(tokens(data, balloon_goes=balloon_goes, devices_move=devices_move, vcpus_go=vcpus_go))
        )
        for data in (old, new)
    )
    came: list[bytes] = []
    at = 0
    for token in there:
        if at < len(here) and token == here[at]:
            at += 1
        else:
            came.append(token)
    assert at == len(here), here[at : at + 3]
    devices = 0
    for token in came:
        name = _NAME.match(token)
        if name is None:
            assert devices, token
            continue
        devices += (name[1] in _DEVICES) * (-1 if token.startswith(b"</") else 1)
        assert name[1] in _SHELLS | _DEVICES | _LISTED or name[1] in _IN_DEVICES, token
