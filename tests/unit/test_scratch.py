"""Uploads get names of our own."""

import pytest

from deepaas_core.web.scratch import Folder, shown_name


@pytest.mark.parametrize(
    "filename, suffix",
    [
        ("a.png", ".png"),
        ("../../x.JPG", ".JPG"),
        ("brain.nii.gz", ".nii.gz"),
        ("a.b/../c", ""),
        ("no extension", ""),
        ("x.p\x00ng", ""),
        ("x." + "e" * 50, ""),
    ],
)
def test_only_a_harmless_extension_of_the_clients_name_is_used(tmp_path, filename, suffix):
    with Folder(tmp_path) as own:
        path = own.new_file(filename)
        assert path.parent.parent == tmp_path
        assert path.name == f"upload-0{suffix}"


def test_the_folder_is_gone_when_the_request_ends_in_an_error(tmp_path):
    with pytest.raises(RuntimeError), Folder(tmp_path) as own:
        own.new_file("a.png").write_bytes(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_request_without_files_makes_no_Folder(tmp_path):
    with Folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_model_sees_the_clients_name_without_folders_and_control_characters():
    assert shown_name("C:\\temp\\..\\a\x07b.png") == "ab.png"
    assert shown_name("../../etc/passwd") == "passwd"
    assert len(shown_name("x" * 1000)) == 255
