"""Text of any encoding as blocks of UTF-8 lines, in bounded memory.

A byte order mark or the option decides; without them UTF-8 is tried, and a text that is no UTF-8 is read in the
single-byte or East Asian encoding that its other letters fit. A text that is UTF-8 in one place and something else in
another is refused: whatever were guessed for it, some of its words would be wrong.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import IO

from easeml.errors import InvalidDataError

BLOCK = 1 << 20
"""Bytes read at once."""
LONGEST_LINE = 64 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-16", "utf-32", "utf-7", "utf_16", "utf_32", "utf_7")
# In a single-byte text these would be a capital A with tilde or circumflex before a symbol, or an a with circumflex
# before two: words have neither, while every accent and every curly quote of a UTF-8 text looks like this.
_UTF8_INSIDE = re.compile(rb"[\xc2\xc3][\x80-\xbf]|\xe2[\x80-\xaf][\x80-\xbf]")
_BEYOND_ASCII = re.compile(rb"[^\n]*[\x80-\xff][^\n]*")
_WESTERN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŠŽšžŒœŸðþÐÞ€‚„…‘’“”•–—™°§«»©®²³µ·£¥ºª¿¡½¼¾×±\xa0´¸"
)
_GUESSED = 32 << 10
_GUESSED_FROM = 4 << 20
_LEGACY = ("cp1252", "cp1250", "iso8859-1", "iso8859-2", "iso8859-15")


class Text:
    """The lines of a text as UTF-8.

    Parameters
    ----------
    stream : binary file
        The bytes.
    name : str
        How errors call the file.
    encoding : str, optional
        Its encoding; None: found out.
    block : int
        Bytes read at once.
    lines : bool
        Whether blocks end with lines; where lines mean nothing, a line may be as long as it likes.
    """

    def __init__(
        self, stream: IO[bytes], name: str, encoding: str | None = None, *, block: int = BLOCK, lines: bool = True
    ) -> None:
        self._stream = stream
        self._name = name
        self._size = block
        self._line = 1
        self._at = 0
        self._by_lines = lines
        self._beyond = False
        self._given = encoding is not None
        self._legacy = False
        first = stream.read(block)
        self.encoding, skip = self._recognised(first, encoding)
        self._at = skip
        self._rest = first[skip:]
        self._ahead = b""
        self._old_mac = b"\r" in first and b"\n" not in first

    def __iter__(self) -> Iterator[bytes]:
        """Yield blocks that end with a line end, the last one perhaps without.

        Raises
        ------
        InvalidDataError
            When bytes do not fit the encoding; names the line and the byte.
        """
        wide = self.encoding.lower().startswith(_WIDE)
        for block in self._decoded() if wide or not self._by_lines else self._lines():
            if self._old_mac:
                block = block.replace(b"\r", b"\n")  # noqa: PLW2901 - the same block
            if b"\0" in block:
                line = self._line + block.count(b"\n", 0, block.index(b"\0"))
                raise InvalidDataError(
                    f"{self._name}, line {line}: a NUL byte; this is no text.", mend="Check the format of the file."
                )
            self._line += block.count(b"\n")
            yield block

    def _recognised(self, head: bytes, given: str | None) -> tuple[str, int]:
        """Return the encoding and the length of the byte order mark."""
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                return encoding, len(mark)
        if given is not None:
            try:
                return codecs.lookup(given).name, 0
            except LookupError as error:
                raise InvalidDataError(
                    f"Unknown encoding {given!r}.", mend="Known are e.g. utf-8, cp1252, latin-1, utf-16."
                ) from error
        sample = head[:4096]
        zeros = sample.count(0)
        if zeros > 0.3 * len(sample) > 0:
            return ("utf-16-be" if sample[::2].count(0) > sample[1::2].count(0) else "utf-16-le"), 0
        return "utf-8", 0

    def _decoded(self) -> Iterator[bytes]:
        """Yield lines of an encoding whose line ends are not single bytes."""
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        rest, chunk = "", self._rest
        while True:
            try:
                text = rest + decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = self._line + rest.count("\n")
                raise self._unfit(error.object[error.start], line, self._at + error.start) from error
            self._at += len(chunk)
            whole, cut, rest = text.rpartition("\n") if self._by_lines else (text, "", "")
            if whole or cut:
                yield (whole + cut).encode("utf-8", "surrogatepass")
            self._check_line(len(rest))
            if not chunk:
                break
            chunk = self._stream.read(self._size)
        if rest:
            yield rest.encode("utf-8", "surrogatepass")

    def _lines(self) -> Iterator[bytes]:
        rest, chunk = b"", self._rest
        while chunk:
            self._ahead = self._ahead or self._stream.read(self._size)
            end = chunk.rfind(b"\r" if self._old_mac else b"\n") + 1 if self._ahead else len(chunk)
            if end:
                block = rest + chunk[:end]
                rest = chunk[end:]
                yield self._utf8(block)
                self._at += len(block)
            else:
                rest += chunk
                self._check_line(len(rest))
            chunk, self._ahead = self._ahead[: self._size], self._ahead[self._size :]

    def _utf8(self, block: bytes) -> bytes:
        """Return a block of whole lines in UTF-8."""
        if block.isascii():
            return block
        try:
            text = block.decode(self.encoding)
        except UnicodeDecodeError as error:
            beyond = self._beyond or not block[: error.start].isascii()
            if self._given or self._legacy or self.encoding != "utf-8" or beyond:
                line = self._line + block.count(b"\n", 0, error.start)
                raise self._unfit(block[error.start], line, self._at + error.start) from error
            self._ahead += self._stream.read(max(0, _GUESSED_FROM - len(self._ahead)))
            self.encoding = _guess(block + self._ahead)
            self._legacy = True
            return self._utf8(block)
        self._beyond = True
        if self.encoding == "utf-8":
            return block
        if self._legacy and self.encoding in _LEGACY and (found := _UTF8_INSIDE.search(block)):
            line = self._line + block.count(b"\n", 0, found.start())
            raise self._mixed(block[found.start()], line, self._at + found.start())
        return text.encode("utf-8", "surrogatepass")

    def _check_line(self, size: int) -> None:
        if size > LONGEST_LINE:
            raise InvalidDataError(
                f"{self._name}, line {self._line}: longer than {LONGEST_LINE >> 20} MiB; this is no text of lines.",
                mend="Check the format of the file.",
            )

    def _unfit(self, byte: int, line: int, at: int) -> InvalidDataError:
        if not self._given and not self._legacy:
            return self._mixed(byte, line, at)
        return InvalidDataError(
            f"{self._name}, line {line}: byte 0x{byte:02x} (at {at:,}) does not fit the encoding {self.encoding}.",
            mend="Name the right encoding, or correct the line.",
            reason="encoding",
        )

    def _mixed(self, byte: int, line: int, at: int) -> InvalidDataError:
        here, there = ("is", "are not") if self._legacy else ("is not", "are")
        return InvalidDataError(
            f"{self._name}, line {line}: byte 0x{byte:02x} (at {at:,}) {here} UTF-8, and other letters of the file "
            f"{there}: it mixes encodings.",
            mend="Save the whole file as UTF-8, or name its encoding if it has only one (e.g. cp1252).",
            reason="encoding",
        )


def _guess(block: bytes) -> str:
    """Return the encoding of a text that is no UTF-8, by its lines with letters beyond ASCII."""
    sample = b"\n".join(match[0] for match in _BEYOND_ASCII.finditer(block))[:_GUESSED]
    try:
        western = sample.decode("cp1252")
    except UnicodeDecodeError:
        western = ""
    beyond = [letter for letter in western if ord(letter) > 127]
    letters = sum(letter.isalpha() for letter in western) or 1
    if beyond and sum(letter in _WESTERN for letter in beyond) >= 0.95 * len(beyond) and len(beyond) <= 0.5 * letters:
        return "cp1252"
    from charset_normalizer import from_bytes  # noqa: PLC0415 - slow to import, and most files are UTF-8

    best = from_bytes(sample).best()
    return best.encoding if best is not None else "latin-1"


def decoded(content: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Return a whole text and its encoding; errors as ``Text``."""
    text = Text(io.BytesIO(content), name, encoding)
    blocks = [block.decode("utf-8", "surrogatepass") for block in text]
    return "".join(blocks), text.encoding
