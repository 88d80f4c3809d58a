"""Requests as no well-behaved client sends them: each is told what is wrong with it, and harms nobody."""

import asyncio
import json

import pytest

ECHO = """
    from webargs import fields

    def get_predict_args():
        return {
            "name": fields.Str(load_default="", metadata={"location": "headers"}),
            "word": fields.Str(load_default=""),
        }

    def predict_data(data, name, word):
        return [data, name, word]

    def predict_file(path, name, word):
        return [name, word]

    def train():
        pass
"""
DATA = "/api/v1/models/echo/predict/data"


@pytest.fixture
async def send(serve):
    client = await serve("--web-max-body-mb", "1", "--web-max-upload-mb", "1", echo=ECHO)

    async def send(line, *headers, body=b""):
        """One request, byte by byte as it is; gives status and body of what comes back."""
        reader, writer = await asyncio.open_connection(client.host, client.port)
        host = f"Host: {client.host}:{client.port}".encode()
        length = (
            () if any(one.startswith(b"Content-Length") for one in headers) else (b"Content-Length: %d" % len(body),)
        )
        writer.write(b"\r\n".join((line, host, b"Connection: close", *length, *headers, b"", body)))
        async with asyncio.timeout(10):
            head, rest = await reader.readuntil(b"\r\n\r\n"), b""
            for field in head.lower().split(b"\r\n"):
                if field.startswith(b"content-length:"):
                    rest = await reader.readexactly(int(field.partition(b":")[2]))
        writer.close()
        return int(head.split()[1]), json.loads(rest)

    return send


def post(path=DATA):
    return f"POST {path} HTTP/1.1".encode()


JSON = b"Content-Type: application/json"


@pytest.mark.parametrize("charset", [b"undefined", b"nonsense", b"zlib", b"\xff"])
async def test_text_in_a_charset_that_cannot_be_read_is_the_callers_fault(send, charset):
    status, _ = await send(post(), b"Content-Type: text/plain; charset=" + charset, body=b"abc")
    assert status in (400, 422)


@pytest.mark.parametrize("charset", [b"undefined", b"a\x00b", b"\xff"])
async def test_a_form_in_a_charset_that_cannot_be_read_is_the_callers_fault(send, charset):
    form = b'--B\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + charset + b"\r\n"
    form += b'--B\r\nContent-Disposition: form-data; name="word"\r\n\r\nx\r\n--B--\r\n'
    status, problem = await send(post(), b"Content-Type: multipart/form-data; boundary=B", body=form)
    assert (status, problem["type"]) == (400, "/problems/malformed-body")


@pytest.mark.parametrize("encoding", [b"zork", b"gzip, gzip"])
@pytest.mark.parametrize("path", [DATA, "/api/v1/models/echo/serve"])
async def test_an_encoding_that_is_not_read_is_refused_instead_of_ignored(send, path, encoding):
    status, problem = await send(post(path), JSON, b"Content-Encoding: " + encoding, body=b'{"data": 1}')
    assert (status, problem["type"]) == (415, "/problems/unsupported-media")


async def test_a_header_whose_bytes_are_no_text_reaches_the_model_as_text(send):
    status, document = await send(post(), JSON, b"name: a\xff", body=b'{"data": 1}')
    assert (status, document["prediction"]) == (200, [1, "a�", ""])


async def test_an_origin_that_is_no_address_is_a_foreign_one(send):
    status, _ = await send(post(), JSON, b"Origin: http://[", body=b'{"data": 1}')
    assert status == 403


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(send):
    status, problem = await send(post(), JSON, b"Content-Length: 99000000", b"Expect: 100-continue")
    assert (status, problem["type"]) == (413, "/problems/payload-too-large")


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00%2B23:59"])
async def test_a_time_beyond_all_times_is_refused(send, moment):
    status, problem = await send(f"GET /api/v1/runs?since={moment} HTTP/1.1".encode())
    assert (status, problem["errors"][0]["pointer"]) == (422, "/since")


async def test_what_is_shown_can_be_asked_for_without_its_body(serve):
    client = await serve(echo=ECHO)
    for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/api/v1/models", "/api/v1/models/echo"):
        shown, asked = await client.get(path), await client.head(path)
        assert (asked.status, await asked.read()) == (200, b""), path
        assert asked.headers["Content-Length"] == str(len(await shown.read())), path
        assert (await client.head(f"{path}/no")).status == 404, path


async def test_what_is_streamed_is_not_begun_for_nothing(serve):
    client = await serve(echo=ECHO)
    for path in ("/api/v1/runs/x/events", "/api/v1/runs/x/log", "/api/v1/predictions"):
        assert (await client.head(path)).status == 405, path
