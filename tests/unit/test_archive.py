"""Archives of generations: the same content has the same name, and nothing gets out of the folder it belongs in."""

import gzip
import io
import os
import random
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from deepaas_core.errors import ArchiveRefused
from deepaas_core.publishing import archive
from deepaas_core.publishing.archive import MANIFEST, Archives, look, pack, unpack

LIMIT = 2**30


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "service"
    (made / "data").mkdir(parents=True)
    (made / "score.py").write_text("def predict(): return 1\n")
    (made / "data" / "ü.csv").write_text("a,b\n1,2\n")
    return made


def test_the_same_content_has_the_same_archive(folder, tmp_path):
    one = pack(folder, tmp_path / "one.zip")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    (folder / "score.py").chmod(0o777)
    two = pack(folder, tmp_path / "two.zip")
    assert one == two == look(folder)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_other_content_has_another_name(folder, tmp_path):
    before = look(folder).digest
    (folder / "score.py").write_text("def predict(): return 2\n")
    assert look(folder).digest != before
    (folder / "score.py").write_text("def predict(): return 1\n")
    assert look(folder).digest == before
    (folder / "score.py").rename(folder / "other.py")
    assert look(folder).digest != before


def test_what_was_packed_comes_out_again(folder, tmp_path):
    packed = pack(folder, tmp_path / "a.zip")
    assert unpack(tmp_path / "a.zip", tmp_path / "out", LIMIT) == packed
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "data/ü.csv",
        "score.py",
    ]
    assert stat.S_IMODE((tmp_path / "out" / "score.py").stat().st_mode) == 0o400


def test_the_manifest_is_one_that_sha256sum_reads(folder, tmp_path):
    pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        opened.extractall(tmp_path / "plain")
    subprocess.run(["sha256sum", "--strict", "-c", MANIFEST], cwd=tmp_path / "plain", check=True, capture_output=True)


def test_a_tar_file_has_the_name_of_its_content(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as made:
        made.add(folder, ".")
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "out", LIMIT) == look(folder)


def test_what_does_not_belong_to_a_service_stays_outside(folder):
    before = look(folder)
    for name in (".git/config", "__pycache__/x.pyc", ".venv/bin/python", "data/.ipynb_checkpoints/a", MANIFEST):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "my-environment").mkdir()
    (folder / "my-environment" / "pyvenv.cfg").write_text("")
    assert look(folder) == before


def test_a_service_says_what_else_stays_outside(folder):
    (folder / ".deepaasignore").write_text("# notes\n*.log\ndata/raw/\n")
    before = look(folder)
    (folder / "a.log").write_text("")
    (folder / "data" / "b.log").write_text("")
    (folder / "data" / "raw").mkdir()
    (folder / "data" / "raw" / "c").write_text("")
    assert look(folder) == before
    (folder / "raw").write_text("")
    assert look(folder) != before


