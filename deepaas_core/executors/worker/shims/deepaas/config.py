"""The settings that models look at; a server's own settings are none of a model's business."""

import types

CONF = types.SimpleNamespace(debug=False, workers=1, listen_ip="127.0.0.1", listen_port=5000)
