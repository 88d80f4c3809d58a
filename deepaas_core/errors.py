"""The error tree: what can go wrong, said in the words of the domain.

An error knows what happened, never which HTTP status that is; ``web/problems.py`` holds the one table that
turns a class into a status. The first line of a class's docstring is its public title.

    DeepaasError
    ├── InvalidRequest            the caller sent something that cannot be used
    │   ├── MalformedBody
    │   ├── InvalidInput          arguments that do not fit, one issue per field
    │   │   └── DefinitionRefused a folder whose service.toml, or what it names, cannot be used
    │   ├── PayloadTooLarge
    │   ├── UnsupportedMedia
    │   ├── NotAcceptable
    │   ├── AddressRefused        a URL that the guard does not let through
    │   ├── ArchiveRefused        a published archive that is none, or is not safe to unpack
    │   ├── DatasetUnusable       a published file of data that cannot be read
    │   ├── RequestTimeout        a body that does not arrive
    │   └── CrossOrigin           a foreign page made a browser send it
    ├── NotFound
    │   ├── ModelNotFound
    │   ├── RunNotFound
    │   ├── TokenNotFound
    │   ├── ServiceNotFound
    │   ├── GenerationNotFound
    │   ├── EndpointNotFound
    │   ├── RolloutNotFound
    │   ├── InfrastructureNotFound
    │   ├── EnvironmentNotFound
    │   ├── AutomationNotFound
    │   └── ExecutionNotFound
    ├── Unauthenticated           no token where one is needed, or none that is good
    ├── Forbidden                 a good token whose scope does not reach this far
    ├── TooManyRequests           more than a limit allows
    ├── Conflict
    │   ├── RunAlreadyOver
    │   ├── RunElsewhere          its folder is another server's
    │   ├── SeveralMatches        a key that must belong to one row belongs to more
    │   ├── QueryConflict         a change that breaks a rule of a database's tables
    │   ├── VersionTaken          a generation of this version is there already, and is never changed
    │   └── GenerationInUse       it is live, or about to be
    ├── Unavailable               try again later
    │   ├── ModelNotReady
    │   ├── Overloaded
    │   ├── NothingDeployed       a service without a live generation
    │   ├── ServiceDisabled
    │   ├── ConnectionUnavailable a database that services refer to
    │   └── StoreUnavailable
    ├── QueryTimeout              a database that does not answer in time
    ├── QueryFailed               a query of a service's author that the database refuses
    ├── CapabilityMissing         the model package offers no such function
    ├── ModelRefusal              the model itself refuses, by an HTTP exception of its author's choice
    ├── ModelTimeout
    ├── ModelFailure              the model's own fault
    │   ├── ModelCrashed          its process died
    │   └── UnencodableResult     it returned what cannot become JSON
    ├── SourceUnavailable         the remote end of a ``predict/url``
    ├── InfrastructureFailed      another server that a generation was to be copied to
    ├── GenerationFailed          what a generation needs could not be built or started
    ├── PluginError               a model package that cannot be offered, told at start-up
    ├── StoreUnusable             records that this server must not touch, told at start-up
    │   └── StoreDamaged
    ├── EnvironmentFailed         an environment that could not be made, told on the command line
    └── SettingsError             a setting that cannot be used, told at start-up
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class DeepaasError(Exception):
    """Something went wrong.

    Attributes:
        issues: What of a request is to blame, where that is known.
    """

    issues: tuple[Issue, ...] = ()

    @classmethod
    def title(cls) -> str:
        """The class's public title: the first line of its docstring, without the full stop."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


class InvalidRequest(DeepaasError):
    """The request cannot be used as it was sent."""


class MalformedBody(InvalidRequest):
    """The body of the request cannot be read."""


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong with one input.

    Attributes:
        pointer: JSON pointer to the input, e.g. ``/epochs`` or ``/layers/2``; the empty string is the whole.
        detail: What was expected, as a sentence.
    """

    pointer: str
    detail: str


class InvalidInput(InvalidRequest):
    """One or more inputs are not what the model declares."""

    def __init__(self, issues: Sequence[Issue]):
        super().__init__(tuple(issues))
        self.issues = tuple(issues)

    def __str__(self) -> str:
        return "; ".join(f"{issue.pointer or '(whole input)'}: {issue.detail}" for issue in self.issues)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a service's folder.

    Attributes:
        file: Below the folder.
        line: From 1; 0 is the file as a whole.
        member: What is wrong in it, as TOML would name it, e.g. ``endpoints.risk.inputs.age``.
        detail: What was expected, as a sentence.
    """

    file: str
    line: int
    member: str
    detail: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.member}: {self.detail}" if self.member else f"{place}: {self.detail}"


