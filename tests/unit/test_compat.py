"""What older model packages import and write, in interpreters of their own: nothing here may change this one's."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deepaas_core import __version__
from deepaas_core.executors.worker import compat

ROOT = Path(compat.__file__).parents[3]


def run(code: str, *path: Path, bare: bool = False) -> str:
    """What a fresh interpreter prints that has been prepared for a model; a bare one has the standard library only."""
    lines = [
        "import sys",
        f"sys.path[:0] = {[str(ROOT), *map(str, path)]!r}",
        "from deepaas_core.executors.worker import compat",
        "compat.install(); compat.install()",
        textwrap.dedent(code),
    ]
    done = subprocess.run(
        [sys.executable, *(["-S"] if bare else []), "-W", "error", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_models_find_the_parts_of_deepaas_that_they_import():
    code = """
    import deepaas
    from deepaas.model.v2.wrapper import UploadedFile
    from deepaas.model.v2 import wrapper, base
    from deepaas import config, log
    log.getLogger("x"), config.CONF
    print(deepaas.__version__, UploadedFile(), compat.uploaded_file() is UploadedFile is wrapper.UploadedFile)
    """
    assert run(code) == ("2.6.0 UploadedFile(name=None, filename=None, content_type=None, original_filename=None) True")


def test_an_installed_deepaas_goes_first(tmp_path):
    wrapper = tmp_path / "deepaas" / "model" / "v2" / "wrapper.py"
    wrapper.parent.mkdir(parents=True)
    for folder in wrapper.parents[:3]:
        (folder / "__init__.py").touch()
    wrapper.write_text("class UploadedFile: pass\n")
    code = """
    import deepaas.model.v2.wrapper
    print(compat.uploaded_file() is deepaas.model.v2.wrapper.UploadedFile, hasattr(deepaas, "__version__"))
    try:
        import deepaas.model.v2.base
    except ImportError:
        print("no mixture")
    """
    assert run(code, tmp_path) == "True False\nno mixture"


def test_marshmallow_is_only_imported_if_the_model_does():
    assert run("print('marshmallow' in sys.modules, 'deepaas' in sys.modules)") == "False False"


@pytest.mark.parametrize("early", [True, False])
def test_old_spellings_of_fields_are_understood(early):
    code = """
    from webargs import fields
    import marshmallow
    compat.install()
    old = fields.Int(missing=3, default=4, description="d", help="h", metadata={"location": "form"})
    print(old.load_default, old.missing, old.dump_default, sorted(old.metadata.items()))
    print(fields.Field(type="file").metadata, fields.Str(enum=["a"]).metadata["enum"])
    print(fields.Str(missing=None).allow_none)
    small = fields.Int(validate=lambda value: value < 3)
    try:
        print(small.deserialize(2), small.deserialize(5))
    except marshmallow.ValidationError as error:
        print(error.messages)
    """
    before = "import marshmallow.fields\ncompat.install()\n" if early else ""
    assert run(before + textwrap.dedent(code)).splitlines() == [
        "3 3 4 [('description', 'd'), ('help', 'h'), ('location', 'form')]",
        "{'type': 'file'} ['a']",
        "True",
        "['Invalid value.']",
    ]


def test_marshmallow_tells_its_version_to_older_webargs():
    code = """
    import importlib.metadata
    import marshmallow
    print(marshmallow.__version__ == importlib.metadata.version("marshmallow"))
    """
    assert run(code) == "True"


def test_a_file_of_the_oldest_generation_reads_and_saves(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"content")
    with source.open("rb") as stream:
        file = compat.FileStorage(stream, "a.png", "data", "image/png")
        assert (file.filename, file.name, file.content_type) == ("a.png", "data", "image/png")
        assert file.read(3) == b"con"
        file.seek(0)
        file.save(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"


def test_models_find_their_own_metadata_without_pkg_resources(tmp_path):
    installed = tmp_path / "nice_model-1.2.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: nice-model\nVersion: 1.2\nAuthor: Ann\n\nText.\n")
    code = f"""
    import pkg_resources
    found = pkg_resources.get_distribution("nice_model")
    listed = list(pkg_resources.find_distributions({str(tmp_path)!r}, only=True))
    print(found.version, [line for line in found.get_metadata_lines("PKG-INFO") if line.startswith("A")], len(listed))
    try:
        pkg_resources.get_distribution("no-such-model")
    except pkg_resources.DistributionNotFound as error:
        print(error)
    print(pkg_resources.parse_version("0.10.0") >= pkg_resources.parse_version("0.5.0"))
    """
    lines = ["1.2 ['Author: Ann'] 1", "The 'no-such-model' distribution was not found.", "True"]
    assert run(code, tmp_path, bare=True).splitlines() == lines


@pytest.mark.parametrize("bare", [True, False])
def test_a_model_finds_its_own_package_first_among_all_of_a_folder(tmp_path, bare):
    for name in ("another", "nicemodel", "zipp"):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (tmp_path / "nicemodel-1.dist-info" / "top_level.txt").write_text("clever\n")
    reading = (
        "def first(folder):\n    return list(pkg_resources.find_distributions(folder, only=True))[0].project_name\n"
    )
    (tmp_path / "clever.py").write_text("import pkg_resources\n\n" + reading)
    assert run(f"import clever\nprint(clever.first({str(tmp_path)!r}))", tmp_path, bare=bare).strip() == "nicemodel"


def test_what_models_import_of_us_needs_nothing_installed(tmp_path):
    code = """
    sys.path.pop(0)
    sys.path.remove({root!r}) if {root!r} in sys.path else None
    import deepaas_core
    from deepaas_core import InputError, ReturnedFile, run
    from deepaas_core.run import report
    run.report(loss=1.0)
    print(deepaas_core.__version__, "aiohttp" in sys.modules, run.report is report)
    """.format(root=str(ROOT))
    expected = f"{__version__} False True"
    assert run(code, tmp_path, bare=True) == expected


def test_processes_that_the_model_starts_find_the_same(tmp_path):
    module = """
    import multiprocessing
    import deepaas_core
    from deepaas.model.v2.wrapper import UploadedFile

    def tell(file, queue):
        queue.put((file, isinstance(file, UploadedFile)))

    def ask():
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        child = context.Process(target=tell, args=(UploadedFile("x"), queue))
        child.start()
        child.join()
        return queue.get()
    """
    (tmp_path / "parent.py").write_text(textwrap.dedent(module))
    told = run("import parent\nif __name__ == '__main__':\n    print(parent.ask()[0].name, parent.ask()[1])", tmp_path)
    assert told == "x True"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="it has the real one")
def test_versions_compare_where_there_is_no_distutils():
    code = """
    from distutils.util import strtobool
    from distutils.version import LooseVersion, StrictVersion
    print(LooseVersion("1.10.0") > LooseVersion("1.9"), StrictVersion("2.0") < "2.0.1", strtobool("yes"))
    """
    assert run(code, bare=True) == "True True 1"


@pytest.mark.parametrize("reason", ["ValueError('not\\nso')", "'not so'"])
def test_an_http_exception_takes_any_reason(reason):
    code = f"""
    from aiohttp.web import HTTPBadRequest
    print(HTTPBadRequest(reason={reason}).reason)
    """
    assert run(code) == "not so"
