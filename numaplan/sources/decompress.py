"""A tar's bytes out of what it is packed in (gz, bz2, xz, zst or nothing), a little at a time, with a cap on bombs."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Final, Protocol, cast

import zstandard

CHUNK: Final = 1 << 16

# A capture of many small files shrinks to about a 200th; a bomb to a 400,000th. Small ones do no harm at any ratio.
_RATIO: Final = 1000
_RATIO_FREE: Final = 16 << 20
# What unpacks to nothing (empty streams, endless headers) may be this much longer than what came of it.
_PACKING: Final = 2 << 20
# xz -9 and zstd --long=27 stay below.
_MEMORY: Final = 160 << 20
_WINDOW: Final = 1 << 27
_SNIFF: Final = 6
_ANEW: Final = "copy or make the archive anew"


class Readable(Protocol):
    """Bytes in order; b"" at the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        ...


class ArchiveError(Exception):
    """A capture that cannot be used: `what` is wrong with it, `hint` what to do."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what)


class Expanded:
    """The unpacked bytes of `source`, told by its first bytes; raises ArchiveError where they are damaged or a bomb."""

    def __init__(self, source: Readable) -> None:
        self._packed = _Counted(source)
        self._inner = _unpack(self._packed)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end."""
        try:
            data = self._inner.read(min(size, CHUNK))
        except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, MemoryError) as error:
            raise _damaged(error) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(error) from error
        self._packed.made += len(data)
        if self._packed.made > max(_RATIO_FREE, _RATIO * self._packed.count):
            raise ArchiveError(f"expands to more than {_RATIO} times its size", "no capture of a host does")
        return data


class _Counted:
    """Packed bytes, counted, and `made` of them so far; what was read too early can be given back."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._ahead = b""
        self.count = 0
        self.made = 0

    def peek(self) -> bytes:
        while len(self._ahead) < _SNIFF and (more := self._source.read(_SNIFF - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, size: int = -1, /) -> bytes:
        size = CHUNK if size < 0 else size
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        if not data:
            data = self._source.read(size)
        self.count += len(data)
        if self.count > self.made + _PACKING:
            raise ArchiveError("damaged: most of it unpacks to nothing", _ANEW)
        return data

    def unread(self, data: bytes) -> None:
        self._ahead = data + self._ahead
        self.count -= len(data)


class _Decoder(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Streams:
    """Streams of bz2 or xz, one after the other, with the padding that xz allows between them."""

    def __init__(self, source: _Counted, new: Callable[[], _Decoder]) -> None:
        self._source = source
        self._new = new
        self._decoder = new()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof and not self._next_stream():
                return b""
            packed = self._source.read(CHUNK) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not packed:
                raise EOFError("ends in the middle of a stream")
            data = self._decoder.decompress(packed, size)
            if data:
                return data

    def _next_stream(self) -> bool:
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (more := self._source.read(CHUNK)):
            rest = more.lstrip(b"\0")
        if rest:
            self._source.unread(rest)
            self._decoder = self._new()
        return bool(rest)


def _xz_decoder() -> lzma.LZMADecompressor:
    # lzma.LZMAFile sets no bound on the memory that a header may ask for.
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)


def _unpack(source: _Counted) -> Readable:
    head = source.peek()
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=_as_file(source), mode="rb")
    if head.startswith(b"BZh"):
        return _Streams(source, bz2.BZ2Decompressor)
    if head.startswith(b"\xfd7zXZ\x00"):
        return _Streams(source, _xz_decoder)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        return decoder.stream_reader(_as_file(source), read_across_frames=True)
    return source


def _as_file(source: _Counted) -> IO[bytes]:
    """For annotations that ask for a whole file of what calls read() alone."""
    return cast("IO[bytes]", source)


def _damaged(error: BaseException) -> ArchiveError:
    return ArchiveError(f"damaged or cut short: {str(error) or type(error).__name__}", _ANEW)
