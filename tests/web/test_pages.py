"""The pages for people: they load nothing from elsewhere, and show models' texts as texts."""

import re

import pytest

from deepaas_core.serving.catalog import Problem

SCRIPT = "<script>alert(1)</script>"
PLUGIN = f"""
def get_metadata():
    return {{"version": "3.2", "description": "Says it again {SCRIPT}", "summary": "x"}}

def predict_data(data, times: int = 1):
    return data
"""
FAILING = f"raise RuntimeError('no weights {SCRIPT}')"


#: What a browser sends; programs are told something else at ``/``.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def text(client, path):
    response = await client.get(path, headers=BROWSER)
    assert response.status == 200
    return await response.text()


async def test_the_landing_page_lists_the_models_with_their_state_and_functions(serve):
    page = await text(await serve(echo=PLUGIN), "/")
    assert "echo" in page
    assert "3.2" in page
    assert 'class="state ready"' in page
    assert '<li class="offered"><code>predict_data</code></li>' in page
    assert '<li class="missing"><code>train</code>' in page


async def test_the_landing_page_has_commands_for_this_server(serve):
    client = await serve(echo=PLUGIN)
    page = await text(client, "/")
    assert f"http://127.0.0.1:{client.port}</span>/api/v1/models/echo/predict/data" in page


async def test_a_model_that_cannot_start_is_listed_with_its_reason(serve):
    page = await text(await serve(broken=FAILING), "/")
    assert 'class="state failed"' in page
    assert "no weights" in page


async def test_a_model_that_cannot_be_offered_is_listed_with_its_reason(serve):
    page = await text(await serve(problems=[Problem("twice", "a, b", "Two packages claim this name.")]), "/")
    assert "Two packages claim this name." in page


async def test_without_models_the_landing_page_says_how_to_get_one(serve):
    page = await text(await serve(), "/")
    assert "No models yet" in page
    assert "pip install" in page


async def test_text_of_models_is_shown_and_never_run(serve):
    client = await serve(echo=PLUGIN, broken=FAILING, problems=[Problem(SCRIPT, SCRIPT, SCRIPT)])
    page = await text(client, "/")
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_allow_no_foreign_sources_no_frames_and_no_inline_scripts(serve, path):
    response = await (await serve(echo=PLUGIN)).get(path, headers=BROWSER)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("base", ["", "/ml"])
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_whatever_a_page_is_made_of_comes_from_this_server(serve, path, base):
    client = await serve("--web-base-path", base)
    page = await text(client, base + path)
    loaded = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', page)
    assert loaded
    for address in loaded:
        assert not re.match(r"\w+:|/", address)
        assert (await client.get(f"{base}/{address}")).status == 200


async def test_swagger_ui_is_served_with_its_media_type(serve):
    response = await (await serve()).get("/docs/swagger-ui-bundle.js")
    assert response.content_type == "text/javascript"
    assert b"SwaggerUIBundle" in await response.read()


@pytest.mark.parametrize("name", ["swagger-editor.js", "..%2f..%2fcore.py", "pages.py", "%2fetc%2fpasswd", "x"])
async def test_no_other_file_can_be_had(serve, name):
    assert (await (await serve()).get(f"/docs/{name}")).status == 404


async def test_the_address_that_a_client_claims_is_not_believed(serve):
    response = await (await serve(echo=PLUGIN)).get("/", headers={**BROWSER, "Host": "elsewhere.example"})
    assert "elsewhere.example" not in await response.text()
