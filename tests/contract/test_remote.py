"""An executor beyond a link keeps the contract; what the link itself promises is tested beside it."""

import asyncio
import socket

import pytest

from deepaas_core import errors
from deepaas_core.executors.base import Call
from deepaas_core.executors.link import Link, LinkClosed, Reply, error_from, error_to_plain
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import Launch
from deepaas_core.executors.remote import CALL, Remote, answer_call, state_of
from deepaas_core.executors.streaming import MAX_WAITING, Pieces
from deepaas_core.testing.executors import TARGET, ExecutorContract, answer, told, up


class Beyond(Remote):
    """A pool beyond a link, in one object: what is done to one is done to the other."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        self.pool = Pool(Launch(model="told", target=TARGET), Limits(workers=1, max_queue=100), self._changed)
        self.there = Link(theirs, {CALL: lambda value, body: answer_call(self.pool, value, body)}, {})
        self.here = Link(ours, {}, {"state": self.told})
        super().__init__("told", self.here)

    def start(self):
        self.pool.start()

    def _changed(self):
        self.there.tell("state", state_of(self.pool, with_description=True))

    async def close(self, drain_s):
        await super().close(drain_s)
        await self.pool.close(drain_s)
        self.there.close()
        self.here.close()


class TestRemote(ExecutorContract):
    @pytest.fixture
    async def executor(self):
        return Beyond()


@pytest.fixture
async def beyond():
    executor = await up(Beyond())
    yield executor
    await executor.close(drain_s=1.0)


async def test_a_caller_that_leaves_takes_the_call_back(beyond):
    slow = asyncio.ensure_future(beyond.call(told({"do": "sleep", "seconds": 0.5})))
    await until(lambda: beyond.pool._ready[0].pending)
    gone = [asyncio.ensure_future(beyond.call(told({"do": "os._exit"}))) for _ in range(3)]
    await until(lambda: beyond.pool.activity().waiting == 3)
    for task in gone:
        task.cancel()
    await until(lambda: beyond.pool.activity().waiting == 0)
    await slow
    assert answer(await beyond.call(told("unharmed"))) == "unharmed"


async def until(condition, within_s=20):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelNotReady("m", "still loading", 7),
        errors.Overloaded("m", 100),
        errors.ModelTimeout("m", 0.5),
        errors.ModelFailure("m", "ValueError", "too blue", "Traceback …"),
        errors.ModelCrashed("m", "signal SIGSEGV"),
        errors.UnencodableResult("m", "predictions[3].mask: complex"),
        errors.InvalidInput([errors.Issue("/x", "Not a number."), errors.Issue("", "Too much.")]),
        errors.CapabilityMissing("m", "predict(**kwargs)", raised=True),
        errors.MalformedBody("not JSON"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was(error):
    arrived = error_from(error_to_plain(error))
    assert (type(arrived), vars(arrived), str(arrived)) == (type(error), vars(error), str(error))


@pytest.fixture
async def ends():
    """``ends(answers)`` gives a link to ask over, and the one that answers."""
    made = []

    def make(**answers):
        ours, theirs = socket.socketpair()
        made.extend((Link(ours, {}, {}), Link(theirs, answers, {})))
        return made[-2:]

    yield make
    for link in made:
        link.close()


async def test_bytes_of_any_length_arrive_whole(ends):
    async def double(value, body):
        return Reply([value, value], bytes(body) * 2)

    link, _ = ends(double=double)
    replies = await asyncio.gather(*(link.ask("double", size, b"x" * size) for size in (0, 1, 70_000, 9_000_000)))
    assert [(reply.value[0], len(reply.body)) for reply in replies] == [
        (size, 2 * size) for size in (0, 1, 70_000, 9_000_000)
    ]


async def test_questions_fail_when_the_other_end_goes(ends):
    async def never(value, body):
        await asyncio.Event().wait()

    link, other = ends(never=never)
    asked = asyncio.create_task(link.ask("never"))
    await asyncio.sleep(0)
    other.close()
    with pytest.raises(LinkClosed):
        await asked
    with pytest.raises(LinkClosed):
        await link.ask("never")


async def test_what_is_unforeseen_is_told_without_its_text(ends, caplog):
    async def broken(value, body):
        raise ValueError("secret")

    link, _ = ends(broken=broken)
    with pytest.raises(errors.DeepaasError) as caught:
        await link.ask("broken")
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


class Giver:
    """Gives pieces as fast as it may."""

    def __init__(self, number, error=None):
        self.given, self.left, self.held = 0, False, False
        self.pieces = Pieces(self._hold, self._leave)
        self._number, self._error = number, error

    def _hold(self, held):
        self.held = held

    def _leave(self):
        self.left = True

    async def run(self):
        while self.given < self._number and not self.left:
            if self.held:
                await asyncio.sleep(0.001)
                continue
            self.given += 1
            self.pieces.push(b"%d" % self.given)
        self.pieces.finish(self._error)

    async def answer(self, value, body):
        self.running = asyncio.create_task(self.run())
        return Reply(None, b"", self.pieces)


async def test_an_answer_comes_piece_by_piece_at_the_pace_of_whoever_takes_it(ends):
    giver = Giver(2000)
    link, _ = ends(count=giver.answer)
    pieces = (await link.ask("count")).pieces
    await until(lambda: giver.held)
    assert giver.given <= 4 * MAX_WAITING
    assert [int(piece) async for piece in pieces] == list(range(1, 2001))


async def test_whoever_leaves_in_the_middle_stops_the_giver(ends):
    giver = Giver(10**9)
    link, _ = ends(count=giver.answer)
    pieces = (await link.ask("count")).pieces
    async for piece in pieces:
        if int(piece) == 10:
            break
    pieces.close()
    await until(lambda: giver.left)


async def test_an_error_in_the_middle_comes_after_the_pieces_before_it(ends):
    giver = Giver(3, errors.ModelFailure("m", "ValueError"))
    link, _ = ends(count=giver.answer)
    pieces, seen = (await link.ask("count")).pieces, []
    with pytest.raises(errors.ModelFailure):
        async for piece in pieces:
            seen.append(piece)
    assert seen == [b"1", b"2", b"3"]


def test_a_call_is_made_again_from_its_header():
    call = told({"x": 1}, timeout_s=3.0)
    call.accept, call.stream, call.values = "application/x-npy", True, {"k": 1}
    assert Call.from_header(call.header(), call.body, 3.0) == call
