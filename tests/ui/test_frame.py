"""What the app answers beside Streamlit, and what is said to a newcomer."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import Request
from streamlit import config

from cbam_viz.render import lookup_table
from cbam_viz.ui import frame as module
from cbam_viz.ui.entries import ENTRIES
from cbam_viz.ui.glossary import GLOSSARY, WELCOME, hint
from cbam_viz.ui.session.link import Settings, from_params


def answer(address: str, method: str = "GET"):
    path, _, query = address.partition("?")
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    return module._respond(Request({**scope, "query_string": query.encode()}))


@pytest.mark.parametrize(
    ("address", "leads_to"),
    [
        ("/explore", "./"),
        ("/explore/", "../"),
        ("/explore?layer=a.b&top=5", "./?layer=a.b&top=5"),
        ("/explore/?layer=a%2Fb", "../?layer=a%2Fb"),
        ("/nonsense", "./?no_such_page=nonsense"),
        ("/a/b?x=1", "../?no_such_page=a%2Fb"),
    ],
)
def test_an_address_that_is_no_page_leads_to_the_first(address, leads_to):
    response = answer(address)
    assert response.status_code == 307
    assert response.headers["location"] == leads_to


def test_below_a_prefix_addresses_lead_to_the_same_places(monkeypatch):
    monkeypatch.setattr(config, "get_option", {"server.baseUrlPath": "/lab/cbam/"}.get)
    assert answer("/lab/cbam/explore?top=5").headers["location"] == "./?top=5"
    assert b"cbam-viz reopened" in answer("/lab/cbam/layers").body
    assert answer("/explore") is None  # not ours


@pytest.mark.parametrize("address", ["/", *(f"/{entry.address}" for entry in ENTRIES[1:])])
def test_every_page_comes_with_the_frames_script_before_streamlits(address):
    text = answer(address).body.decode()
    assert "<title>cbam-viz</title>" in text
    assert text.index("cbam-viz reopened") < text.index('<script type="module"')
    assert text.count("</script>") == text.count("<script")
    assert answer(address).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "address",
    ["/static/js/index.js", "/_stcore/health", "/media/x", "/favicon.png", "/layers/", "//a.b/c"],
)
def test_the_rest_is_left_to_streamlit(address):
    assert answer(address) is None


def test_only_reading_is_answered():
    assert answer("/explore", "POST") is None
    assert answer("/", "HEAD").status_code == 200


def test_a_session_that_the_server_does_not_have_is_not_known():
    assert json.loads(answer("/cbam-viz/session?id=gone").body) == {"known": False}


def test_what_is_not_ours_reaches_the_app_behind():
    reached = []

    async def behind(scope, receive, send):
        reached.append(scope["type"])

    def run(scope):
        # In a thread: a browser that an earlier test drives has a loop at work in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, module.frame(behind)(scope, None, None)).result()

    run({"type": "websocket"})
    http = {"type": "http", "method": "GET", "path": "/_stcore/health", "headers": []}
    run({**http, "query_string": b""})
    assert reached == ["websocket", "http"]


def test_a_page_that_does_not_exist_is_named_without_markup():
    settings, notes = from_params({"no_such_page": "<b>x</b>"})
    assert settings == Settings()
    assert notes == ("There is no page “·b·x··b·”, so this is the first one.",)


def test_the_welcome_is_for_those_whom_no_link_brought(open_app):
    def welcome(app):
        return [one for one in app.markdown if one.value == WELCOME]

    app = open_app()
    assert len(welcome(app)) == 1
    app.selectbox(key="set_colormap").select("grey").run()
    assert not welcome(app)
    assert not welcome(open_app(layer="layer1.0.se"))


def test_the_welcomes_colours_are_those_of_the_default_colour_map():
    table = lookup_table(Settings().colormap)
    red, green, blue = (int(value) for value in table[255])
    assert min(red, green) > 200 > blue  # yellow
    red, green, blue = (int(value) for value in table[0])
    assert 100 > blue > red > green  # dark violet
    assert re.search(r"\*\*Yellow\*\*.*let through.*\*\*dark violet\*\*.*held back", WELCOME)


def test_every_word_of_a_text_is_explained_once_and_none_that_is_not_there():
    text = hint("channel weights, then the spatial map", "not verified: input × gates ≠ output")
    explained = re.findall(r"\*\*(.+?)\*\*", text)
    assert explained == ["Gate", "Channel weight", "Spatial map", "Not verified"]
    assert hint("49 of 64 cells on the photo").startswith("**Cell**: ")
    assert hint("Navigate the excellent parcel", "") is None
    assert (
        hint("nearly binary: 40 % of the area") == f"**Nearly binary**: {GLOSSARY['nearly binary']}"
    )


def test_words_are_explained_where_they_stand(open_app):
    app = open_app()
    (caption,) = [one for one in app.caption if "verified" in one.value]
    assert GLOSSARY["verified"] in caption.proto.help
    assert GLOSSARY["gate"] in app.selectbox(key="set_layer").proto.help
    (heading,) = [one for one in app.subheader if one.value == "Channel weights"]
    assert GLOSSARY["channel weight"] in heading.proto.help
    bar = json.loads(app.get_by_key("explore_viewer").proto.json)["bar"]
    assert GLOSSARY["held back"] in bar["hint"]
    assert GLOSSARY["let through"] in bar["hint"]
