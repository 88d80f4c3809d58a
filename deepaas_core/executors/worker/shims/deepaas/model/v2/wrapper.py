"""Uploaded files, as models of the second generation get them."""

from typing import NamedTuple, Optional


class UploadedFile(NamedTuple):
    """An uploaded file.

    Attributes:
        name: The form field it came in.
        filename: Where it lies.
        content_type: Its media type, as the client said.
        original_filename: What the client calls it.
    """

    name: Optional[str] = None
    filename: Optional[str] = None
    content_type: Optional[str] = None
    original_filename: Optional[str] = None
