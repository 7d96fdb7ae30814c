"""`scripts/audit`: a vulnerable version fails, and a service that cannot be asked is not taken for a clean bill."""

import json
import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parent.parent
LOCK = f"jinja2==2.4.1 \\\n    --hash=sha256:{'0' * 64}\n"
FLAW = {"id": "GHSA-0000", "summary": "made up", "affected": [], "modified": "2020-01-01T00:00:00Z"}


class Flaws(BaseHTTPRequestHandler):
    """OSV, as far as pip-audit asks it: all versions of Jinja2 are vulnerable, nothing else is."""

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        found = {"vulns": [FLAW]} if query["package"]["name"] == "jinja2" else {}
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaws) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(url: str, lock: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OSV_URL": url, "VENV": sys.prefix}
    return subprocess.run([ROOT / "scripts/audit", lock], env=environment, capture_output=True, text=True)


def test_a_vulnerable_version_fails(service, tmp_path):
    (tmp_path / "a.lock").write_text(LOCK)
    done = audit(service, tmp_path / "a.lock")
    assert done.returncode == 1
    assert "GHSA-0000" in done.stdout
    assert "2.4.1" in done.stdout


def test_others_pass(service, tmp_path):
    (tmp_path / "a.lock").write_text(LOCK.replace("jinja2", "markupsafe"))
    done = audit(service, tmp_path / "a.lock")
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities" in done.stderr


def test_no_service_is_no_clean_bill(tmp_path):
    (tmp_path / "a.lock").write_text(LOCK)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = audit(f"http://127.0.0.1:{closed.getsockname()[1]}/", tmp_path / "a.lock")
    assert done.returncode == 3
    assert "NOT AUDITED" in done.stderr