class DefinitionRefused(InvalidInput):
    """The description of the service cannot be used."""

    def __init__(self, faults: Sequence[Fault]):
        super().__init__([Issue("", str(fault)) for fault in faults])
        self.args = (tuple(faults),)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


class PayloadTooLarge(InvalidRequest):
    """The body of the request is larger than this server takes."""

    def __init__(self, limit_bytes: int):
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"A request may carry at most {self.limit_bytes} bytes."


class UnsupportedMedia(InvalidRequest):
    """The body of the request has a media type that this route does not read."""


class NotAcceptable(InvalidRequest):
    """The result cannot be given in any media type that the request accepts."""


class AddressRefused(InvalidRequest):
    """The URL leads to an address that this server does not fetch from."""


class ArchiveRefused(InvalidRequest):
    """The archive cannot be published."""


class RequestTimeout(InvalidRequest):
    """The body of the request did not arrive in time."""


class CrossOrigin(InvalidRequest):
    """A page of another origin may not change anything here."""


class NotFound(DeepaasError):
    """There is no such thing."""


class ModelNotFound(NotFound):
    """There is no model of this name."""

    def __init__(self, model: str):
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        return f"No model is named {self.model!r}."


class RunNotFound(NotFound):
    """There is no training run of this id."""

    def __init__(self, run: str):
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"No training run has the id {self.run!r}."


class TokenNotFound(NotFound):
    """There is no token of this id."""

    def __init__(self, token: str):
        super().__init__(token)
        self.token = token

    def __str__(self) -> str:
        return f"No token has the id {self.token!r}."


class ServiceNotFound(NotFound):
    """There is no service of this name."""

    def __init__(self, service: str):
        super().__init__(service)
        self.service = service

    def __str__(self) -> str:
        return f"No service is named {self.service!r}."


class GenerationNotFound(NotFound):
    """The service has no such generation."""

    def __init__(self, service: str, version: str):
        super().__init__(service, version)
        self.service, self.version = service, version

    def __str__(self) -> str:
        return f"Service {self.service!r} has no generation {self.version!r}."


class SampleNotFound(NotFound):
    """There is no sample code for this."""

    def __init__(self, name: str, asked: str):
        super().__init__(name, asked)
        self.name, self.asked = name, asked

    def __str__(self) -> str:
        if not self.asked:
            return f"{self.name!r} has nothing that could be asked with a short JSON object."
        return f"{self.asked!r} of {self.name!r} cannot be asked with a short JSON object."


class EndpointNotFound(NotFound):
    """The generation has no such endpoint."""

    def __init__(self, service: str, version: str, endpoint: str):
        super().__init__(service, version, endpoint)
        self.service, self.version, self.endpoint = service, version, endpoint

    def __str__(self) -> str:
        return f"Generation {self.version!r} of service {self.service!r} has no endpoint {self.endpoint!r}."


class RolloutNotFound(NotFound):
    """The service has no such rollout."""

    def __init__(self, service: str, rollout: str):
        super().__init__(service, rollout)
        self.service, self.rollout = service, rollout

    def __str__(self) -> str:
        return f"Service {self.service!r} has no rollout {self.rollout!r}."


class InfrastructureNotFound(NotFound):
    """There is no infrastructure of this name."""

    def __init__(self, infrastructure: str):
        super().__init__(infrastructure)
        self.infrastructure = infrastructure

    def __str__(self) -> str:
        return f"No infrastructure is named {self.infrastructure!r}; the server's settings name those that there are."


class EnvironmentNotFound(NotFound):
    """There is no environment of this name."""

    def __init__(self, environment: str):
        super().__init__(environment)
        self.environment = environment

    def __str__(self) -> str:
        return f"No environment is named {self.environment!r}."


class DatasetUnusable(InvalidRequest):
    """A dataset of the service cannot be used."""

    def __init__(self, dataset: str, reason: str):
        super().__init__(dataset, reason)
        self.dataset, self.reason = dataset, reason

    def __str__(self) -> str:
        return f"Dataset {self.dataset!r}: {self.reason}"


class Unauthenticated(DeepaasError):
    """A token is needed for this."""


class Forbidden(DeepaasError):
    """The token does not allow this."""


class TooManyRequests(DeepaasError):
    """There were more requests than are allowed.

    Attributes:
        retry_after_s: Seconds after which a further try makes sense.
    """

    def __init__(self, what: str, retry_after_s: int):
        super().__init__(what, retry_after_s)
        self.what, self.retry_after_s = what, retry_after_s

    def __str__(self) -> str:
        return f"{self.what} Try again in {self.retry_after_s} s."


