"""Whoever is still watched when its time is up is named, once, and in time."""

import asyncio

import pytest

from deepaas_core.executors.deadlines import Deadlines


@pytest.fixture
def expired() -> list[str]:
    return []


@pytest.fixture
async def deadlines(expired):
    return Deadlines(expired.append)


async def test_all_are_named_in_the_order_of_their_deadlines_whatever_the_order_they_came_in(deadlines, expired):
    for name, within_s in {"b": 0.04, "d": 0.08, "c": 0.06, "a": 0.0}.items():
        deadlines.watch(name, within_s)
    async with asyncio.timeout(5):
        while len(expired) < 4:
            await asyncio.sleep(0.005)
    assert expired == ["a", "b", "c", "d"]


async def test_who_is_forgotten_is_not_named(deadlines, expired):
    for name, within_s in {"first": 0.02, "last": 0.06, "between": 0.04}.items():
        deadlines.watch(name, within_s)
    for name in ("first", "between", "stranger"):
        deadlines.forget(name)
    async with asyncio.timeout(5):
        while not expired:
            await asyncio.sleep(0.005)
    assert expired == ["last"]


async def test_one_may_be_watched_again_once_it_was_named_or_forgotten(deadlines, expired):
    deadlines.watch("one", 0.0)
    deadlines.forget("one")
    deadlines.watch("one", 0.01)
    for times in (1, 2):
        async with asyncio.timeout(5):
            while len(expired) < times:
                await asyncio.sleep(0.005)
        deadlines.watch("one", 0.0)
    deadlines.forget("one")
    assert expired == ["one"] * 2
