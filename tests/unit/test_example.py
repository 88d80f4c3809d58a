"""An example of a request is one that would be taken."""

from hypothesis import given, settings
from hypothesis import strategies as st

from deepaas_core.domain.enrichment import Enrichment, Reaction
from deepaas_core.domain.example import MAX_CHARS, example_of, sent_to, value_of
from deepaas_core.domain.features import Checker
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Query, Service

bounds = st.lists(st.integers(-1000, 1000), min_size=2, max_size=2).map(sorted)
numbers = st.sampled_from([FeatureType.NUMBER, FeatureType.INTEGER])
features = st.one_of(
    st.builds(lambda type, ends: Feature("x", type, minimum=ends[0], maximum=ends[1]), numbers, bounds),
    st.builds(lambda type, end: Feature("x", type, minimum=end), numbers, st.integers(-9, 999)),
    st.builds(lambda type, end: Feature("x", type, maximum=end), numbers, st.integers(-999, 9)),
    st.builds(
        lambda shape: Feature("x", FeatureType.ARRAY, tuple(shape)),
        st.lists(st.none() | st.integers(1, 3), min_size=1, max_size=3),
    ),
    st.builds(lambda classes: Feature("x", FeatureType.CATEGORICAL, classes=classes), st.just(("a", 1, True))),
    st.sampled_from([Feature("x", type) for type in (FeatureType.TEXT, FeatureType.BOOLEAN, FeatureType.NUMBER)]),
    st.sampled_from([Feature("x", FeatureType.IMAGE, shape) for shape in ((8, 8, 3), (None, None, 1), (4, 4, 4))]),
)


@settings(max_examples=60)
@given(features)
def test_a_made_up_value_is_one_that_the_feature_takes(feature):
    assert Checker([feature]).check([{"x": value_of(feature)}]).issues == {}


X = Feature("x")


def of(*queries, inputs=(X,), kind=EndpointKind.PREDICTION, **more):
    endpoint = Endpoint("e", kind, inputs=inputs)
    return example_of(Service("s", endpoints={"e": endpoint}, queries=queries), endpoint, **more)


def test_it_is_that_of_a_test_query_if_there_is_one():
    queries = Query("other", rows=[{"y": 1}]), Query("e", rows=[{"x": n} for n in range(9)], arguments={"model": "a"})
    assert of(*queries) == {"rows": [{"x": 0}, {"x": 1}], "model": "a"}
    assert of(Query("e", arguments={"x": 3}), kind=EndpointKind.FUNCTION, inputs=()) == {"x": 3}


def test_it_is_made_up_otherwise():
    assert of() == {"rows": [{"x": 1}]}
    assert of(inputs=(Feature("x"), Feature("y", required=False))) == {"rows": [{"x": 1}]}
    assert of(inputs=(), arguments={"a": 1}) == {"rows": [{"a": 1}]}
    assert of(inputs=(), kind=EndpointKind.FUNCTION, arguments={"a": 1}) == {"a": 1}


def test_what_is_fetched_is_not_sent_but_the_key_by_which_it_is():
    first = Enrichment("cards", {"card": "id"}, {"score": "fico", "holder": "holder"})
    then = Enrichment("people", {"holder": "id"}, {"age": "age"}, on_missing_key=Reaction.IGNORE)
    endpoint = Endpoint(
        "e", EndpointKind.PREDICTION, inputs=(X, Feature("score"), Feature("age")), enrichments=(first, then)
    )
    assert [feature.name for feature in sent_to(endpoint)] == ["card", "x"]
    assert example_of(Service("s"), endpoint) == {"rows": [{"card": "text", "x": 1}]}
    lookup = Endpoint("e", EndpointKind.LOOKUP, enrichments=(then,))
    assert [(feature.name, feature.required) for feature in sent_to(lookup)] == [("holder", False)]


def test_one_that_is_too_long_to_be_read_is_none():
    assert of(Query("e", rows=[{"x": "a" * MAX_CHARS}])) == {"rows": [{"x": 1}]}
    assert of(inputs=(Feature("x", FeatureType.ARRAY, (224, 224, 3)),)) is None
