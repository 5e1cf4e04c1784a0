"""What the app answers beside Streamlit: the page's frame script, and addresses of its own.

Streamlit's page is sent with `frame.js` in its head, so that it runs before Streamlit's scripts do,
and while no server answers. Addresses that Streamlit does not know lead to one that it does.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from streamlit import config, file_util
from streamlit.runtime import Runtime

from cbam_viz.ui.entries import ENTRIES
from cbam_viz.ui.session.link import NO_SUCH_PAGE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SESSION = "cbam-viz/session"
"""Address that tells whether the server still has the session `?id=`."""
OTHERS = ("_stcore", "app", "auth", "component", "media", "oauth2callback", "static")
"""First parts of Streamlit's own addresses."""
TITLE = "<title>Streamlit</title>"


def frame(app: ASGIApp) -> ASGIApp:
    """Answer what is ours, and leave the rest to `app`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        ours = _respond(Request(scope)) if scope["type"] == "http" else None
        await (ours or app)(scope, receive, send)

    return answer


def _respond(request: Request) -> Response | None:
    path = _path(request)
    if path is None or request.method not in ("GET", "HEAD"):
        return None
    if path == SESSION:
        return JSONResponse({"known": _is_known(request.query_params.get("id", ""))})
    first, *others = (entry.address for entry in ENTRIES)
    if path in ("", *others):
        return _page()
    name = path.strip("/")
    if name in others or name.partition("/")[0] in OTHERS or "." in name:
        return None  # Streamlit's, which also takes slashes off behind its pages
    params = parse_qsl(request.url.query)
    if name != first:
        params = [(NO_SUCH_PAGE, name)]
    # Relative, so that it holds behind a proxy that takes a prefix off.
    address = "../" * path.count("/") or "./"
    return RedirectResponse(f"{address}?{urlencode(params)}" if params else address)


def _path(request: Request) -> str | None:
    """The address below the app's own, without its first slash; None for one outside."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    base = f"/{config.get_option('server.baseUrlPath').strip('/')}".rstrip("/") + "/"
    return path.removeprefix(base) if path.startswith(base) else None


def _is_known(session_id: str) -> bool:
    return Runtime.exists() and Runtime.instance().is_active_session(session_id)


def _page() -> Response | None:
    text = _page_text()
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"}) if text else None


@cache
def _page_text() -> str:
    """Streamlit's page with our script in its head; empty where it is not the page that we know."""
    index = Path(file_util.get_static_dir()) / "index.html"
    text = index.read_text("utf-8") if index.is_file() else ""
    if TITLE not in text:
        return ""
    script = Path(__file__).with_name("frame.js").read_text("utf-8")
    return text.replace(TITLE, f"<title>cbam-viz</title>\n<script>\n{script}</script>", 1)
