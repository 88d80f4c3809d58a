"""The follower of pages itself, without a server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.walkthrough import Command, File, Reader, matches, steps

PAGE = """
```python title="greet/hello.py"
print("hello", 1.5)
```

Not followed:

```sh
exit 1
```

```console
$ cd greet
$ NAME=Ada; python3 hello.py
hello ...
$ echo "$NAME" \\
    again
Ada again
```
"""


def test_a_page_is_read_into_files_and_commands():
    assert list(steps(PAGE)) == [
        File("greet/hello.py", 'print("hello", 1.5)\n'),
        Command(13, "cd greet", ""),
        Command(14, "NAME=Ada; python3 hello.py", "hello ..."),
        Command(16, 'echo "$NAME" \\\n    again', "Ada again"),
    ]


def test_a_page_is_followed_in_one_shell(tmp_path: Path):
    with Reader(tmp_path, os.environ) as reader:
        reader.follow(PAGE)
    assert (tmp_path / "greet" / "hello.py").exists()


def test_another_output_than_promised_is_a_disappointment_that_names_the_line(tmp_path: Path):
    with Reader(tmp_path, os.environ) as reader, pytest.raises(AssertionError, match=r"line 3: \$ echo two"):
        reader.follow("\n```console\n$ echo two\nthree\n```\n")


@pytest.mark.parametrize(
    "promised, seen, same",
    [
        ('{"a":1,...}', '{"a":1,"b":2}\n', True),
        ("a  b\nc", "a b c", True),
        ("...x...", "has x inside", True),
        ("x", "has x inside", False),
        ("...x...", "nothing", False),
    ],
)
def test_three_dots_stand_for_anything(promised: str, seen: str, same: bool):
    assert matches(promised, seen) is same
