"""A model as the server knows it: what its plugin offers, settled once at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deepaas_core.domain.arguments import Argument, Arguments

#: The group of sources that are parts of a published service, not models of their own.
SERVICE_GROUP = "service"


class Capability(StrEnum):
    """A function that a plugin may offer; its value is the function's name."""

    METADATA = "get_metadata"
    TRAIN_ARGS = "get_train_args"
    PREDICT_ARGS = "get_predict_args"
    TRAIN = "train"
    PREDICT = "predict"
    PREDICT_DATA = "predict_data"
    PREDICT_FILE = "predict_file"
    PREDICT_URL = "predict_url"
    PREDICT_BATCH = "predict_batch"
    WARM = "warm"
    SIGNATURE = "get_signature"

    @property
    def function(self) -> str:
        """The function as its author would write it, e.g. ``predict_file(path, **kwargs)``."""
        return _FUNCTIONS[self]


_FUNCTIONS = {
    Capability.METADATA: "get_metadata()",
    Capability.TRAIN_ARGS: "get_train_args()",
    Capability.PREDICT_ARGS: "get_predict_args()",
    Capability.TRAIN: "train(**kwargs)",
    Capability.PREDICT: "predict(**kwargs)",
    Capability.PREDICT_DATA: "predict_data(data, **kwargs)",
    Capability.PREDICT_FILE: "predict_file(path, **kwargs)",
    Capability.PREDICT_URL: "predict_url(url, **kwargs)",
    Capability.PREDICT_BATCH: "predict_batch(rows, **kwargs)",
    Capability.WARM: "warm()",
    Capability.SIGNATURE: "get_signature()",
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment or conda prefix: an interpreter and the libraries that it sees.

    Attributes:
        name: What people are told; it says nothing of where it lies.
        prefix: Its folder.
        interpreter: Its Python, the path by which it is to be started.
        python: The version of that, as the environment's files have it, e.g. ``3.9.18`` or ``3.9``.
        conda: Whether conda made it.
    """

    name: str
    prefix: str
    interpreter: str
    python: str
    conda: bool = False


@dataclass(frozen=True)
class Source:
    """Where a model comes from: an entry point of an installed distribution, or a function of a service's script.

    Attributes:
        name: The entry point's name, which is the model's.
        group: ``deepaas.model`` or ``deepaas.v2.model``; ``SERVICE_GROUP`` for a part of a service.
        target: What it points at, ``package.module`` or ``package.module:object``; of a script, its absolute path and
            the function, ``/folder/score.py:predict`` or ``/folder/score.R:predict``.
        distribution: Name of the distribution, and what its metadata say of it.
        environment: Where it is installed; None for the server's own environment.
        settings: Settings of the group ``workers`` that hold for it alone.
        endpoint: What its worker is to know of the endpoint it answers, as plain data: ``inputs`` and ``outputs``,
            each a list of ``domain.service.Feature`` as dicts; ``r_library``, a folder of packages for a script in R.
            Empty for a model.
    """

    name: str
    group: str
    target: str
    distribution: str
    version: str
    summary: str = ""
    author: str = ""
    license: str = ""
    homepage: str = ""
    environment: Environment | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    endpoint: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Source:
        """The source that ``dataclasses.asdict`` was given."""
        environment = plain.get("environment")
        return cls(**{**plain, "environment": environment and Environment(**environment)})


@dataclass(frozen=True)
class Problem:
    """A declared model that cannot be offered.

    Attributes:
        name: The name it was declared under.
        distribution: The package, or packages, that declare it.
        reason: What is wrong, for the operator.
    """

    name: str
    distribution: str
    reason: str


_NONE = Arguments()


@dataclass(frozen=True)
class Model:
    """The typed view of a plugin.

    Attributes:
        capabilities: The functions the plugin has.
        arguments: For each capability that takes arguments, which ones.
        metadata: What ``get_metadata`` returned, or the distribution's own metadata.
        signature: What ``get_signature`` returned; None without one.
        response: Members of the declared response ``schema``; None without one.
        warnings: What the author should look at, found while inspecting the plugin.
        python: Version of the interpreter that runs it; empty if that is not known.
    """

    source: Source
    capabilities: frozenset[Capability]
    arguments: Mapping[Capability, Arguments] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    signature: Mapping[str, Any] | None = None
    response: tuple[Argument, ...] | None = None
    warnings: tuple[str, ...] = ()
    python: str = ""

    def arguments_of(self, capability: Capability) -> Arguments:
        """The arguments of a function; none if nothing is known of them."""
        return self.arguments.get(capability, _NONE)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def version(self) -> str:
        """The version the model states in its metadata, else its distribution's."""
        return str(self.metadata.get("version") or self.source.version)
