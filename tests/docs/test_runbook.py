"""docs/runbook.md: each command is one that exists, and each that is not there yet is marked."""

import re

from commands import grammar

CHAPTERS = {
    "Daily operations", "Common tasks", "Backup", "Recovery", "Scaling", "Maintenance", "Disaster recovery",
    "Monitoring", "Escalation", "Reference",
}  # fmt: skip


def parses(words):
    try:
        return not isinstance(grammar.parse(words), grammar.Help)
    except grammar.UsageError:
        return False


def test_each_command_parses_and_what_is_not_there_yet_does_not(documents):
    table = documents.rows("runbook.md", 3)
    wrong = []
    for _, procedure, said in table:
        typed = re.findall(r"`/mlflow ([^`]+)`", said)
        assert typed or said.startswith("by hand: "), procedure
        wrong += [words for words in typed if parses(words) is said.endswith("not yet")]
    assert wrong == [], "correct the words, or the mark “not yet”"
    assert {chapter for chapter, _, _ in table} == CHAPTERS
    assert len(table) > 40


def test_a_command_that_does_not_exist_would_be_seen():
    assert not parses("restor database")
    assert not parses("health nonsense")
