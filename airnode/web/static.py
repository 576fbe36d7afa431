"""The web pages, as built into the package: hashed assets are cached without end, documents never."""

from importlib import resources
from pathlib import Path

from aiohttp import web

from airnode.web.problems import NOT_FOUND_PAGE, Handler, NotFoundPage

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' http: https: ws: wss:; media-src 'self' blob: http: https:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_DOCUMENT_HEADERS = {
    "Content-Security-Policy": CSP,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}
#: The pages that may use camera, microphone and screen (W3C Permissions Policy); no other page may.
_CAPTURING = frozenset({"studio.html"})
_CAPTURE_FEATURES = ("camera", "microphone", "display-capture")
_ASSET_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
_NOT_BUILT = "The pages are not built. Run `make pages` in the checkout, or install the wheel, which carries them.\n"
#: In both languages, and plain: it does not load the pages' code and style.
_NOT_FOUND = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>airnode</title>
<link rel="icon" href="/favicon.svg">
<h1>There is no page at this address</h1>
<p><a href="/">Join a class</a></p>
<h1 lang="ko">이 주소에는 페이지가 없어요</h1>
<p lang="ko"><a href="/">수업 들어가기</a></p>
</html>
"""


def static_dir() -> Path:
    """Return the directory of the built pages; it may not exist in a checkout."""
    return Path(str(resources.files("airnode.web"))) / "static"


def add_pages(app: web.Application, pages: dict[str, str], root: Path | None = None) -> None:
    """Add routes for ``pages`` ({path pattern: file name}) and ``/assets``; the files are listed once, at this time."""
    base = root or static_dir()
    app[NOT_FOUND_PAGE] = NotFoundPage(_NOT_FOUND, _DOCUMENT_HEADERS)
    for pattern, name in {**pages, "/favicon.svg": "favicon.svg"}.items():
        app.router.add_get(pattern, _document(base / name) if (base / name).is_file() else _not_built)
    folder = base / "assets"
    found = folder.iterdir() if folder.is_dir() else ()
    assets = {path.name: path for path in found if path.suffix != ".gz"}
    app.router.add_get("/assets/{name}", _asset(assets))


async def _not_built(request: web.Request) -> web.StreamResponse:
    return web.Response(text=_NOT_BUILT, status=503)


def _document(path: Path) -> Handler:
    headers = {**_DOCUMENT_HEADERS, "Permissions-Policy": permissions(path.name)}

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers=headers)

    return handle


def permissions(page: str) -> str:
    """Return the Permissions-Policy of a page, by its file name."""
    allowed = "(self)" if page in _CAPTURING else "()"
    return ", ".join(f"{feature}={allowed}" for feature in _CAPTURE_FEATURES)


def _asset(assets: dict[str, Path]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        path = assets.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_ASSET_HEADERS)

    return handle
