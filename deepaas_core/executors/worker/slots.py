"""Memory that both ends of the worker line see, for what is too large to be worth copying through a socket.

A slot is kept open and used again: making a fresh one for every call would cost more than the copy it saves. The side
that writes makes it larger when it has to; it is sealed against being made smaller, so that neither side can pull the
ground from under the other.
"""

import fcntl
import mmap
import os
from typing import Optional, Union

Buffer = Union[bytes, bytearray, memoryview]

#: Buffers at least this long go through a slot.
LARGE_BYTES = 256 * 1024
#: Slots of a worker in each direction; while one is read, the other can be written.
COUNT = 2
#: Pages of a slot are given back after it held more than this.
KEEP_BYTES = 16 * 2**20


def create() -> int:
    """A new, empty slot's descriptor."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("deepaas-core", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return descriptor
    import tempfile  # seldom needed, and slow to load

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Slot:
    """One end's view of a slot."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._map: Optional[mmap.mmap] = None

    def write(self, data: Buffer) -> None:
        """Put data at the slot's start."""
        self.room(len(data))[:] = data

    def room(self, size: int) -> memoryview:
        """The first bytes of the slot, to be written."""
        if os.fstat(self._descriptor).st_size < size:
            os.ftruncate(self._descriptor, size)
        return memoryview(self._mapped(size))[:size]

    def view(self, size: int) -> memoryview:
        """The first bytes of the slot, without a copy; valid until the slot is written again.

        Raises:
            ValueError: The slot is not that large.
        """
        if not 0 <= size <= os.fstat(self._descriptor).st_size:
            raise ValueError("a slot is smaller than it was said to be")
        return memoryview(self._mapped(size))[:size]

    def release(self, size: int) -> None:
        """Give back the pages of a large buffer that has been dealt with."""
        if size > KEEP_BYTES and self._map is not None and hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Let go of the slot."""
        self._map = None  # unmapped once the last view of it has gone
        os.close(self._descriptor)

    def _mapped(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self._descriptor, os.fstat(self._descriptor).st_size)
        return self._map
