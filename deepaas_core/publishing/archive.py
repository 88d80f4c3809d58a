"""Archives of generations: a folder, frozen under a name that its content gives it.

The name is the SHA-256 of the manifest, which lists every file with its own SHA-256 as ``sha256sum`` does; so the same
files have the same name, whoever packed them and when. Archives that others made are unpacked with suspicion: nothing
leaves the folder, nothing but files and folders is made, and what is too much is refused before it is on disk.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import struct
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Protocol, cast

from deepaas_core.errors import ArchiveRefused

MANIFEST = "MANIFEST.sha256"
IGNORE_FILE = ".deepaasignore"
#: What is never part of a service, besides what its ``.deepaasignore`` names.
IGNORED = (
    *(".git", ".hg", ".svn", ".venv", "venv", ".env", "node_modules", "__pycache__", "*.pyc", "*.egg-info"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".DS_Store", ".Rhistory", MANIFEST),
)
MAX_ENTRIES = 10_000
MAX_RATIO = 200
#: However small an archive is, so much may come out of it.
ALWAYS_ALLOWED_BYTES = 16 * 2**20
_MAX_PATH_CHARS, _MAX_NAME_BYTES = 1000, 255
_PIECE_BYTES = 2**20
#: The list of a zip file's entries may not be longer than that of so many entries with long names.
_MAX_DIRECTORY_BYTES = MAX_ENTRIES * 1200
_MOMENT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Frozen:
    """A folder's content.

    Attributes:
        digest: SHA-256 of the manifest, in hexadecimal.
        files: SHA-256 of each file, by its path below the folder, in the order of the manifest.
        size_bytes: What the files hold together.
    """

    digest: str
    files: Mapping[str, str]
    size_bytes: int

    @classmethod
    def of(cls, files: Mapping[str, str], size_bytes: int) -> Frozen:
        """What these files are together."""
        ordered = dict(sorted(files.items(), key=lambda item: item[0].encode()))
        return cls(hashlib.sha256(_manifest(ordered)).hexdigest(), ordered, size_bytes)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a service's folder that belong to it, by their paths below it.

    Raises:
        ArchiveRefused: One of them is neither a file nor a folder, or has a name that not every system can have.
    """
    patterns = (*IGNORED, *_ignored_by(folder))
    for root, folders, names in os.walk(folder):
        below = Path(root).relative_to(folder)
        folders[:] = sorted(name for name in folders if not _is_ignored((below / name).as_posix(), patterns))
        folders[:] = [name for name in folders if not (Path(root) / name / "pyvenv.cfg").exists()]
        for name in folders:
            if (Path(root) / name).is_symlink():
                raise ArchiveRefused(
                    f"{(below / name).as_posix()} is a link to a folder; put the folder there instead."
                )
        for name in sorted(names):
            path, relative = Path(root) / name, (below / name).as_posix()
            if _is_ignored(relative, patterns):
                continue
            if not path.is_file():
                raise ArchiveRefused(f"{_shown(relative)} is not a file.")
            _check_name(relative)
            yield relative, path


def look(folder: Path) -> Frozen:
    """What a folder's content would be frozen as.

    Raises:
        ArchiveRefused: See ``files_of``.
    """
    size, files = 0, {}
    for name, path in files_of(folder):
        files[name], length = _hash(path)
        size += length
    return Frozen.of(files, size)


def pack(folder: Path, target: Path) -> Frozen:
    """Write a folder's content into a new archive, which is on disk when this returns.

    Raises:
        ArchiveRefused: See ``files_of``; or it has too many files.
        OSError: It cannot be read or written.
    """
    found = dict(files_of(folder))
    if len(found) > MAX_ENTRIES:
        raise ArchiveRefused(f"It has {len(found)} files; a service may have {MAX_ENTRIES}.")
    size, files = 0, {}
    with target.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(found.items(), key=lambda item: item[0].encode()):
            files[name], length = _add(archive, name, path)
            size += length
        frozen = Frozen.of(files, size)
        archive.writestr(_entry(MANIFEST), _manifest(frozen.files), zipfile.ZIP_DEFLATED)
        archive.close()
        file.flush()
        os.fsync(file.fileno())
    return frozen


def unpack(archive: Path, target: Path, max_bytes: int) -> Frozen:
    """Take an archive apart into a new folder: all of it, or nothing.

    Args:
        archive: A zip file, or a gzipped tar file.
        target: A folder that is not there yet; afterwards it can only be read.
        max_bytes: What may come out of it at most.

    Returns:
        What came out.

    Raises:
        ArchiveRefused: It is no such archive, is damaged, or is not safe to unpack.
        OSError: The folder cannot be written.
    """
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    part.mkdir(mode=0o700, parents=True)
    try:
        allowed = min(max_bytes, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))
        receiver = _Receiver(part, allowed)
        with archive.open("rb") as file:
            _open(file)(file, receiver)
        receiver.close()
        part.rename(target)
        sync_folder(target.parent)
    except BaseException:
        remove_folder(part)
        raise
    return Frozen.of(receiver.files, receiver.size)


