"""The worker line's frames survive whatever way the bytes are cut."""

import pytest

from deepaas_core.executors.worker import frames


def cut(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


FRAMES = [
    ({"id": 1}, b""),
    ({"id": 2, "values": {"text": "é"}}, b"{}"),
    ({"id": 3}, bytes(range(256)) * 400),
    ({"id": 4}, b"last"),
]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_frames_arrive_whole_however_they_are_cut(size):
    stream = b"".join(bytes(piece) for header, body in FRAMES for piece in frames.encode(dict(header), body))
    decoder = frames.Decoder()
    arrived = [frame for piece in cut(stream, size) for frame in decoder.feed(piece)]
    assert [(header["id"], bytes(body)) for header, body in arrived] == [
        (header["id"], body) for header, body in FRAMES
    ]


def test_several_buffers_come_apart_again():
    pieces = frames.encode({"id": 1}, b"one", b"", b"three")
    [(header, body)] = frames.Decoder().feed(b"".join(pieces))
    assert [bytes(buffer) for buffer in frames.split(header, body)] == [b"one", b"", b"three"]


def test_a_large_buffer_is_not_copied_into_its_frame():
    large = bytes(frames.LARGE_BYTES)
    assert any(piece is large for piece in frames.encode({"id": 1}, large))


@pytest.mark.parametrize(
    "data",
    [
        frames.PREFIX.pack(2**31, 0),
        frames.PREFIX.pack(2, 2**50),
        frames.PREFIX.pack(3, 0) + b"abc",
        frames.PREFIX.pack(2, 0) + b"[]",
    ],
)
def test_what_is_no_frame_breaks_the_line(data):
    with pytest.raises(frames.BrokenLine):
        list(frames.Decoder(max_body_bytes=1000).feed(data))
