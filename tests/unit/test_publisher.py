"""Publishing as a use case: what is kept, and what is tidied up."""

import os
from dataclasses import replace

import pytest

from deepaas_core.errors import ArchiveRefused, DefinitionRefused
from deepaas_core.publishing import definition
from deepaas_core.publishing.archive import Archives
from deepaas_core.serving.publisher import Publisher, Wish
from deepaas_core.stores.memory import MemoryServiceStore
from tests.services import DEFINITION, answering, packed


class NoIndexes:
    """There is no data in these generations."""

    async def ensure(self, generation):
        pass

    async def check_files(self, generation):
        pass


@pytest.fixture
def store():
    return MemoryServiceStore()


@pytest.fixture
def publisher(tmp_path, store):
    archives = Archives(tmp_path / "kept", tmp_path / "unpacked")
    archives.make_folders()
    return Publisher(store, archives, definition.read, tmp_path / "scratch", 2**30, NoIndexes())


async def published(publisher, tmp_path, archive):
    (tmp_path / "archive").write_bytes(archive)
    return await publisher.publish(tmp_path / "archive", "churn", Wish())


async def test_archives_that_no_record_names_go_and_the_others_stay(publisher, store, tmp_path):
    kept, other = [await published(publisher, tmp_path, answering(n)) for n in (1, 2)]
    store._generations.pop(("churn", other.version))  # a crash came between the archive and its record
    await publisher.tidy()
    assert publisher.archive(other).exists()  # it may be about to be recorded
    for archive in (tmp_path / "kept").iterdir():
        os.utime(archive, (1, 1))
    await publisher.tidy()
    assert [path.stem for path in (tmp_path / "kept").iterdir()] == [kept.digest]


@pytest.mark.parametrize("archive", [b"nonsense", packed(definition="name = 3")])
async def test_what_is_refused_leaves_nothing(publisher, store, tmp_path, archive):
    with pytest.raises((ArchiveRefused, DefinitionRefused)):
        await published(publisher, tmp_path, archive)
    assert not list((tmp_path / "kept").iterdir())
    assert not list((tmp_path / "scratch").iterdir())
    assert await store.versions("churn") == frozenset()


async def test_a_service_is_called_as_it_is_published(publisher, tmp_path):
    generation = await published(publisher, tmp_path, packed(definition=DEFINITION.replace('"churn"', '"other"')))
    assert generation.definition.name == "churn"
    assert replace(generation.definition, name="other").endpoints.keys() == {"score"}