class Archives:
    """The archives of all generations, and the folders that came out of them.

    Args:
        kept: The folder of the archives; several servers may share it.
        unpacked: The folder of what came out; this server's alone.
    """

    def __init__(self, kept: Path, unpacked: Path):
        self._kept, self._unpacked = kept, unpacked

    def make_folders(self) -> None:
        """Make the folders if they are not there, and remove what a crash has left of work that was begun.

        Raises:
            OSError: They cannot be made.
        """
        for folder in (self._kept, self._unpacked):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._unpacked.glob(".*.part"):
            remove_folder(left)
        for left in self._unpacked.glob("*.derived/.*.part"):
            left.unlink(missing_ok=True)

    def keep(self, folder: Path) -> Frozen:
        """Freeze a folder; it is on disk when this returns.

        Raises:
            ArchiveRefused, OSError: See ``pack``.
        """
        part = self._kept / f".{uuid.uuid4().hex}.part"
        try:
            frozen = pack(folder, part)
            part.replace(self.path(frozen.digest))
            sync_folder(self._kept)
        finally:
            part.unlink(missing_ok=True)
        return frozen

    def path(self, digest: str) -> Path:
        """Where the archive of this name is."""
        return self._kept / f"{digest}.zip"

    def files(self, digest: str) -> Mapping[str, str]:
        """The SHA-256 of each file of a generation, by its path.

        Raises:
            OSError: The archive is not there.
        """
        with zipfile.ZipFile(self.path(digest)) as archive:
            lines = archive.read(MANIFEST).decode().splitlines()
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def folder(self, digest: str) -> Path:
        """The folder of a generation, unpacked now if it was not yet.

        Raises:
            ArchiveRefused: The archive is not what it was when it was made.
            OSError: The archive is not there, or the folder cannot be made.
        """
        target = self._unpacked / digest
        if not target.is_dir():
            new = self._unpacked / f".{uuid.uuid4().hex}.part"
            try:
                if unpack(self.path(digest), new, 2**63).digest != digest:
                    raise ArchiveRefused(f"The archive {digest} is damaged.")
                with suppress(FileExistsError):
                    os.chmod(new, 0o700)  # a folder that cannot be written cannot be renamed everywhere
                    new.rename(target)
                    os.chmod(target, 0o500)
            finally:
                remove_folder(new)
        return target

    def remove(self, digest: str) -> None:
        """Delete an archive and what came out of it."""
        self.path(digest).unlink(missing_ok=True)
        remove_folder(self._unpacked / digest)
        remove_folder(self.derived(digest))

    def derived(self, digest: str) -> Path:
        """The folder for what is made from a generation's files, if anything is; it goes when they go."""
        return self._unpacked / f"{digest}.derived"

    def index(self, digest: str, dataset: str) -> Path:
        """Where the index of one of a generation's datasets is, or would be."""
        return self.derived(digest) / f"{dataset}.index"

    def digests(self, older_than: float) -> Iterator[str]:
        """The names of archives, and of what came out of some, made before this time, in seconds since the epoch."""
        paths = [*self._kept.glob("*.zip"), *self._unpacked.glob("[!.]*/")]
        for digest in dict.fromkeys(path.name.partition(".")[0] for path in paths):
            with suppress(FileNotFoundError):
                there = (self.path(digest), self._unpacked / digest, self.derived(digest))
                if all(path.stat().st_mtime < older_than for path in there if path.exists()):
                    yield digest

    def unpacked(self) -> Iterator[Path]:
        """The folders of the generations that were unpacked here."""
        for path in self._unpacked.glob("[!.]*/"):
            if "." not in path.name:
                yield path


