"""Publishing: from an archive that somebody sends to a generation that is never changed again."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deepaas_core import errors
from deepaas_core.domain.deployment import Generation, next_version, unique_version
from deepaas_core.domain.service import NAME, NAME_EXPECTED, Service
from deepaas_core.publishing.archive import Archives, remove_folder, unpack
from deepaas_core.serving.indexes import Indexes
from deepaas_core.stores.base import ServiceStore

log = logging.getLogger(__name__)

MAX_NOTES_CHARS = 20_000
#: An archive that no record names is deleted once it is this old; a younger one may be about to be recorded.
FORSAKEN_S = 3600.0
_FILE = "service.toml"

#: The service that a folder describes.
Read = Callable[[Path], Service]


@dataclass(frozen=True)
class Difference:
    """How the files of one generation differ from those of another.

    Attributes:
        added, removed, changed: Paths.
        definition: Whether the service that they describe is another one.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    definition: bool


@dataclass(frozen=True)
class Wish:
    """How a generation is to be published.

    Attributes:
        version: What to call it; empty for the next ``vN``.
        notes: What its author has to say of it.
        unique: Whether to put a number behind a version that is taken.
        allow_apt: Whether packages of the system that it needs are to be installed, where the operator allows it.
    """

    version: str = ""
    notes: str = ""
    unique: bool = False
    allow_apt: bool = False


class Publisher:
    """Publishes generations.

    Args:
        store: Keeps the records.
        archives: Keep the archives.
        read: Reads a folder's definition.
        scratch: For folders that are looked at once.
        max_bytes: The largest content of an archive.
        indexes: Of the data that travels in generations.
        clock: Tells the time, in aware UTC.
    """

    def __init__(
        self,
        store: ServiceStore,
        archives: Archives,
        read: Read,
        scratch: Path,
        max_bytes: int,
        indexes: Indexes,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._store, self._archives, self._read = store, archives, read
        self._scratch, self._max_bytes, self._clock = scratch, max_bytes, clock
        self._indexes = indexes

    async def publish(self, archive: Path, service: str, wish: Wish) -> Generation:
        """Make a generation of an archive; it is on disk, and on record, when this returns.

        Raises:
            ArchiveRefused, DefinitionRefused: It is no archive of a service.
            DatasetUnusable: One of its files of data cannot be used.
            InvalidInput: The name of the service, the version or the notes cannot be used.
            VersionTaken: There is, or was, a generation of this version.
        """
        _check(service, wish)
        if wish.version and not wish.unique and wish.version in await self._store.versions(service):
            raise errors.VersionTaken(service, wish.version)
        try:
            generation = await asyncio.to_thread(self._freeze, archive, service, wish)
            await self._indexes.ensure(generation)
            await self._indexes.check_files(generation)
        except OSError as error:
            raise errors.StoreUnavailable(f"The archive cannot be kept: {os.strerror(error.errno or 0)}.") from error
        while True:
            taken = await self._store.versions(service)
            version = wish.version or next_version(taken)
            if wish.unique:
                version = unique_version(version, taken)
            try:
                published = await self._store.add_generation(replace(generation, version=version))
            except errors.VersionTaken:
                if wish.version and not wish.unique:
                    raise
                continue  # somebody was quicker; there is a next one
            if not self._archives.path(published.digest).is_file():  # it went with another one that was deleted
                await asyncio.to_thread(self._freeze, archive, service, wish)
            log.info(
                "generation published",
                extra={"service": service, "generation": version, "digest": published.digest},
            )
            return published

    async def diff(self, generation: Generation, other: Generation) -> Difference:
        """What one generation has that another has not, and the other way round."""
        ours, theirs = await asyncio.gather(*(asyncio.to_thread(self._files, each) for each in (generation, other)))
        return Difference(
            added=tuple(name for name in ours if name not in theirs),
            removed=tuple(name for name in theirs if name not in ours),
            changed=tuple(name for name in ours if name in theirs and ours[name] != theirs[name]),
            definition=generation.definition != other.definition,
        )

    def archive(self, generation: Generation) -> Path:
        """Where a generation's archive is.

        Raises:
            NotFound: It is not here.
        """
        path = self._archives.path(generation.digest)
        if not path.is_file():
            raise errors.NotFound(f"The archive of generation {generation.version!r} is not on this server.")
        return path

    async def tidy(self, in_use: Callable[[str], bool] = lambda digest: False) -> frozenset[str]:
        """Delete archives that no record names, and what came out of them here.

        Args:
            in_use: Whether something of a digest still runs.

        Returns:
            The digests that records name.
        """
        named = frozenset(generation.digest for generation in await self._store.generations())
        old = await asyncio.to_thread(list, self._archives.digests(time.time() - FORSAKEN_S))
        for digest in old:
            if digest not in named and not in_use(digest):
                await asyncio.to_thread(self._archives.remove, digest)
        return named

    async def forget(self, digest: str) -> bool:
        """Delete the archive of a generation that was deleted, and what came out of it here; gives whether it went.

        It stays if another generation has the same content.
        """
        if any(generation.digest == digest for generation in await self._store.generations()):
            return False
        await asyncio.to_thread(self._archives.remove, digest)
        return True

    def _freeze(self, archive: Path, service: str, wish: Wish) -> Generation:
        folder = self._scratch / f"publishing-{uuid.uuid4().hex}"
        try:
            unpack(archive, folder, self._max_bytes)
            root = _root(folder)
            definition = replace(self._read(root), name=service, allow_apt=wish.allow_apt)
            frozen = self._archives.keep(root)
        finally:
            remove_folder(folder)
        return Generation(
            service=service,
            version="",
            digest=frozen.digest,
            definition=definition,
            created_at=self._clock(),
            notes=wish.notes,
            size_bytes=frozen.size_bytes,
        )

    def _files(self, generation: Generation) -> Mapping[str, str]:
        self.archive(generation)
        return self._archives.files(generation.digest)


def _root(folder: Path) -> Path:
    """The folder that has the definition: this one, or the only one in it."""
    inside = list(folder.iterdir())
    if not (folder / _FILE).exists() and len(inside) == 1 and inside[0].is_dir():
        return inside[0]
    return folder


def _check(service: str, wish: Wish) -> None:
    issues = []
    if not NAME.fullmatch(service):
        issues.append(errors.Issue("/service", f"Must be {NAME_EXPECTED}."))
    if wish.version and not NAME.fullmatch(wish.version):
        issues.append(errors.Issue("/version", f"Must be {NAME_EXPECTED}."))
    if len(wish.notes) > MAX_NOTES_CHARS or re.search(r"[\x00\ud800-\udfff]", wish.notes):
        issues.append(errors.Issue("/notes", f"Must be text of at most {MAX_NOTES_CHARS} characters."))
    if issues:
        raise errors.InvalidInput(issues)
