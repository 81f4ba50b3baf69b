"""Where model files lie: a content-addressed store below one fsspec URI.

A file's name is the SHA-256 of its bytes, so the same model is stored once, a put can be repeated at will, and a
changed byte is noticed on every read. Readers give the URI that an event announced; nothing outside the configured
store is ever opened, whatever the event says.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from typing import Any, NamedTuple
from urllib.parse import unquote

import fsspec

from easeml.errors import ArtifactError, ConfigurationError, UnavailableError

_SCHEMES = frozenset({"file", "memory", "s3"})
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Stored(NamedTuple):
    """A stored file.

    Parameters
    ----------
    uri : str
        Where it is.
    sha256 : str
        Its digest, 64 hexadecimal digits.
    size : int
        Its length in bytes.
    """

    uri: str
    sha256: str
    size: int


class ArtifactStore:
    """Model files below one URI.

    Parameters
    ----------
    uri : str
        ``file:///folder``, ``memory://name`` or ``s3://bucket/prefix``; a plain path is a ``file`` URI. The s3 scheme
        needs the package s3fs.
    max_bytes : int
        Larger files are neither written nor read.

    Raises
    ------
    ConfigurationError
        When the scheme is not served.

    Examples
    --------
    >>> store = ArtifactStore("memory://models", max_bytes=1000)
    >>> stored = store.put(b"weights")
    >>> store.get(stored.uri, stored.sha256)
    b'weights'
    """

    def __init__(self, uri: str, max_bytes: int) -> None:
        scheme, separator, rest = uri.partition("://")
        if not separator:
            scheme, rest = "file", os.path.abspath(uri)  # noqa: PTH100 - a URI, not a Path
        if scheme not in _SCHEMES or "::" in uri:
            raise ConfigurationError(
                f"EASEML_ARTIFACTS_URI {uri!r} has a scheme that the artifact store does not serve.",
                mend=f"Use one of {', '.join(sorted(_SCHEMES))}.",
            )
        self.uri = f"{scheme}://{rest}".rstrip("/")
        self.max_bytes = max_bytes
        self._local = scheme == "file"
        # as_uri() percent-encodes; fsspec takes the path of a file URI literally.
        self._root = (unquote(rest) if self._local else rest).rstrip("/")
        try:
            self._fs: Any = fsspec.filesystem(scheme)
        except ImportError as error:
            raise ConfigurationError(
                f"The artifact store {uri!r} needs a package that is not installed: {error}.",
                mend="Install s3fs, or use a file:// store.",
            ) from error

    def put(self, data: bytes) -> Stored:
        """Store ``data`` under its digest and return where; repeating it changes nothing.

        Raises
        ------
        ArtifactError
            When it is larger than ``max_bytes``.
        UnavailableError
            When the store cannot be written.
        """
        if len(data) > self.max_bytes:
            raise ArtifactError(
                f"The model file has {len(data)} bytes, the store {self.uri} takes {self.max_bytes}.",
                mend="Train a smaller model or raise EASEML_MAX_ARTIFACT_BYTES.",
            )
        digest = hashlib.sha256(data).hexdigest()
        relative = f"{digest[:2]}/{digest}.skops"
        path = f"{self._root}/{relative}"
        try:
            if not self._holds(path, digest):
                self._write(path, data)
        except OSError as error:
            raise UnavailableError(
                f"The artifact store {self.uri} cannot be written: {error}.",
                mend="Check that it exists, has room and may be written.",
            ) from error
        return Stored(f"{self.uri}/{relative}", digest, len(data))

    def get(self, uri: str, sha256: str) -> bytes:
        """Return the bytes at ``uri``.

        Parameters
        ----------
        uri : str
            As announced; must lie below the store's own URI.
        sha256 : str
            Digest that the bytes must have.

        Raises
        ------
        ArtifactError
            When the URI is foreign, the file is missing or too large, or its digest differs.
        UnavailableError
            When the store cannot be read.
        """
        if not _DIGEST.fullmatch(sha256):
            raise ArtifactError(
                f"{sha256[:80]!r} is not a SHA-256 digest.", mend="Announce 64 lower-case hexadecimal digits."
            )
        path = self._path(uri)
        try:
            size = int(self._fs.info(path)["size"])
            if size > self.max_bytes:
                raise self._too_large(uri, size)
            with self._fs.open(path, "rb") as file:
                data: bytes = file.read(self.max_bytes + 1)  # info may lie or be outdated
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ArtifactError(
                f"There is no model file at {uri}.", mend="Store it there before announcing it, or train it again."
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"The artifact store {self.uri} cannot be read: {error}.", mend="Check that it is up and readable."
            ) from error
        if len(data) > self.max_bytes:
            raise self._too_large(uri, len(data))
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ArtifactError(
                f"The model file {uri} has the digest {found}, announced was {sha256}.",
                mend="It was changed or cut: train or upload it again.",
            )
        return data

    def delete(self, uri: str) -> bool:
        """Remove the file at ``uri``; return whether there was one.

        Raises
        ------
        ArtifactError
            When the URI is foreign.
        UnavailableError
            When the store cannot be written.
        """
        path = self._path(uri)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnavailableError(
                f"{uri} cannot be deleted: {error}.", mend="Check that the artifact store is up and may be written."
            ) from error
        return True

    def _too_large(self, uri: str, size: int) -> ArtifactError:
        return ArtifactError(
            f"The model file {uri} has {size} bytes, allowed are {self.max_bytes}.",
            mend="Use a smaller model or raise EASEML_MAX_ARTIFACT_BYTES.",
        )

    def _path(self, uri: str) -> str:
        foreign = ArtifactError(
            f"The model file {uri[:200]!r} does not lie in the artifact store {self.uri}.",
            mend="Put it into the store that EASEML_ARTIFACTS_URI names and announce that URI.",
        )
        prefix = self.uri + "/"
        if not uri.startswith(prefix):
            raise foreign
        segments = uri.removeprefix(prefix).split("/")
        if not all(_SEGMENT.fullmatch(segment) and ".." not in segment for segment in segments):
            raise foreign
        path = "/".join([self._root, *segments])
        if self._local:
            real, root = os.path.realpath(path), os.path.realpath(self._root)
            if not real.startswith(root + os.sep):  # a link in the store that leads out of it
                raise foreign
        return path

    def _holds(self, path: str, digest: str) -> bool:
        try:
            with self._fs.open(path, "rb") as file:
                return hashlib.sha256(file.read(self.max_bytes + 1)).hexdigest() == digest
        except FileNotFoundError:
            return False

    def _write(self, path: str, data: bytes) -> None:
        if not self._local:
            self._fs.pipe_file(path, data)  # object stores replace whole objects
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - a URI's path
        temporary = f"{path}.{secrets.token_hex(6)}.part"
        try:
            with open(temporary, "xb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 - a reader sees the whole file or none
        finally:
            if os.path.exists(temporary):  # noqa: PTH110
                os.unlink(temporary)  # noqa: PTH108
