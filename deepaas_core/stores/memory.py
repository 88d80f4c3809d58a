"""Records in memory: for tests, and for servers that are to leave nothing behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType

from deepaas_core.domain.access import ALL_NAMES, Names, Records, Rule, Token
from deepaas_core.domain.deployment import Deployment, Generation, Rollout, RolloutState
from deepaas_core.domain.service import Query
from deepaas_core.domain.training import Choice, Run, RunState
from deepaas_core.errors import (
    Conflict,
    GenerationInUse,
    GenerationNotFound,
    RolloutNotFound,
    RunNotFound,
    ServiceNotFound,
    TokenNotFound,
    VersionTaken,
)
from deepaas_core.stores.base import LONG_RESULT_CHARS, Peer


class MemoryRunStore:
    """Keeps training runs as long as the process lives."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._choices: dict[str, Choice] = {}
        self._peers: dict[str, tuple[str, datetime]] = {}

    async def add(self, run: Run) -> None:
        if run.id in self._runs:
            raise Conflict(f"There is a training run {run.id} already.")
        self._runs[run.id] = run

    async def get(self, run_id: str) -> Run:
        try:
            return self._runs[run_id]
        except KeyError:
            raise RunNotFound(run_id) from None

    async def list(
        self,
        *,
        model: str | None = None,
        states: Collection[RunState] = (),
        limit: int | None = None,
        before: str | None = None,
        ids: Collection[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        models: Names = ALL_NAMES,
    ) -> Sequence[Run]:
        known = list(self._runs)
        if before is not None:
            known = known[: known.index(before)] if before in self._runs else []
        found = (
            run
            for run in map(self._runs.__getitem__, reversed(known))
            if (model is None or run.model == model)
            and (not states or run.state in states)
            and (ids is None or run.id in ids)
            and (since is None or run.created_at >= since)
            and (until is None or run.created_at < until)
            and run.model in models
        )
        return [_in_a_list(run) for run in islice(found, limit)]

    async def queue(
        self, limit: int, home: str = "", models: Mapping[str, str] = MappingProxyType({})
    ) -> Sequence[Run]:
        taken: Counter[str] = Counter()
        found = []
        for run in self._runs.values():
            anywhere = run.place.anywhere and models.get(run.model) == run.version
            if run.state is RunState.QUEUED and (run.place.home == home or anywhere) and taken[run.model] < limit:
                taken[run.model] += 1
                found.append(run)
        return found

    async def positions(self) -> Mapping[str, int]:
        queued = (run.id for run in self._runs.values() if run.state is RunState.QUEUED)
        return {run_id: place for place, run_id in enumerate(queued, 1)}

    async def count(self) -> Mapping[RunState, int]:
        return Counter(run.state for run in self._runs.values())

    async def replace(self, old: Run, new: Run, *, unseen_since: datetime | None = None) -> bool:
        now = self._runs.get(old.id)
        if now is None or (now.state, now.process, now.place.server) != (old.state, old.process, old.place.server):
            return False
        if unseen_since is not None and self._peers.get(old.place.server, ("", None))[1] != unseen_since:
            return False
        self._runs[old.id] = new
        return True

    async def remove(self, run_id: str) -> bool:
        run = self._runs.get(run_id)
        if run is None or not run.state.over:
            return False
        del self._runs[run_id]
        return True

    async def choose(self, model: str, choice: Choice) -> None:
        self._choices[model] = choice

    async def chosen(self, model: str) -> Choice | None:
        return self._choices.get(model)

    async def greet(self, server: str, address: str) -> None:
        self._peers[server] = address, datetime.now(UTC)

    async def peers(self) -> Mapping[str, Peer]:
        return {server: Peer(address, seen_at) for server, (address, seen_at) in self._peers.items()}


def _in_a_list(run: Run) -> Run:
    if run.error is not None:
        run = replace(run, error=replace(run.error, traceback=""))
    if run.result is not None and len(json.dumps(run.result)) > LONG_RESULT_CHARS:
        run = replace(run, result=None)
    return run


class MemoryTokenStore:
    """Keeps tokens and the rules of names as long as the process lives."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._rules: dict[str, Rule] = {}
        self._revision = 0

    async def add(self, token: Token) -> None:
        if token.id in self._tokens:
            raise Conflict(f"There is a token {token.id} already.")
        self._tokens[token.id] = token
        self._revision += 1

    async def revoke(self, token_id: str, at: datetime) -> Token:
        token = self._tokens.get(token_id)
        if token is None:
            raise TokenNotFound(token_id)
        self._revision += 1
        self._tokens[token_id] = replace(token, revoked_at=token.revoked_at or at)
        return self._tokens[token_id]

    async def set_rule(self, name: str, rule: Rule | None) -> None:
        self._revision += 1
        if rule is None:
            self._rules.pop(name, None)
        else:
            self._rules[name] = rule

    async def revision(self) -> int:
        return self._revision

    async def records(self) -> Records:
        rules = {name: self._rules[name] for name in sorted(self._rules)}
        return Records(self._revision, tuple(self._tokens.values()), rules)


class MemoryServiceStore:
    """Keeps services as long as the process lives."""

    def __init__(self) -> None:
        self._generations: dict[tuple[str, str], Generation] = {}
        self._deleted: set[tuple[str, str]] = set()
        self._deployments: dict[str, Deployment] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._queries: dict[str, Sequence[Query]] = {}
        self._revision = 0

    async def add_generation(self, generation: Generation) -> Generation:
        service, key = generation.service, (generation.service, generation.version)
        if key in self._generations or key in self._deleted:
            raise VersionTaken(*key)
        number = len(await self.versions(service)) + 1
        numbered = self._generations[key] = replace(generation, number=number)
        self._deployments.setdefault(service, Deployment(service))
        self._revision += 1
        return numbered

    async def generations(self, service: str | None = None) -> Sequence[Generation]:
        return [each for each in self._generations.values() if service in (None, each.service)]

    async def versions(self, service: str) -> frozenset[str]:
        return frozenset(version for name, version in (*self._generations, *self._deleted) if name == service)

    async def remove_generation(self, service: str, version: str) -> None:
        if (service, version) not in self._generations:
            raise GenerationNotFound(service, version)
        if version in self._deployments[service].live:
            raise GenerationInUse(service, version, "it is live.")
        for rollout in self._rollouts.values():
            if rollout.service == service and not rollout.state.over and version in rollout.shares:
                raise GenerationInUse(service, version, f"rollout {rollout.id} is about to make it live.")
        del self._generations[service, version]
        self._deleted.add((service, version))
        self._revision += 1

    async def remove_service(self, service: str) -> None:
        deployment = self._deployment(service)
        if deployment.live and deployment.enabled:
            raise Conflict(f"Service {service!r} answers; disable it first.")
        del self._deployments[service]
        self._queries.pop(service, None)
        self._generations = {key: each for key, each in self._generations.items() if key[0] != service}
        self._deleted = {key for key in self._deleted if key[0] != service}
        self._rollouts = {name: each for name, each in self._rollouts.items() if each.service != service}
        self._revision += 1

    async def deployments(self) -> Mapping[str, Deployment]:
        return {name: self._deployments[name] for name in sorted(self._deployments)}

    async def set_enabled(self, service: str, enabled: bool, at: datetime) -> Deployment:
        deployment = self._deployment(service)
        if deployment.enabled != enabled:
            revision = deployment.revision + 1
            deployment = replace(deployment, enabled=enabled, changed_at=at, revision=revision)
            self._deployments[service] = deployment
        self._revision += 1
        return deployment

    async def add_rollout(self, rollout: Rollout) -> None:
        for version in rollout.shares:
            if (rollout.service, version) not in self._generations:
                raise GenerationNotFound(rollout.service, version)
        self._rollouts[rollout.id] = rollout
        self._revision += 1

    async def advance(self, old: Rollout, new: Rollout) -> bool:
        if self._rollouts[old.id].state is not old.state:
            return False
        self._rollouts[old.id] = new
        return True

    async def go_live(self, rollout: Rollout, at: datetime) -> Rollout | None:
        now, deployment = self._rollouts.get(rollout.id), self._deployments.get(rollout.service)
        if now is None or deployment is None or now.state.over or deployment.shares != rollout.before:
            return None
        revision = deployment.revision + 1
        self._deployments[rollout.service] = replace(
            deployment, shares=rollout.shares, changed_at=at, revision=revision
        )
        live = replace(rollout, state=RolloutState.LIVE, finished_at=at, revision=revision)
        self._rollouts[rollout.id] = live
        self._revision += 1
        return live

    async def rollout(self, service: str, rollout_id: str) -> Rollout:
        rollout = self._rollouts.get(rollout_id)
        if rollout is None or rollout.service != service:
            raise RolloutNotFound(service, rollout_id)
        return rollout

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]:
        return [each for each in reversed(self._rollouts.values()) if each.service == service][:limit]

    async def open_rollouts(self) -> Sequence[Rollout]:
        return [each for each in self._rollouts.values() if not each.state.over]

    async def queries(self, service: str) -> Sequence[Query]:
        self._deployment(service)
        return self._queries.get(service, ())

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None:
        self._deployment(service)
        self._queries[service] = tuple(queries)
        self._revision += 1

    async def revision(self) -> int:
        return self._revision

    def _deployment(self, service: str) -> Deployment:
        try:
            return self._deployments[service]
        except KeyError:
            raise ServiceNotFound(service) from None