def remove_folder(folder: Path) -> None:
    """Remove a folder, read-only as it may be; one that is not there is fine."""
    for root, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(root, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Receiver:
    """Writes what comes out of an archive, and refuses what must not."""

    def __init__(self, folder: Path, allowed_bytes: int):
        self.files: dict[str, str] = {}
        self.size = 0
        self._folder = folder
        self._allowed = allowed_bytes
        self._entries = 0
        self._folders = {folder}

    def count(self) -> None:
        """One more entry of whatever kind."""
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ArchiveRefused(f"It has more than {MAX_ENTRIES} entries.")

    def folder(self, name: str) -> None:
        """An entry that is a folder."""
        name = name.removeprefix("./").rstrip("/")
        if name not in ("", "."):
            self._make(self._folder / _check_name(name))

    def file(self, name: str, content: _Readable) -> None:
        """An entry that is a file."""
        name = name.removeprefix("./")
        path = self._folder / _check_name(name)
        self._make(path.parent)
        hashed, size = hashlib.sha256(), 0
        try:
            with open(path, "xb", opener=_private) as file:
                while piece := content.read(_PIECE_BYTES):
                    size += len(piece)
                    if self.size + size > self._allowed:
                        raise ArchiveRefused(f"More than {self._allowed} bytes come out of it.")
                    hashed.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise ArchiveRefused(f"It has {_shown(name)} twice.") from None
        os.chmod(path, 0o400)
        if name != MANIFEST:
            self.files[name] = hashed.hexdigest()
            self.size += size

    def close(self) -> None:
        """All has come out."""
        (self._folder / MANIFEST).unlink(missing_ok=True)
        for folder in sorted(self._folders, key=lambda each: -len(each.parts)):
            sync_folder(folder)
            if folder != self._folder:
                os.chmod(folder, 0o500)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ArchiveRefused(f"It has {_shown(folder.name)} both as a file and as a folder.") from None
        while folder not in self._folders:
            self._folders.add(folder)
            if len(self._folders) > 2 * MAX_ENTRIES:
                raise ArchiveRefused("It has too many folders.")
            folder = folder.parent


def _open(file: IO[bytes]) -> Callable[[IO[bytes], _Receiver], None]:
    """What can read an archive, by its first bytes."""
    begins = file.read(4)
    file.seek(0)
    if begins[:2] == b"\x1f\x8b":
        return _unpack_tar
    if begins in (b"PK\x03\x04", b"PK\x05\x06"):
        return _unpack_zip
    raise ArchiveRefused("It is neither a zip file nor a gzipped tar file.")


def _unpack_zip(file: IO[bytes], receiver: _Receiver) -> None:
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                receiver.count()
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.flag_bits & 0x1:
                    raise ArchiveRefused("It is encrypted.")
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ArchiveRefused(f"{_shown(entry.filename)} is a link or a device.")
                if entry.is_dir():
                    receiver.folder(entry.filename)
                else:
                    with archive.open(entry) as content:
                        receiver.file(entry.filename, content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError, ValueError) as e:
        raise ArchiveRefused(f"It is damaged: {_line(e)}") from e


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a zip file whose list of entries would fill the memory when it is read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 22 - 20))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ArchiveRefused("It is damaged: its end is missing.")
    (directory,) = struct.unpack_from("<L", tail, at + 12)
    if directory > _MAX_DIRECTORY_BYTES or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise ArchiveRefused("It is too large.")


def _unpack_tar(file: IO[bytes], receiver: _Receiver) -> None:
    try:
        with (
            gzip.GzipFile(fileobj=file) as unzipped,
            tarfile.open(fileobj=cast(Any, _Bounded(unzipped, receiver)), mode="r:") as archive,
        ):
            for entry in archive:
                receiver.count()
                if entry.isdir():
                    receiver.folder(entry.name)
                elif entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse():
                    content = archive.extractfile(entry)
                    assert content is not None
                    receiver.file(entry.name, content)
                else:
                    raise ArchiveRefused(f"{_shown(entry.name)} is a link or a device.")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError, ValueError) as error:
        raise ArchiveRefused(f"It is damaged: {_line(error)}") from error


class _Bounded:
    """What a tar file is read from: neither a single head of it, nor all that it skips over, may be without bounds."""

    name = ""

    def __init__(self, inner: gzip.GzipFile, receiver: _Receiver):
        self._inner, self._allowed = inner, receiver._allowed + 4096 * MAX_ENTRIES

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 2 * _PIECE_BYTES:
            raise ArchiveRefused("One of its heads is too large.")
        self._check(self._inner.tell() + size)
        return self._inner.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        piece = self.read(min(len(buffer), _PIECE_BYTES))
        buffer[: len(piece)] = piece
        return len(piece)

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        self._check(position)
        return self._inner.seek(position, whence)

    def seekable(self) -> bool:
        return True

    def _check(self, position: int) -> None:
        if position > self._allowed:
            raise ArchiveRefused(f"More than {self._allowed} bytes come out of it.")


def _check_name(name: str) -> str:
    """An entry's name, if it is one that stays inside and that every system can have.

    Raises:
        ArchiveRefused: It is not.
    """
    parts = name.split("/")
    usable = (
        0 < len(name) <= _MAX_PATH_CHARS
        and name.isprintable()
        and "\\" not in name
        and all(part not in ("", ".", "..") for part in parts)
    )
    try:
        usable = usable and all(len(part.encode()) <= _MAX_NAME_BYTES for part in parts)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise ArchiveRefused(f"{_shown(name)} cannot be the name of a file in it.")
    return name


def _ignored_by(folder: Path) -> tuple[str, ...]:
    try:
        lines = (folder / IGNORE_FILE).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return tuple(line.strip().strip("/") for line in lines if line.strip().strip("/") and not line.startswith("#"))


def _is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[str, int]:
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(_entry(name), "w", force_zip64=path.stat().st_size > 2**30) as entry:
        while piece := source.read(_PIECE_BYTES):
            hashed.update(piece)
            entry.write(piece)
            size += len(piece)
    return hashed.hexdigest(), size


def _entry(name: str) -> zipfile.ZipInfo:
    """The head of an entry that says nothing of when and where it was packed."""
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _manifest(files: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in files.items()).encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _shown(name: str) -> str:
    return ascii(name[:200])


def _line(error: Exception) -> str:
    return ascii(str(error))[1:-1][:200]
