"""A new service: a folder that passes its own test queries, to be changed into what somebody wants."""

from __future__ import annotations

from pathlib import Path
from string import Template

from deepaas_core.domain.service import NAME, NAME_EXPECTED
from deepaas_core.errors import SettingsError

_DEFINITION = Template("""\
#:schema $schema
name = "$name"
title = "$name"
description = "Says what a house may cost."

# A prediction maps rows of inputs to rows of outputs.
[endpoints.price]
kind = "prediction"
script = "score.py:price"

[endpoints.price.inputs]
area = { type = "number", minimum = 1, maximum = 10000, help = "Square metres." }
rooms = { type = "integer", minimum = 1, default = 3 }
condition = { type = "categorical", classes = ["poor", "good"], default = "good" }

[endpoints.price.outputs]
price = { type = "number", help = "Thousands." }

# A function is called with arguments, and answers whatever it returns.
[endpoints.convert]
kind = "function"
script = "score.py:convert"

# Each of these must be answered as it says before a generation goes live.
[[tests]]
endpoint = "price"
name = "a small house and a large one"
rows = [{ area = 80 }, { area = 200, rooms = 7, condition = "poor" }]
expected = [{ price = 190.0 }, { price = 378.0 }]
tolerance = 0.01

[[tests]]
endpoint = "convert"
arguments = { price = 190.0, rate = 2.0 }
expected = { price = 380.0 }
""")

_SCRIPT = '''\
"""What the service runs. All up here runs once in each worker: load a trained model here, not in a function."""

PER_SQUARE_METRE = {"poor": 1.75, "good": 2.0}
PER_ROOM = 4.0


def price(area: float, rooms: int, condition: str) -> dict:
    """One row: its inputs are the arguments, and what is returned has its outputs."""
    return {"price": PER_SQUARE_METRE[condition] * area + PER_ROOM * rooms + (18.0 if condition == "good" else 0.0)}


def convert(price: float, rate: float = 1.0) -> dict:
    """Express a price in another currency."""
    return {"price": price * rate}
'''

_README = Template("""\
# $name

`service.toml` says what this service offers, and how it is tested; `score.py` is what it runs.

    deepaas-core test $folder                   # answers the test queries here, without a server
    deepaas-core deploy $folder                 # publishes it and makes it live on a running server

    curl http://127.0.0.1:5000/api/v1/services/$name/endpoints/price/predict \\
      -d '{"rows": [{"area": 80}, {"area": 200, "rooms": 7, "condition": "poor"}]}'

If the script needs other packages than the server has, name them in `requirements-py.txt`.
""")


def make_service(folder: Path, name: str, server: str) -> list[Path]:
    """Write a service into a new or empty folder; gives the files.

    Args:
        folder: Where.
        name: The service's.
        server: The URL of a server, from which an editor may get the schema of the definition.

    Raises:
        SettingsError: There is something in the folder, the name cannot be used, or it cannot be written.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot be the name of a service ({NAME_EXPECTED}); give one by --name.")
    texts = {
        "service.toml": _DEFINITION.substitute(name=name, schema=f"{server}/api/v1/schemas/service.json"),
        "score.py": _SCRIPT,
        "README.md": _README.substitute(name=name, folder=f"./{folder.name}"),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SettingsError(f"{folder} is not empty.")
        for file, text in texts.items():
            (folder / file).write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror}.") from error
    return [folder / file for file in texts]
