from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from requirement import unavailable

pytestmark = pytest.mark.services


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<p id=sum></p><script>document.getElementById('sum').textContent = 20 + 22</script>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_headless_chromium_renders_a_page_from_loopback(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        unavailable("chromium", "no chromium on the PATH (Debian package chromium)")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
        command = [
            *(str(browser), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet),
            *(f"--user-data-dir={tmp_path}", "--dump-dom", f"http://127.0.0.1:{server.server_address[1]}/"),
        ]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert '<p id="sum">42</p>' in shown
