"""Recent inputs out of the prediction log are compared with a file of training data as the model sees both."""

import json
from datetime import UTC, datetime

import pytest

from deepaas_core.domain.automation import DriftCheck
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.prediction_log import REDACTED, LogEntry, new_id
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Service
from deepaas_core.serving.likeness import CheckFailed, compare
from deepaas_core.stores.memory_predictions import MemoryPredictionStore

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
INPUTS = (
    Feature("amount", minimum=0),
    Feature("branch", FeatureType.TEXT),
    Feature("abroad", FeatureType.BOOLEAN, required=False, default=False),
    Feature("score"),
)
SCORE = Endpoint("score", EndpointKind.PREDICTION, inputs=INPUTS)
SERVICE = Service("fraud", endpoints={"score": SCORE})
TRAINED_ON = [(number % 100, f"{number % 3:03}", number % 10 == 0) for number in range(1000)]


@pytest.fixture
def asked(tmp_path):
    """Ask for rows in the past, and compare them with the training data."""
    generation = Generation("fraud", "v1", "d" * 64, SERVICE, NOW)
    lines = [f"{amount},{branch},{abroad},5" for amount, branch, abroad in TRAINED_ON]
    (tmp_path / "known.csv").write_text("\n".join(["credit,branch,abroad,score", *lines]))

    async def comparison(rows, status=200, **check):
        store = MemoryPredictionStore()
        await store.add(
            [
                LogEntry(new_id(NOW), NOW, "r", "fraud", "score", "v1", row=at, status=status, inputs=json.dumps(row))
                for at, row in enumerate(rows)
            ]
        )
        return await compare(DriftCheck("known.csv", "score", **check), generation, tmp_path, store)

    return comparison


def rows(scale=1):
    return [
        {"card": f"C{at}", "amount": amount * scale, "branch": branch, "score": 5}
        | ({"abroad": True} if abroad else {})
        for at, (amount, branch, abroad) in enumerate(TRAINED_ON[:300])
    ]


async def test_inputs_like_the_training_data_are_alike_whatever_way_they_are_written(asked):
    """``007`` stays text, ``True`` of a file is ``true`` of JSON, and what callers leave out is its default."""
    assert await asked(rows()) == "300 recent inputs look like known.csv"


async def test_a_feature_can_be_called_otherwise_in_the_file(asked):
    assert "look like" in await asked(rows(), features={"amount": "credit"})
    with pytest.raises(
        CheckFailed, match=r"^300 recent inputs have drifted from known\.csv: amount \(\d\.\d\d\); 0\.2 "
    ):
        await asked(rows(scale=3), features={"amount": "credit"})


async def test_requests_that_were_refused_say_nothing(asked):
    assert "only 0 recent inputs" in await asked(rows(scale=-1), status=422, features={"amount": "credit"})


async def test_what_cannot_be_compared_is_told(asked):
    with pytest.raises(CheckFailed, match="no column for amount"):
        await asked(rows(), features={"amount": "amount"})
    with pytest.raises(CheckFailed, match="keeps no value of it"):
        await asked([row | {"branch": REDACTED} for row in rows()])
