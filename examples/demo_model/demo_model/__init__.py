"""Handwritten digits as a service: the functions that a deepaas_core server looks for, and nothing else.

All of them are optional, and none needs the server: this is a plain package that you can import and call.
"""

from urllib.request import urlopen

from demo_model import images, network

try:
    from deepaas_core import InputError, run
except ImportError:  # used without the server, as a plain package
    InputError, run = ValueError, None

MAX_DOWNLOAD_BYTES = 10 * 2**20


def get_metadata():
    return {
        "description": "Recognises handwritten digits, 0 to 9.",
        "author": "The deepaas_core authors",
        "license": "Apache-2.0",
        "data": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), as in scikit-learn",
    }


def get_signature():
    return {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [8, 8]}],
        "outputs": [{"name": "digit", "datatype": "INT64", "shape": []}],
        "example": network.EXAMPLE,
    }


def get_train_args():
    return {
        "epochs": {"default": 20, "type": "int", "range": [1, 500], "help": "Passes over the training images."},
        "learning_rate": {"default": 0.01, "type": "float", "range": [0.0001, 1.0], "help": "Size of a step."},
        "activation": {"default": "relu", "type": "str", "choices": ["relu", "tanh"], "help": "Of the hidden units."},
        "shuffle": {"default": True, "type": "bool", "help": "See the images in a new order in each pass."},
        "stop_at": {
            "default": None,
            "type": "float",
            "range": [0, 1],
            "nullable": True,
            "help": "Stop early at this accuracy on images not trained on; null never stops early.",
        },
    }


def get_predict_args():
    return {"top": {"default": 10, "type": "int", "range": [1, 10], "help": "How many classes, likeliest first."}}


def train(epochs, learning_rate, activation, shuffle, stop_at):
    """Train the network and leave it in the run's model folder."""

    def report(epoch, loss, accuracy):
        print(f"epoch {epoch}/{epochs}  loss {loss:.4f}  accuracy {accuracy:.3f}", flush=True)
        if run is not None:
            run.report(epoch=epoch, loss=loss, accuracy=accuracy)
            run.progress(epoch, epochs)

    trained, accuracy = network.fit(epochs, learning_rate, activation, shuffle, stop_at, report)
    folder = run.model_dir() if run is not None else None
    if folder is not None:
        trained.save(folder / network.FILE_NAME)
    return {"accuracy": accuracy}


def warm():
    """Read the weights before the first request: those of the last training run, or the ones that we ship."""
    folder = run.model_dir() if run is not None else None
    network.load(folder)


def predict_data(data, top=10):
    """Recognise the digit in an 8×8 array, 0 (paper) to 16 (ink); a list of arrays gives a list of answers."""
    batch, single = images.from_numbers(data, InputError)
    answers = [_answer(probabilities, top) for probabilities in network.current().predict(batch)]
    return answers[0] if single else answers


def predict_file(path, top=10):
    """Recognise the digit in an image file of any size and colour mode."""
    batch = images.from_file(path, InputError)[None]
    return _answer(network.current().predict(batch)[0], top)


def predict_url(url, top=10):
    """Recognise the digit in the image that a URL leads to."""
    if not url.lower().startswith(("http://", "https://")):  # urlopen would open files of this machine, too
        raise InputError("Must start with http:// or https://.", "url")
    with urlopen(url, timeout=20) as response:
        content = response.read(MAX_DOWNLOAD_BYTES + 1)
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise InputError("The image must not be larger than 10 MiB.", "url")
    batch = images.from_bytes(content, InputError)[None]
    return _answer(network.current().predict(batch)[0], top)


def _answer(probabilities, top):
    likeliest = probabilities.argsort()[::-1][:top]
    return {
        "digit": int(likeliest[0]),
        "probabilities": {str(digit): round(float(probabilities[digit]), 6) for digit in likeliest},
    }
