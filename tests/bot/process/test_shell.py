"""`mlflow-ops shell`, and what it has in common with `mlflow-ops run`: how words are read, shown and carried out."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from bot.process import here, manual, shell
from bot.process.cli import main
from mlflow_ops_sandbox.patience import stretched
from workers.operations.deployment.scale import Scale
from workers.report import Report, Status


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("health",), "health"),
        (('experiments show "day ahead"',), 'experiments show "day ahead"'),
        (("experiments", "show", "day ahead"), 'experiments show "day ahead"'),
        (("incident", "note", 'the "db" is away'), "incident note 'the \"db\" is away'"),
        (("backup", "list", "--limit", "5"), "backup list --limit 5"),
    ],
)
def test_words_of_a_shell_are_one_line(words, line):
    assert here.joined(words) == line


def test_what_was_quoted_arrives_whole():
    asked = here.read(here.joined(("experiments", "show", "day ahead")), "mlflow-ops run")
    assert asked.operation.experiment == "day ahead"


def test_a_mistake_and_break_glass_are_refused_with_what_is_right():
    with pytest.raises(here.RefusedError, match="Did you mean “mlflow-ops run health”"):
        here.read("helth", "mlflow-ops run")
    with pytest.raises(here.RefusedError, match="--yes-by NAME"):
        here.read('scale 4 --break-glass "the database is gone"', "mlflow-ops run")


@pytest.fixture
def done(monkeypatch):
    """What was carried out, and in whose name."""
    found = []

    def carried_out(asked, name, systems, progress):
        found.append((asked.operation, name))
        return Report(title="Scale mlflow", status=Status.OK, summary=f"done by {name}" if name else "planned")

    monkeypatch.setattr(here, "carried_out", carried_out)
    return found


def test_a_change_is_shown_first_and_done_only_after_yes(done, capsys):
    shell.answer("scale 4", None, "vera", lambda: False)
    assert [name for _, name in done] == [None]
    shell.answer("scale 4", None, "vera", lambda: True)
    assert [name for _, name in done] == [None, None, "vera"]
    assert isinstance(done[-1][0], Scale)
    assert "done by vera" in capsys.readouterr().out


def test_without_a_name_nothing_is_offered(done):
    shell.answer("scale 4", None, None, lambda: pytest.fail("nobody may be asked"))
    shell.answer("health", None, "vera", lambda: pytest.fail("a read needs no yes"))
    assert [name for _, name in done] == [None, None]


def test_a_mistake_does_not_end_it(capsys):
    shell.answer("helth", None, None, bool)
    shell.answer("help", None, None, bool)
    told = capsys.readouterr()
    assert "Did you mean “mlflow> health”" in told.err
    assert "Daily operations" in told.out


def test_a_person_types_completes_and_leaves(tmp_path):
    """In a real terminal: Tab completes, a line is answered, Ctrl-D ends it, and the history is kept."""
    leader, follower = pty.openpty()
    env = {
        **os.environ,
        "TERM": "xterm",
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    script = "from bot.process.cli import main; main(['shell'], prog_name='mlflow-ops')"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=follower, stdout=follower, stderr=follower, env=env
    ) as child:
        os.close(follower)
        seen = ""

        def until(word):
            """Read up to a word, and go on behind it."""
            nonlocal seen
            deadline = time.monotonic() + stretched(60)
            while word not in (plain := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)):
                assert time.monotonic() < deadline, seen
                if select.select([leader], [], [], 0.2)[0]:
                    seen += os.read(leader, 65536).decode(errors="replace")
            seen = plain.partition(word)[2]

        try:
            until("mlflow>")
            os.write(leader, b"help experim\t")
            until("help experiments")
            os.write(leader, b"\r")
            until("Give an experiment another name")
            until("mlflow>")
            os.write(leader, b"\x04")
            assert child.wait(timeout=60) == 0
        finally:
            child.kill()
            os.close(leader)
    assert "+help experiments" in (tmp_path / "mlflow-ops" / "history").read_text()


def test_the_manual_says_what_help_says():
    page = manual.page(main, "0.1.0")
    assert page.startswith(".TH MLFLOW")
    for name in main.commands:
        assert f".SS {manual.escaped(name)}\n" in page
    assert ".B experiments list\n" in page
    assert "\n.\n" not in page
    plain = re.sub(r"\\&", "", page).replace("\\-", "-")
    assert " ".join(main.commands["shell"].help.split()) in plain


@pytest.mark.parametrize(("text", "roff"), [(".x", "\\&.x"), ("'x", "\\&'x"), ("a-b\\n", "a\\-b\\en")])
def test_what_roff_would_read_as_its_own_is_escaped(text, roff):
    assert manual.escaped(text) == roff
