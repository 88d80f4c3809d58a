"""The deployer of a process that only speaks HTTP: everything is asked of the main process, over a link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepaas_core.domain.deployment import Deployment, Generation, Rollout
from deepaas_core.domain.rehearsal import Outcome
from deepaas_core.domain.service import Query
from deepaas_core.executors.link import Link, Reply
from deepaas_core.serving.deployer import Deployments
from deepaas_core.serving.publisher import Difference, Wish

#: What is asked over the link.
DEPLOYER = "deployer"


class RemoteDeployer:
    """Services beyond a link. Implements ``deployer.Deployments``."""

    def __init__(self, link: Link):
        self._link = link

    async def publish(self, archive: Path, service: str, wish: Wish) -> Generation:
        return Generation.from_plain(await self._ask("publish", str(archive), service, asdict(wish)))

    async def deploy(self, service: str, shares: Mapping[str, float]) -> Rollout:
        return Rollout.from_plain(await self._ask("deploy", service, dict(shares)))

    async def rollback(self, service: str) -> Rollout:
        return Rollout.from_plain(await self._ask("rollback", service))

    async def set_enabled(self, service: str, enabled: bool) -> Deployment:
        return Deployment.from_plain(await self._ask("set_enabled", service, enabled))

    async def remove_generation(self, service: str, version: str) -> None:
        await self._ask("remove_generation", service, version)

    async def remove_service(self, service: str) -> None:
        await self._ask("remove_service", service)

    async def rollout(self, service: str, rollout: str) -> Rollout:
        return Rollout.from_plain(await self._ask("rollout", service, rollout))

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]:
        return [Rollout.from_plain(plain) for plain in await self._ask("rollouts", service, limit)]

    async def rehearse(
        self, service: str, version: str | None = None, queries: Sequence[Query] | None = None
    ) -> tuple[str, Sequence[Outcome]]:
        asked = None if queries is None else [asdict(query) for query in queries]
        told, outcomes = await self._ask("rehearse", service, version, asked)
        return told, [Outcome(**outcome) for outcome in outcomes]

    async def queries(self, service: str) -> Sequence[Query]:
        return [Query(**plain) for plain in await self._ask("queries", service)]

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None:
        await self._ask("set_queries", service, [asdict(query) for query in queries])

    async def diff(self, service: str, version: str, other: str) -> Difference:
        plain = await self._ask("diff", service, version, other)
        paths = {name: tuple(plain[name]) for name in ("added", "removed", "changed")}
        return Difference(**paths, definition=plain["definition"])

    async def archive(self, service: str, version: str) -> Path:
        return Path(await self._ask("archive", service, version))

    async def build(self, service: str, version: str) -> None:
        await self._ask("build", service, version)

    async def build_log(self, service: str, version: str) -> str:
        return str(await self._ask("build_log", service, version))

    async def _ask(self, name: str, *arguments: Any) -> Any:
        return (await self._link.ask(DEPLOYER, [name, *arguments])).value


async def answer_deployment(deployer: Deployments, asked: Sequence[Any]) -> Reply:
    """Do what was asked over a link."""
    name, *arguments = asked
    match name:
        case "publish":
            archive, service, wish = arguments
            return Reply((await deployer.publish(Path(archive), service, Wish(**wish))).to_plain())
        case "deploy":
            return Reply((await deployer.deploy(*arguments)).to_plain())
        case "rollback":
            return Reply((await deployer.rollback(*arguments)).to_plain())
        case "set_enabled":
            return Reply((await deployer.set_enabled(*arguments)).to_plain())
        case "remove_generation":
            await deployer.remove_generation(*arguments)
            return Reply()
        case "remove_service":
            await deployer.remove_service(*arguments)
            return Reply()
        case "rollout":
            return Reply((await deployer.rollout(*arguments)).to_plain())
        case "rollouts":
            return Reply([rollout.to_plain() for rollout in await deployer.rollouts(*arguments)])
        case "rehearse":
            service, version, queries = arguments
            asked_for = None if queries is None else [Query(**query) for query in queries]
            told, outcomes = await deployer.rehearse(service, version, asked_for)
            return Reply([told, [asdict(outcome) for outcome in outcomes]])
        case "queries":
            return Reply([asdict(query) for query in await deployer.queries(*arguments)])
        case "set_queries":
            service, queries = arguments
            await deployer.set_queries(service, [Query(**query) for query in queries])
            return Reply()
        case "diff":
            return Reply(asdict(await deployer.diff(*arguments)))
        case "archive":
            return Reply(str(await deployer.archive(*arguments)))
        case "build":
            await deployer.build(*arguments)
            return Reply()
        case "build_log":
            return Reply(await deployer.build_log(*arguments))
        case _:
            raise ValueError(name)
