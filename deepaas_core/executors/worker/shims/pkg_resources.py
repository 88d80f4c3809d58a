"""What models use of ``pkg_resources``, which newer versions of setuptools no longer have.

Nearly every model of DEEPaaS reads its own metadata with it, as its template did.
"""

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Optional


class ResolutionError(Exception):
    """A distribution is not there."""


class DistributionNotFound(ResolutionError):
    """A distribution is not installed."""


class VersionConflict(ResolutionError):
    """Never raised here."""


class RequirementParseError(ValueError):
    """Never raised here."""


class Distribution:
    """An installed distribution."""

    def __init__(self, found: importlib.metadata.Distribution):
        self._found = found
        self.project_name = str(found.metadata["Name"])
        self.key = self.project_name.lower()
        self.version = found.version
        self.location = str(found.locate_file(""))

    def get_metadata(self, name: str) -> str:
        """The text of a metadata file; ``PKG-INFO`` is what it has become."""
        text = self._found.read_text(name)
        if text is None and name in ("PKG-INFO", "METADATA"):
            text = str(self._found.metadata)
        if text is None:
            raise FileNotFoundError(f"{self.project_name} has no {name}.")
        return text

    def get_metadata_lines(self, name: str) -> Iterator[str]:
        """Its lines, without empty ones and comments."""
        lines = (line.strip() for line in self.get_metadata(name).splitlines())
        return (line for line in lines if line and not line.startswith("#"))

    def has_metadata(self, name: str) -> bool:
        """Whether it has such a file."""
        return name in ("PKG-INFO", "METADATA") or self._found.read_text(name) is not None

    def __str__(self) -> str:
        return f"{self.project_name} {self.version}"


def get_distribution(name: Any) -> Distribution:
    """The distribution of this name; a requirement's version and extras are not looked at.

    Raises:
        DistributionNotFound: There is none.
    """
    bare = re.split(r"[^\w.-]", str(name).strip(), maxsplit=1)[0]
    try:
        return Distribution(importlib.metadata.distribution(bare))
    except importlib.metadata.PackageNotFoundError:
        raise DistributionNotFound(f"The {str(name)!r} distribution was not found.") from None


def find_distributions(path_item: str, only: bool = False) -> Iterator[Distribution]:
    """Those whose metadata lies in a folder."""
    return map(Distribution, importlib.metadata.distributions(path=[str(path_item)]))


def parse_version(text: Any) -> Any:
    """Something that orders versions."""
    try:
        from packaging import version  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return tuple(map(int, re.findall(r"\d+", str(text))))
    return version.parse(str(text))


def resource_filename(package: Any, name: str) -> str:
    """The path of a file that lies in a package."""
    spec = importlib.util.find_spec(str(package))
    origin: Optional[str] = spec.origin if spec else None
    if origin is None:
        raise ModuleNotFoundError(f"No module named {str(package)!r}")
    return os.path.join(os.path.dirname(origin), *name.split("/"))


def resource_exists(package: Any, name: str) -> bool:
    """Whether a package has such a file."""
    return os.path.exists(resource_filename(package, name))


def resource_stream(package: Any, name: str) -> BinaryIO:
    """A file of a package, open for reading."""
    return open(resource_filename(package, name), "rb")


def resource_string(package: Any, name: str) -> bytes:
    """What a file of a package holds."""
    with resource_stream(package, name) as file:
        return file.read()


def require(*requirements: Any) -> list[Distribution]:
    """The distributions that are asked for."""
    return [get_distribution(one) for one in requirements]
