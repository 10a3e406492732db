"""The database's step of docs/recovery-without-this-product.md, executed on every version of PostgreSQL."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.world.conftest import CONTENT, FOLDERS, OURS, OWNER
from workers.operations.backup.sharing import rows_only, without_rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "recovery-without-this-product.md"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq on PATH"),
]


@pytest.mark.parametrize("apart", [(), ("metrics", "runs")], ids=["one_dump", "three_dumps"])
def test_the_database_comes_back_by_plain_tools(server, live, content, tmp_path, apart):
    newest, folder = FOLDERS[max(FOLDERS)], tmp_path / "set"
    folder.mkdir()
    shared = [[(live.removeprefix("mlflow_"), table)] for table in apart]
    for number, options in enumerate((without_rows(shared), *map(rows_only, shared))):
        name = f"database.apart-{number}.dump" if number else "database.dump"
        with (folder / name).open("wb") as dump:
            subprocess.run([newest / "pg_dump", "-Fc", *options, server.url(OWNER, live)], stdout=dump, check=True)
    schema = "" if live.endswith("public") else f"{live.removeprefix('mlflow_')}."
    rows = {f"{schema}{table}": number for table, number in (("runs", 500), ("metrics", 30_000), ("experiments", 20))}
    (folder / "manifest.json").write_text(json.dumps({"database": {"rows": rows}}))
    step = DOCUMENT.read_text().partition("## 4. ")[2].partition("## 5. ")[0]
    script = "set -euo pipefail\n" + "".join(re.findall(r"^```sh\n(.*?)^```$", step, re.MULTILINE | re.DOTALL))
    restored = f"{live}_by_hand"
    environment = {
        "PATH": f"{newest}:{os.environ['PATH']}",
        "SERVER_URL": server.url(OURS, ""),
        "DATABASE": restored,
        "LC_ALL": "C",
    }
    before = content(live)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "CREATE DATABASE"
    if schema:
        server.do(f"ALTER DATABASE {restored} SET search_path = {schema.rstrip('.')}, public")
    assert server.do(CONTENT, database=restored) == before
