"""What malloc does with memory that was freed.

By default glibc gives the memory of a request's body back to the kernel at once and asks for it anew for the next one,
and every page of it is then found missing, zeroed and mapped again. For bodies of some megabytes that takes longer
than reading them.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Larger pieces of memory still go back at once.
REUSED_BYTES = 16 * 2**20
#: At most this much that is free is kept.
KEPT_BYTES = 32 * 2**20


def keep_freed() -> None:
    """Let this process use freed memory again, up to ``KEPT_BYTES``; does nothing where malloc cannot be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # macOS, musl
        return
    mallopt(_MMAP_THRESHOLD, REUSED_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