def test_a_link_to_a_folder_is_refused_and_one_to_a_file_is_the_file(folder, tmp_path):
    (tmp_path / "model.bin").write_text("weights")
    (folder / "model.bin").symlink_to(tmp_path / "model.bin")
    assert "model.bin" in look(folder).files
    (folder / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(ArchiveRefused, match="link to a folder"):
        look(folder)


def zipped(tmp_path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for entry, content in entries:
            made.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def tarred(tmp_path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        for entry, content in entries:
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def refused(evil: Path, tmp_path: Path, text: str, limit: int = LIMIT) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveRefused, match=text):
        unpack(evil, tmp_path / "out", limit)
    assert sorted(tmp_path.rglob("*")) == before


BAD_NAMES = [
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "a\\..\\b",
    "a/./b",
    "..",
    "a\nb",
    "x" * 300,
    "\x7f",
    "a/" * 600,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    refused(zipped(tmp_path, (zipfile.ZipInfo(name), b"x")), tmp_path, "cannot be the name|twice")
    (tmp_path / "evil.zip").unlink()
    refused(tarred(tmp_path, (tar_entry(name), b"x")), tmp_path, "cannot be the name")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    refused(tarred(tmp_path, (tar_entry("a", kind, "/etc/passwd"), b"")), tmp_path, "link or a device")


def test_a_link_in_a_zip_file_is_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    refused(zipped(tmp_path, (entry, b"/etc/passwd")), tmp_path, "link or a device")


def test_a_name_that_comes_twice_is_refused(tmp_path):
    refused(tarred(tmp_path, (tar_entry("a"), b"1"), (tar_entry("a"), b"2")), tmp_path, "twice")
    (tmp_path / "evil.tar.gz").unlink()
    refused(tarred(tmp_path, (tar_entry("a"), b"1"), (tar_entry("a/b"), b"2")), tmp_path, "both as a file and")


def test_a_bomb_is_refused_before_it_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED_BYTES", 2**20)
    refused(zipped(tmp_path, ("zeros", bytes(8 * 2**20))), tmp_path, "bytes come out")
    (tmp_path / "evil.zip").unlink()
    refused(tarred(tmp_path, (tar_entry("zeros"), bytes(8 * 2**20))), tmp_path, "bytes come out")


def test_what_is_larger_than_allowed_is_refused(tmp_path):
    noise = random.Random(1).randbytes(100_000)
    refused(zipped(tmp_path, ("noise", noise)), tmp_path, "bytes come out", limit=50_000)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 10)
    refused(zipped(tmp_path, *((str(n), b"") for n in range(11))), tmp_path, "more than 10")
    (tmp_path / "evil.zip").unlink()
    refused(tarred(tmp_path, *((tar_entry(str(n)), b"") for n in range(11))), tmp_path, "more than 10")


def test_a_head_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "evil.tar.gz"
    head = tar_entry("a", tarfile.XHDTYPE)
    head.size = 2**33
    with gzip.open(path, "wb") as file:
        file.write(head.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(2**16))
    refused(path, tmp_path, "too large")


def test_a_list_of_entries_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_MAX_DIRECTORY_BYTES", 100)
    refused(zipped(tmp_path, *((str(n), b"") for n in range(5))), tmp_path, "too large")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08\x00junk", b"hello", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "evil").write_bytes(content)
    if content == b"PK\x05\x06" + bytes(18):  # an empty zip file, which is one
        assert unpack(tmp_path / "evil", tmp_path / "out", LIMIT).files == {}
    else:
        refused(tmp_path / "evil", tmp_path, "damaged|neither")


def test_whatever_is_damaged_is_refused_and_leaves_nothing(folder, tmp_path):
    pack(folder, tmp_path / "a.zip")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as made:
        made.add(folder, ".")
    chance = random.Random(7)
    for name in ("a.zip", "a.tar.gz"):
        sound = (tmp_path / name).read_bytes()
        for _ in range(60):
            broken = bytearray(sound)
            for _ in range(chance.randint(1, 8)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            (tmp_path / "broken").write_bytes(broken[: chance.randint(1, len(broken))])
            try:
                unpack(tmp_path / "broken", tmp_path / "out", LIMIT)
            except ArchiveRefused:
                assert not (tmp_path / "out").exists()
            else:
                archive.remove_folder(tmp_path / "out")


@pytest.fixture
def archives(tmp_path):
    made = Archives(tmp_path / "kept", tmp_path / "unpacked")
    made.make_folders()
    return made


def test_a_generation_is_kept_and_taken_out(archives, folder):
    frozen = archives.keep(folder)
    assert archives.keep(folder) == frozen
    assert archives.files(frozen.digest) == frozen.files
    assert (archives.folder(frozen.digest) / "score.py").read_bytes() == (folder / "score.py").read_bytes()
    assert archives.folder(frozen.digest) == archives.folder(frozen.digest)
    assert list(archives.digests(2**40)) == [frozen.digest]
    archives.remove(frozen.digest)
    assert not list(archives.digests(2**40))


def test_an_archive_that_was_changed_is_not_taken_out(archives, folder):
    digest = archives.keep(folder).digest
    (folder / "score.py").write_text("import evil")
    pack(folder, archives.path(digest).with_suffix(".new"))
    archives.path(digest).with_suffix(".new").replace(archives.path(digest))
    with pytest.raises(ArchiveRefused, match="damaged"):
        archives.folder(digest)
