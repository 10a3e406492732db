"""What can be typed after /mlflow backup."""

import pytest

from commands import grammar
from workers.operations.backup.backup import Backup
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.show import BackupList, BackupShow, BackupUsage
from workers.operations.backup.sign import BackupSign
from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep
from workers.operations.commands.dry_run import DryRun


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        ("backup", Backup()),
        ("backup all", Backup()),
        ("backup database", Backup(parts=("database",))),
        ("backup config Artifacts".lower(), Backup(parts=("artifacts", "config"))),
        ("backup --dry-run", DryRun(of="backup", arguments={"parts": []})),
        ("backup database --dry-run", DryRun(of="backup", arguments={"parts": ["database"]})),
        ("backup list", BackupList()),
        ("backup show", BackupShow()),
        ("backup show 1a2b3c", BackupShow(id="1a2b3c")),
        ("backup verify latest", BackupVerify()),
        ("backup verify 1a2b3c --deep", BackupVerifyDeep(id="1a2b3c")),
        ("backup prune", BackupPrune()),
        ("backup prune --dry-run", DryRun(of="backup-prune", arguments={})),
        ("backup usage", BackupUsage()),
        ("backup sign 1a2b3c", BackupSign(id="1a2b3c")),
    ],
)
def test_each_form_becomes_its_operation(text, operation):
    assert grammar.parse(text) == operation


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("backup databse", "Did you mean “/mlflow backup database”"),
        ("backup database confg", "Did you mean “/mlflow backup database config”"),
        ("backup lsit", "Did you mean “/mlflow backup list”"),
        ("backup xyzzy", "There is no command “xyzzy”."),
        ("list", "There is no command “list”."),
        ("backup --force", "There is no option --force here."),
    ],
)
def test_a_typing_mistake_is_a_sentence(text, sentence):
    with pytest.raises(grammar.UsageError, match=sentence):
        grammar.parse(text)


@pytest.mark.parametrize("text", ["help backup", "backup --help"])
def test_its_help_names_every_form(text):
    answer = grammar.parse(text)
    assert isinstance(answer, grammar.Help)
    for word in ("all", "list", "show", "verify", "prune", "usage"):
        assert f"\n  {word} " in answer.text