class AutomationNotFound(NotFound):
    """There is no such automation.

    Attributes:
        service: The service that has none of this name.
        automation: The name that was asked for.
    """

    def __init__(self, service: str, automation: str):
        super().__init__(f"Service {service!r} has no automation {automation!r}.")
        self.service = service
        self.automation = automation


class ExecutionNotFound(NotFound):
    """There is no such execution of an automation.

    Attributes:
        service: Whose automation it should have been.
        execution: The id that was asked for.
    """

    def __init__(self, service: str, execution: str):
        super().__init__(f"Service {service!r} has no execution {execution}.")
        self.service = service
        self.execution = execution


class Conflict(DeepaasError):
    """The thing is in a state that does not allow this."""


class RunAlreadyOver(Conflict):
    """The training run has already ended."""

    def __init__(self, run: str, state: str):
        super().__init__(run, state)
        self.run, self.state = run, state

    def __str__(self) -> str:
        return f"Training run {self.run} has already ended: it {self.state}."


class SeveralMatches(Conflict):
    """More than one row of a dataset has this key."""

    def __init__(self, dataset: str, keys: Sequence[str]):
        super().__init__(dataset, keys)
        self.dataset, self.keys = dataset, tuple(keys)

    def __str__(self) -> str:
        return f"More than one row of dataset {self.dataset!r} has this key ({', '.join(self.keys)})."


class QueryConflict(Conflict):
    """The change breaks a rule of the database's tables.

    Attributes:
        code: The SQLSTATE, if the database gives one.
    """

    def __init__(self, code: str = ""):
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"The change breaks a rule of the database's tables{f' (SQLSTATE {self.code})' if self.code else ''}."


class RunElsewhere(Conflict):
    """The files of the training run are with another server."""

    def __init__(self, run: str, address: str):
        super().__init__(run, address)
        self.run, self.address = run, address

    def __str__(self) -> str:
        where = self.address or "a server that is not known here"
        return f"The files of training run {self.run} are with {where}."


class VersionTaken(Conflict):
    """There is a generation of this version already."""

    def __init__(self, service: str, version: str):
        super().__init__(service, version)
        self.service, self.version = service, version

    def __str__(self) -> str:
        return f"Service {self.service!r} has a generation {self.version!r} already, and that is never changed."


class GenerationInUse(Conflict):
    """The generation is in use."""

    def __init__(self, service: str, version: str, use: str):
        super().__init__(service, version, use)
        self.service, self.version, self.use = service, version, use

    def __str__(self) -> str:
        return f"Generation {self.version!r} of service {self.service!r} cannot be deleted: {self.use}"


class Unavailable(DeepaasError):
    """This cannot be done right now.

    Attributes:
        retry_after_s: Seconds after which a further try makes sense.
    """

    retry_after_s: int = 1


class ModelNotReady(Unavailable):
    """The model cannot answer yet, or could not be started."""

    def __init__(self, model: str, reason: str, retry_after_s: int = 1):
        super().__init__(model, reason, retry_after_s)
        self.model, self.reason, self.retry_after_s = model, reason, retry_after_s

    def __str__(self) -> str:
        return f"Model {self.model!r} cannot answer: {self.reason}"


class Overloaded(Unavailable):
    """More calls are waiting for the model than its queue holds."""

    def __init__(self, model: str, max_queue: int):
        super().__init__(model, max_queue)
        self.model, self.max_queue = model, max_queue

    def __str__(self) -> str:
        return f"{self.max_queue} calls are already waiting for model {self.model!r}."


class NothingDeployed(Unavailable):
    """The service has no live generation."""

    retry_after_s = 60

    def __init__(self, service: str):
        super().__init__(service)
        self.service = service

    def __str__(self) -> str:
        return f"No generation of service {self.service!r} is deployed."


class ServiceDisabled(Unavailable):
    """The service is disabled."""

    retry_after_s = 60

    def __init__(self, service: str):
        super().__init__(service)
        self.service = service

    def __str__(self) -> str:
        return f"Service {self.service!r} is disabled."


class StoreUnavailable(Unavailable):
    """The server's records cannot be read or written right now."""


class ConnectionUnavailable(Unavailable):
    """A database that the service needs cannot be reached right now.

    Attributes:
        connection: What services call it; where it is is for the log.
    """

    def __init__(self, connection: str, reason: str):
        super().__init__(connection, reason)
        self.connection, self.reason = connection, reason

    def __str__(self) -> str:
        return f"Connection {self.connection!r}: {self.reason}"


