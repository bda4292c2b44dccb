"""A client in another language, made from the files of the protocol alone, does what a client does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.security.served import served
from vecdb.server.keyfile import change_keys, make_key

HERE = Path(__file__).resolve().parent / "node"
PROTO = HERE.parents[2] / "proto"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=10000")


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest) -> Path:
    """Directory with the packages that the client needs, kept for the next run; skips where they cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    cache = request.config.cache
    assert cache is not None
    kept = cache.mkdir("node")
    installed, wanted = kept / "node_modules" / ".installed", (HERE / "package-lock.json").read_text()
    if not installed.exists() or installed.read_text() != wanted:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, kept)
        done = subprocess.run([*INSTALL], cwd=kept, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            pytest.skip(f"npm cannot install the packages of {HERE.name}/package.json: {done.stderr.strip()[:300]}")
        installed.write_text(wanted)
    return kept


def test_a_client_in_javascript_made_from_the_protocol_does_what_clients_do(packages: Path, tmp_path: Path) -> None:
    key, spoken = make_key("node", {"*": "admin"})
    change_keys(str(tmp_path / "keys.json"), lambda _held: [key])
    shutil.copy(HERE / "client.js", packages)  # node looks for packages beside the program
    with served(tmp_path, keys=str(tmp_path / "keys.json")) as server:
        server.db.drop_collection("docs")
        command = ["node", str(packages / "client.js"), server.service.address, str(PROTO), spoken]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
        assert server.db.collection("docs").count() == 4
