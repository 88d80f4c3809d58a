"""What the real DEEPaaS answered to thousands of requests, and what is answered here."""

from tests.web.deepaas_requests import MODELS, answer_of, key, recorded, requests

#: All of them are sent by ``python -m benchmarks.deepaas``.
EVERY = 4


async def test_every_kind_of_argument_is_read_and_refused_as_by_deepaas(serve):
    client, known = await serve(**MODELS), recorded()
    compared = [one for one in requests() if not (one.mended or one.by_version)][::EVERY]
    answers = [await answer_of(await client.post(one.path, **one.options())) for one in compared]
    differing = [
        (one, known[key(one)], answer)
        for one, answer in zip(compared, answers, strict=True)
        if answer != known[key(one)]
    ]
    assert differing == []
    assert len(compared) > 1000
