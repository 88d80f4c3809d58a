"""The demo model as a plain package, without any server."""

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

import demo_model
from demo_model import network

SAMPLES = Path(__file__).parent.parent / "samples"
DIGITS = {
    name: digit
    for digit, name in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
}


@pytest.fixture(autouse=True)
def shipped_network():
    network.load()


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_sample_is_recognised(path):
    assert demo_model.predict_file(path)["digit"] == DIGITS[path.stem]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"])
@pytest.mark.parametrize("size", [(20, 20), (700, 300)])
def test_any_size_and_colour_mode_will_do(tmp_path, mode, size):
    with Image.open(SAMPLES / "seven.png") as image:
        side = min(size)
        canvas = Image.new("L", size, 255)
        canvas.paste(image.resize((side, side)), ((size[0] - side) // 2, 0))
        path = tmp_path / "seven.tif"
        canvas.convert(mode).save(path)
    assert demo_model.predict_file(path)["digit"] == 7


def test_an_array_and_a_list_of_arrays_are_recognised():
    assert demo_model.predict_data(network.EXAMPLE)["digit"] == 7
    assert demo_model.predict_data(np.ravel(network.EXAMPLE).tolist())["digit"] == 7
    assert [answer["digit"] for answer in demo_model.predict_data([network.EXAMPLE] * 2, top=1)] == [7, 7]


def test_the_probabilities_are_those_of_the_likeliest_classes_and_sum_to_one():
    answer = demo_model.predict_data(network.EXAMPLE)
    assert next(iter(answer["probabilities"])) == "7"
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert len(demo_model.predict_data(network.EXAMPLE, top=3)["probabilities"]) == 3


def test_an_image_is_recognised_by_its_url():
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(SAMPLES))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        answer = demo_model.predict_url(f"http://127.0.0.1:{server.server_port}/four.png")
        server.shutdown()
    assert answer["digit"] == 4


@pytest.mark.parametrize(
    "data", [[1, 2, 3], [[17] * 8] * 8, "seven", [], None, {"a": 1}, [10**400] * 64, [["x"] * 8] * 8]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ValueError, match="Must"):
        demo_model.predict_data(data)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ValueError, match="image"):
        demo_model.predict_file(tmp_path / "text.png")


def test_an_image_without_a_digit_is_refused(tmp_path):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    with pytest.raises(ValueError, match="alike"):
        demo_model.predict_file(tmp_path / "blank.png")


@pytest.mark.parametrize("ink", ["black", "white"])
def test_ink_of_either_colour_is_seen_on_a_transparent_ground(tmp_path, ink):
    with Image.open(SAMPLES / "four.png") as image:
        drawing = Image.new("RGBA", image.size, ink)
        drawing.putalpha(ImageOps.invert(image.convert("L")))
    drawing.save(tmp_path / "four.png")
    assert demo_model.predict_file(tmp_path / "four.png")["digit"] == 4


@pytest.mark.parametrize("width", [3, 8, 20])
def test_a_six_is_recognised_whatever_the_pen(tmp_path, width):
    six = [(152, 20), (100, 80), (75, 145), (100, 220), (155, 220), (180, 165), (150, 125), (90, 150)]
    image = Image.new("L", (240, 240), 255)
    ImageDraw.Draw(image).line(six, fill=0, width=width, joint="curve")
    image.save(tmp_path / "six.png")
    assert demo_model.predict_file(tmp_path / "six.png")["digit"] == 6


def test_a_url_cannot_name_a_file_of_the_machine():
    with pytest.raises(ValueError, match="http"):
        demo_model.predict_url((SAMPLES / "four.png").as_uri())


def test_training_leaves_a_network_that_predicts(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPAAS_CORE_MODEL_DIR", str(tmp_path))
    trained, accuracy = network.fit(3, 0.03, "tanh", True, None, lambda *_: None)
    trained.save(tmp_path / network.FILE_NAME)
    network.load(tmp_path)
    assert accuracy > 0.9
    assert network.current().activation == "tanh"
    assert demo_model.predict_data(network.EXAMPLE)["digit"] == 7


def test_training_stops_early_when_it_is_asked_to():
    epochs = []
    network.fit(100, 0.01, "relu", True, 0.5, lambda epoch, loss, accuracy: epochs.append(epoch))
    assert len(epochs) < 20
