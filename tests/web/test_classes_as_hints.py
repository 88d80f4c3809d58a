"""Classes with members as type hints: the function gets an object, and the caller is told which member is wrong."""

from __future__ import annotations

from typing import Any

import pytest_asyncio

from tests.services import make_live, packed

SERVICE = "/api/v1/services/shop"
DEFINITION = """
name = "shop"

[endpoints.order]
kind = "function"
script = "score.py:order"

[endpoints.paid]
kind = "function"
script = "score.py:paid"

[endpoints.exact]
kind = "function"
script = "score.py:exact"

[endpoints.tree]
kind = "function"
script = "score.py:depth"

[endpoints.each]
kind = "prediction"
script = "score.py:each"
inputs = { city = "text", zip = "text" }
outputs = { label = "text" }

[endpoints.all]
kind = "prediction"
script = "score.py:all_at_once"
inputs = { amount = "number", currency = "text" }
outputs = { total = "number" }
"""
CODE = """
    import dataclasses
    import datetime
    from typing import Annotated, Literal, NamedTuple, Optional, TypedDict

    import pydantic
    import pydantic.v1


    class Address(NamedTuple):
        city: str
        zip: str = "00000"


    class Note(TypedDict, total=False):
        text: str
        at: datetime.date


    @dataclasses.dataclass
    class Customer:
        '''Who orders.

        Attributes:
            name: As on the card.
        '''

        name: str
        address: Address
        since: Optional[datetime.date] = None
        kind: Literal["person", "company"] = "person"
        notes: list[Note] = dataclasses.field(default_factory=list)

        def __post_init__(self):
            if not self.name:
                raise ValueError("The name must not be empty.")


    def order(customer: Customer, amount: Annotated[int, pydantic.Field(ge=1)] = 1):
        assert isinstance(customer, Customer) and isinstance(customer.address, Address), type(customer)
        year = customer.since.year if customer.since else None
        return {"customer": customer, "year": year, "days": [note["at"].day for note in customer.notes], "n": amount}


    class Payment(pydantic.BaseModel):
        amount: float = pydantic.Field(gt=0, description="What is to be paid.")
        currency: str = pydantic.Field("EUR", min_length=3, max_length=3, alias="in")
        on: datetime.date | None = None

        @pydantic.field_validator("currency")
        @classmethod
        def known(cls, value):
            if value not in ("EUR", "USD"):
                raise ValueError("is not taken here")
            return value


    class Old(pydantic.v1.BaseModel):
        amount: float
        parts: list[int] = []


    def paid(payments: list[Payment], old: Optional[Old] = None):
        assert all(isinstance(payment, Payment) for payment in payments)
        assert old is None or isinstance(old, Old), type(old)
        return {"total": sum(one.amount for one in payments), "first": payments[0], "old": old and old.amount}


    class Exact(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True, extra="forbid")
        on: datetime.date
        size: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("Size", "size"))

    class Words(pydantic.RootModel[list[str]]):
        pass

    class Word(pydantic.RootModel[str]):
        pass

    @pydantic.dataclasses.dataclass
    class Small:
        size: int = pydantic.Field(1, alias="Size", ge=1)

    def exact(exact: Exact, words: Words, word: Word = Word("x"), small: Small = Small(Size=1)):
        return exact.on.year, exact.size, len(words.root), word.root, small.size


    @dataclasses.dataclass
    class Tree:
        name: str
        children: "list[Tree]" = dataclasses.field(default_factory=list)

        def depth(self):
            return 1 + max((child.depth() for child in self.children), default=0)


    def depth(tree: Tree):
        return tree.depth()


    def each(place: Address):
        return f"{place.zip} {place.city}"


    class Sum(pydantic.BaseModel):
        amount: float = pydantic.Field(ge=0)
        currency: str


    def all_at_once(sums: list[Sum]):
        assert all(isinstance(one, Sum) for one in sums)
        return [one.amount * len(sums) for one in sums]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(serve_all):
    """A server on which the functions are live."""
    client = await serve_all()
    await make_live(client, SERVICE, packed(CODE, DEFINITION))
    return client


async def answer(client, endpoint: str, body: Any, status: int = 200) -> Any:
    response = await client.post(f"{SERVICE}/endpoints/{endpoint}", json=body)
    document = await response.json()
    assert response.status == status, document
    return document


async def told(client, endpoint: str, body: Any) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in (await answer(client, endpoint, body, 422))["errors"]}


async def test_a_function_gets_objects_of_the_classes_it_names(client):
    customer = {"name": "Ada", "address": {"city": "Turin"}, "since": "2024-05-01", "notes": [{"at": "2026-01-31"}]}
    result = (await answer(client, "order", {"customer": customer}))["result"]
    assert result["customer"]["address"] == {"city": "Turin", "zip": "00000"}
    assert (result["year"], result["days"], result["n"], result["customer"]["kind"]) == (2024, [31], 1, "person")


async def test_what_is_wrong_inside_an_object_is_told_with_its_place(client):
    customer = {"name": 5, "address": {"town": "Turin"}, "kind": "robot", "notes": [{}, {"at": "yesterday"}]}
    assert await told(client, "order", {"customer": customer}) == {
        "/customer/name": "Must be a string.",
        "/customer/address/city": "This argument is required.",
        "/customer/address/town": "Unknown argument.",
        "/customer/kind": "Must be one of: person, company.",
        "/customer/notes/1/at": "Must be a date such as 2024-12-31.",
    }
    assert await told(client, "order", {"customer": []}) == {"/customer": "Must be an object."}


async def test_a_class_may_refuse_what_it_is_made_of(client):
    customer = {"name": "", "address": {"city": "Turin"}}
    assert await told(client, "order", {"customer": customer}) == {"/customer": "The name must not be empty."}


async def test_pydantic_checks_its_own_classes_and_says_what_it_says(client):
    payments = [{"amount": "1.5", "in": "USD", "on": "2026-05-01", "more": 1}, {"amount": 2}]
    result = (await answer(client, "paid", {"payments": payments, "old": {"amount": 3, "parts": ["1"]}}))["result"]
    assert (result["total"], result["old"]) == (3.5, 3.0)
    wrong = {"payments": [{"amount": 1}, {"amount": 0, "in": "GBP"}, 5], "old": {"parts": [1, "x"]}}
    errors = await told(client, "paid", wrong)
    assert errors.keys() == {"/payments/1/amount", "/payments/1/in", "/payments/2", "/old/amount", "/old/parts/1"}
    assert errors["/payments/1/amount"] == "Input should be greater than 0"
    assert "is not taken here" in errors["/payments/1/in"]


async def test_pydantic_takes_what_json_says_even_where_it_is_strict(client):
    sent = {"exact": {"on": "2024-05-01", "Size": 3}, "words": ["a", "b"], "word": "5", "small": {"Size": 4}}
    result = (await answer(client, "exact", sent))["result"]
    assert result == [2024, 3, 2, "5", 4]
    wrong = {"exact": {"on": "May", "Size": "3", "more": 1}, "words": [1], "small": {"Size": 0}}
    places = {"/exact/on", "/exact/Size", "/exact/more", "/words/0", "/small/Size"}
    assert (await told(client, "exact", wrong)).keys() == places
    assert (await told(client, "exact", {"exact": None, "words": []})).keys() == {"/exact"}


async def test_a_class_may_hold_itself(client):
    tree = {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}, {"name": "d"}]}
    assert (await answer(client, "tree", {"tree": tree}))["result"] == 3
    tree["children"][0]["children"][0]["children"] = [{"nam": "e"}]
    inside = "/tree/children/0/children/0/children/0"
    wrong = {f"{inside}/nam": "Unknown argument.", f"{inside}/name": "This argument is required."}
    assert await told(client, "tree", {"tree": tree}) == wrong


async def test_a_record_becomes_the_object_that_the_function_wants(client):
    rows = [{"city": "Turin", "zip": "10121"}, {"city": "Rome", "zip": "00118"}]
    body = await answer(client, "each/predict", {"rows": rows})
    assert [row["label"] for row in body["rows"]] == ["10121 Turin", "00118 Rome"]
    assert await told(client, "order", [{"name": "Ada", "address": {}}]) == {
        "/0/address/city": "This argument is required."
    }


async def test_of_records_that_become_objects_only_the_unfit_ones_fail(client):
    rows = [{"amount": 1.0, "currency": "EUR"}, {"amount": -1.0, "currency": "EUR"}, {"amount": 2.0, "currency": "USD"}]
    body = await answer(client, "all/predict", {"rows": rows, "errors": "rows"})
    assert [row.get("total") for row in body["rows"]] == [2.0, None, 4.0]
    assert body["rows"][1]["error"]["errors"][0]["pointer"] == "/amount"


async def test_the_page_of_the_service_shows_the_members(client):
    page = await (await client.get("/services/shop", headers={"Accept": "text/html"})).text()
    for name in ("customer.name", "customer.address.zip", "customer.notes[].at", "payments[].in", "tree.children"):
        assert f"<code>{name}</code>" in page, name
    assert "As on the card." in page


async def test_the_openapi_document_shows_the_members(client):
    document = await (await client.get("/openapi.json")).json()

    def schema(endpoint: str) -> Any:
        body = document["paths"][f"{SERVICE}/endpoints/{endpoint}"]["post"]["requestBody"]["content"]
        found = body["application/json"]["schema"]
        return next(one for one in found.get("oneOf", [found]) if "properties" in one)["properties"]

    customer = schema("order")["customer"]
    assert customer["required"] == ["name", "address"]
    assert customer["properties"]["name"] == {"type": "string", "description": "As on the card."}
    assert customer["properties"]["address"]["properties"]["zip"]["default"] == "00000"
    payment = schema("paid")["payments"]["items"]
    assert payment["properties"]["amount"]["description"] == "What is to be paid."
    assert payment["properties"]["amount"]["exclusiveMinimum"] is True
    assert payment["properties"]["in"]["maxLength"] == 3
    assert schema("tree")["tree"]["properties"]["children"]["items"]["type"] == "object"


async def test_a_training_run_is_not_begun_with_what_does_not_fit(serve):
    model = """
        import dataclasses

        @dataclasses.dataclass
        class Plan:
            epochs: int = 1

        def train(plan: Plan):
            return plan.epochs
    """
    client = await serve(planned=model)
    refused = await client.post("/api/v1/models/planned/train", json={"plan": {"epochs": "many"}})
    assert (refused.status, (await refused.json())["errors"][0]["pointer"]) == (422, "/plan/epochs")
    assert (await client.post("/api/v1/models/planned/train", json={"plan": {"epochs": 2}})).status == 202
