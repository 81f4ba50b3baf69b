"""Where the bytes of a file come from: a path, a URL, bytes or a file object, plain or compressed.

Compressed content is read through a bound on its expansion, so a small file cannot fill the memory or the disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from easeml.datamagic.readers.zips import opened_member, plain_members
from easeml.errors import InvalidDataError

FREE_EXPANSION = 64 << 20
"""Bytes that compressed content may always have; the bound on the ratio begins above."""
_HEAD = 64 << 10
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_ENDINGS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}

Readable = str | Path | bytes | bytearray | memoryview | IO[bytes] | IO[str]
"""What can be read: a path, a URL, bytes or a file object."""


class Source:
    """A file that can be read.

    Parameters
    ----------
    name : str
        How errors call it; its ending, without that of a compression, hints at the format.
    opener : callable
        Returns the content as a binary stream, from its start.
    path : Path, optional
        Where it lies on this machine.
    size : int
        Bytes as stored, 0 when unknown.
    again : bool
        Whether it can be opened more than once.
    most_expansion : float
        Most bytes that one compressed byte may become.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], IO[bytes]],
        *,
        path: Path | None = None,
        size: int = 0,
        again: bool = True,
        most_expansion: float = 200.0,
    ) -> None:
        self.name = name
        self.path = path
        self.size = size
        self.again = again
        self.most_expansion = most_expansion
        self._opener = opener
        self._opened = False
        self._pending: io.BufferedReader[Any] | None = None
        self.read = 0

    @classmethod
    def of(cls, source: Readable, *, name: str = "", most_expansion: float = 200.0) -> Source:
        """Return the source behind a path, URL, bytes or file object.

        Raises
        ------
        InvalidDataError
            When there is no such file, or it is nothing that can be read.
        """
        bound = most_expansion
        if isinstance(source, bytes | bytearray | memoryview):
            content = bytes(source)
            return cls(name or "the bytes", lambda: io.BytesIO(content), size=len(content), most_expansion=bound)
        if isinstance(source, str) and "://" in source:
            return cls(name or _hidden(source), lambda: fetched(source), most_expansion=bound)
        if isinstance(source, str | Path):
            path = Path(source)
            _check_exists(path)
            size = path.stat().st_size if path.is_file() else 0
            return cls(name or str(path), lambda: path.open("rb"), path=path, size=size, most_expansion=bound)
        if hasattr(source, "read"):
            return cls._of_stream(source, name, bound)
        raise InvalidDataError(
            f"A {type(source).__name__} cannot be read as a file.", mend="Give a path, a URL, bytes or an open file."
        )

    @classmethod
    def _of_stream(cls, stream: IO[Any], name: str, bound: float) -> Source:
        given = getattr(stream, "name", "")
        shown = name or (given if isinstance(given, str) else "") or "the stream"
        opened: Any = stream
        if isinstance(opened, io.TextIOBase):
            content = opened.read().encode("utf-8", "surrogatepass")
            return cls(shown, lambda: io.BytesIO(content), size=len(content), most_expansion=bound)
        seekable = bool(getattr(stream, "seekable", lambda: False)())
        start = stream.tell() if seekable else 0

        def again() -> IO[bytes]:
            if seekable:
                stream.seek(start)
            return io.BufferedReader(_Kept(stream))

        return cls(shown, again, again=seekable, most_expansion=bound)

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return self.path is not None and self.path.is_dir()

    @property
    def plain_name(self) -> str:
        """The name without the ending of a compression."""
        inner = PurePosixPath(self.name.replace("\\", "/"))
        return inner.stem if inner.suffix.lower() in _ENDINGS else inner.name

    def open(self) -> io.BufferedReader[Any]:
        """Return the content, decompressed, from its start.

        Raises
        ------
        InvalidDataError
            When it cannot be opened, or is compressed in a way that cannot be read.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return pending
        if self._opened and not self.again:
            raise InvalidDataError(f"{self.name} is a stream that can be read only once.", mend="Give a file.")
        self._opened = True
        self.read = 0
        counted: io.BufferedReader[Any] = io.BufferedReader(_Counted(self._opener(), self), _HEAD)
        try:
            head = counted.peek(_HEAD)
        except (OSError, ValueError) as error:
            raise InvalidDataError(f"{self.name} cannot be read: {error}.", mend="Check the file.") from error
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
        if head.startswith(b"PK\x03\x04") and (member := self._only_member(counted)) is not None:
            unpacked: io.BufferedReader[Any] = io.BufferedReader(_Bounded(member, self), 1 << 20)
            return unpacked
        if not kind:
            return counted
        bounded: io.BufferedReader[Any] = io.BufferedReader(
            _Bounded(_decompressed(counted, kind, self.name), self), 1 << 20
        )
        return bounded

    def head(self, size: int) -> bytes:
        """Return the first bytes of the content, decompressed; reading begins before them all the same."""
        stream = self.open()
        if self.again:
            with stream:
                return stream.read(size)
        self._pending = stream
        return stream.peek(size)[:size]

    def content(self, most: int) -> bytes:
        """Return the whole content, decompressed.

        Raises
        ------
        InvalidDataError
            When it has more than ``most`` bytes.
        """
        with self.open() as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise InvalidDataError(
                f"{self.name} has more than {most >> 20:,} MiB and cannot be read in parts.",
                mend="Save it as CSV, JSONL or Parquet, which are read in parts.",
            )
        return content

    def held(self, most: int = 4 << 30) -> Source:
        """Return a source that can be opened again: this one, or its content in memory."""
        if self.again:
            return self
        content = self.content(most)
        return Source(self.name, lambda: io.BytesIO(content), size=len(content), most_expansion=self.most_expansion)

    def _only_member(self, stream: io.BufferedReader[Any]) -> IO[bytes] | None:
        """Return the one file in a zip archive; None when the archive itself is the document (xlsx, docx)."""
        if not (stream.seekable() or self.path is not None):
            return None
        archive: IO[bytes] = self.path.open("rb") if self.path is not None else io.BytesIO(stream.read())
        members = plain_members(archive, self.name)
        if members is None:
            archive.seek(0)
            if self.path is None:
                stream.seek(0)
            archive.close()
            return None
        if len(members) != 1:
            archive.close()
            raise InvalidDataError(
                f"{self.name} is an archive of {len(members)} files: {', '.join(members[:8])}.",
                mend="Unpack it and give one file or the folder.",
            )
        # The archive is not read front to back: what it may become is bounded by its size.
        self.read = archive.seek(0, io.SEEK_END)
        return opened_member(archive, members[0])


class _Kept(io.RawIOBase):
    """A stream that stays open when the reader is done: it belongs to the caller."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(getattr(self._stream, "seekable", lambda: False)())

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Counted(io.RawIOBase):
    """A stream that tells its source how many stored bytes were read."""

    def __init__(self, stream: IO[bytes], source: Source) -> None:
        self._stream = stream
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self._source.read += len(content)
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Bounded(io.RawIOBase):
    """Decompressed content, refused when it grows out of proportion."""

    def __init__(self, stream: IO[bytes], source: Source) -> None:
        self._stream = stream
        self._source = source
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        name = self._source.name
        try:
            content = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError) as error:
            raise InvalidDataError(
                f"{name} is damaged after {self._out:,} bytes of content: {error or type(error).__name__}.",
                mend="Copy or download the file again.",
            ) from error
        buffer[: len(content)] = content
        self._out += len(content)
        stored = max(self._source.read, 1)
        if self._out > max(FREE_EXPANSION, self._source.most_expansion * stored):
            raise InvalidDataError(
                f"{name}: {stored:,} compressed bytes have become more than {self._out:,}; it may be a zip bomb.",
                mend="If you trust the file, decompress it yourself, or raise most_expansion.",
                reason="expansion",
            )
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _decompressed(stream: IO[bytes], kind: str, name: str) -> IO[bytes]:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if kind == "bz2":
        return bz2.BZ2File(stream)
    if kind == "xz":
        return lzma.LZMAFile(stream)
    try:
        import pyarrow as pa  # noqa: PLC0415 - only zstd needs it here
    except ImportError as error:
        raise InvalidDataError(
            f"{name} is compressed with zstd, which needs pyarrow.", mend="Install easeml-streaming[files]."
        ) from error
    unpacked: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
    return unpacked


def fetched(url: str) -> IO[bytes]:
    """Open what lies at a URL, as it is stored.

    Raises
    ------
    InvalidDataError
        When it cannot be opened.
    """
    import fsspec  # noqa: PLC0415 - slow to import, and most files are local

    try:
        opened: IO[bytes] = fsspec.open(url, "rb").open()
    except ImportError as error:
        raise InvalidDataError(f"{_hidden(url)} needs another package: {error}.", mend="Install it.") from error
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"{_hidden(url)} cannot be opened: {error}.", mend="Check the address.") from error
    return opened


def _hidden(url: str) -> str:
    """Return a URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_exists(path: Path) -> None:
    if path.exists():
        return
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(path.name, names, 3, 0.7)
    mend = f"Did you mean {' or '.join(near)}?" if near else "Check the path."
    raise InvalidDataError(f"There is no file {path}.", mend=mend)
