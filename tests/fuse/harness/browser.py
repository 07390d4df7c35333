"""A browser without a screen: what a page is after its scripts ran, and how it looks."""

from __future__ import annotations

import html
import re
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

GUARD_S = 240.0  # of one look; chromium needs seconds
_BUDGET_MS = 5000  # of the page's own clock, which stands still while the page waits for an answer

_FRAME = """<!doctype html><body><iframe src="/?token=any" style="border:0;width:{width}px;height:3000px"></iframe>
<script>setTimeout(() => {{
  const inner = document.querySelector("iframe"), root = inner.contentDocument.documentElement;
  const colour = inner.contentWindow.getComputedStyle(inner.contentDocument.body).backgroundColor;
  document.body.append(`width ${{root.scrollWidth}} of ${{root.clientWidth}}, back ${{colour}}`);
}}, 3000);</script>"""


class Browser:
    """Chromium, with a profile of its own below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def dom(self, url: str, *, dark: bool = False) -> str:
        """The page as HTML, some seconds of its clock after it was opened."""
        return self._run(url, "--dump-dom", dark=dark)

    def screenshot(self, url: str, path: Path, width: int, height: int, *, dark: bool = False) -> None:
        """A PNG of the page."""
        self._run(url, f"--screenshot={path}", f"--window-size={width},{height}", "--hide-scrollbars", dark=dark)

    def _run(self, url: str, *options: str, dark: bool) -> str:
        command = [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={self._root / 'profile'}", f"--virtual-time-budget={_BUDGET_MS}", *options,
        ]  # fmt: skip
        if dark:
            command.append("--force-dark-mode")
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=GUARD_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def text_of(dom: str, part: str) -> str:
    """The text of the element with the id `part`, up to the end of its section."""
    found = re.search(rf'id="{part}"[^>]*>(.*?)</section>', dom, re.DOTALL)
    assert found is not None, f"the page has no {part}"
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", found[1])).split())


def serve_copy(page: bytes, told: bytes, answers: int, port_file: str) -> None:
    """Serves a page that was kept, on a port that a file tells, until its figures were asked for `answers` times.

    /frame?WIDTH shows it in a frame so many pixels wide, with what was measured there. Then nobody listens any more.
    """
    left = answers

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal left
            path, _, query = self.path.partition("?")
            body = page
            if path == "/live.json":
                left -= 1
                body = told
            elif path == "/frame":
                body = _FRAME.format(width=int(query)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if body is told else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        partial = Path(port_file + ".part")
        partial.write_text(str(server.server_port), encoding="ascii")
        partial.rename(port_file)
        while left > 0:
            server.handle_request()