class QueryTimeout(DeepaasError):
    """The database did not answer in time."""

    def __init__(self, connection: str, timeout_s: float):
        super().__init__(connection, timeout_s)
        self.connection, self.timeout_s = connection, timeout_s

    def __str__(self) -> str:
        return f"The database of connection {self.connection!r} did not answer within {self.timeout_s:g} s."


class QueryFailed(DeepaasError):
    """The service's query cannot be run as its author wrote it."""

    def __init__(self, connection: str, reason: str):
        super().__init__(connection, reason)
        self.connection, self.reason = connection, reason

    def __str__(self) -> str:
        return f"The query on connection {self.connection!r} failed: {self.reason}"


class CapabilityMissing(DeepaasError):
    """The model does not implement this.

    Attributes:
        function: The function the author of the model would have to write, e.g. ``predict_file(path, **kwargs)``.
        raised: The function exists, and raised ``NotImplementedError`` on purpose.
    """

    def __init__(self, model: str, function: str, raised: bool = False):
        super().__init__(model, function, raised)
        self.model, self.function, self.raised = model, function, raised

    def __str__(self) -> str:
        if self.raised:
            return f"Model {self.model!r} does not implement this: {self.function} raised NotImplementedError."
        return f"Model {self.model!r} does not implement this: its author would have to write {self.function}."


class ModelRefusal(DeepaasError):
    """The model refuses the request.

    Attributes:
        code: The status that the author of the model chose, 400 to 599.
        reason: The author's short word for it, one line.
        text: What the author has to say; the reason again if there is no more.
        document: All of it as JSON, from an author who said it so; empty otherwise.
    """

    def __init__(self, model: str, code: int, reason: str, text: str = "", document: str = ""):
        super().__init__(model, code, reason, text, document)
        self.model, self.code, self.reason, self.text = model, code, reason, text or reason
        self.document = document

    def __str__(self) -> str:
        return self.text


class ModelTimeout(DeepaasError):
    """The model did not answer in time."""

    def __init__(self, model: str, timeout_s: float):
        super().__init__(model, timeout_s)
        self.model, self.timeout_s = model, timeout_s

    def __str__(self) -> str:
        return f"Model {self.model!r} did not answer within {self.timeout_s:g} s."


class ModelFailure(DeepaasError):
    """The model failed.

    Attributes:
        kind: The type of the model's exception, e.g. ``ValueError``.
        message: Its text: for the log and the record, shown to clients only where the operator allows it.
        traceback: The model's own frames, for the log and the record.
    """

    def __init__(self, model: str, kind: str, message: str = "", traceback: str = ""):
        super().__init__(model, kind, message, traceback)
        self.model, self.kind, self.message, self.traceback = model, kind, message, traceback

    def __str__(self) -> str:
        return f"Model {self.model!r} raised {self.kind}."


class ModelCrashed(ModelFailure):
    """The model's process died while it worked on this request."""

    def __init__(self, model: str, reason: str):
        super().__init__(model, "crash", reason)
        self.reason = reason
        self.args = (model, reason)

    def __str__(self) -> str:
        return f"The process of model {self.model!r} died during this call ({self.reason})."


class UnencodableResult(ModelFailure):
    """The model returned something that cannot be encoded.

    Attributes:
        message: Where in the result, and what it is, e.g. ``predictions[3].mask: complex``.
    """

    def __init__(self, model: str, message: str):
        super().__init__(model, "result", message)
        self.args = (model, message)

    def __str__(self) -> str:
        return f"The result of model {self.model!r} cannot be encoded: {self.message}"


class SourceUnavailable(DeepaasError):
    """The URL could not be fetched."""


class InfrastructureFailed(DeepaasError):
    """The other infrastructure did not do what was asked."""


class GenerationFailed(DeepaasError):
    """The generation cannot be brought up."""


class PluginError(DeepaasError):
    """A model package cannot be offered."""


class StoreUnusable(DeepaasError):
    """The server's records cannot be used as they are."""


class StoreDamaged(StoreUnusable):
    """The server's records are damaged."""


class EnvironmentFailed(DeepaasError):
    """The environment could not be made."""


class SettingsError(DeepaasError):
    """A setting cannot be used."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the known name that comes closest; empty if none does."""
    close = difflib.get_close_matches(name, list(known), n=1) if len(name) <= 100 else ()
    return f" Did you mean {close[0]!r}?" if close else ""
