"""After tests: do the Roles grant what was used, and nothing else, and was nothing refused but where a test means it?

    python tests/permissions.py FOLDER     judges a run (see conftest.py); ends with 1 where the Roles are not exact
    python tests/permissions.py            the files that use all of the Roles together, for pytest's command line

A whole run tells by itself. So do these few files, in minutes instead of an hour, because what is allowed and unused
can only become less with more tests: `.ci/run permissions`. Of any other part of the tests, and where some were
skipped, it is only said. The table names, for each permission, the test that was the first to use it.
"""

import json
import sys
from pathlib import Path

from mlflow_ops_sandbox.cluster.apiserver import least_privilege

ROLES = sorted((Path(__file__).parents[1] / "deploy" / "kubernetes").glob("*/*role.yaml"))
FILES = (
    "tests/deploy/test_recovery_role.py",
    "tests/workers/operations/certificate/test_certificate.py",
    "tests/workers/operations/configuration/test_configuration.py",
    "tests/workers/operations/deployment/test_deployment.py",
    "tests/workers/operations/inspection/test_inspection.py",
    "tests/workers/operations/logs/test_logs_reading.py",
)
MEANT = {
    "::test_status_names_the_kinds_that_it_may_not_list": "the Role is made smaller",
    "::test_another_deployment_is_shown_by_a_part_of_its_name": "the Role names MLflow's own; others are only listed",
    "::test_what_is_not_there_is_told[manifest": "what the Role does not name, there or not",
    "::test_the_verb_that_the_role_lacks_is_named": "the Role is made smaller, or ops.yaml names another object",
    "::test_without_the_permission_it_names_the_verb": "without the Role for exec",
}
"""Parts of the names of tests that ask for something without a right to it, and why."""


def main(run):
    noted, tests = least_privilege.noted(run / "permissions"), spans(run)
    allowed = least_privilege.granted(ROLES)
    found = least_privilege.differences(allowed, {each.permission for each in noted if each.allowed})
    found += sorted({f"refused in {test}: {permission}" for permission, test in refusals(noted, tests)})
    sys.stdout.write(table(allowed, noted, tests))
    sys.stdout.write("\n".join(found or ["The Roles grant exactly what these tests used."]) + "\n")
    return 1 if found and not (run / "skipped").exists() else 0


def spans(run):
    """When each test ran, in which process."""
    files = (run / "tests").glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_of(each, tests):
    """The test that ran in the process that started the API server, when that noted something."""
    return next(
        (one["test"] for one in tests if one["by"] == each.by and one["began"] <= each.at <= one["ended"]), "a sandbox"
    )


def refusals(noted, tests):
    """What was refused in tests that do not mean it."""
    for each in noted:
        if not each.allowed:
            test = test_of(each, tests)
            if not any(part in test for part in MEANT):
                yield each.permission, test


def table(allowed, noted, tests):
    """Each permission of the Roles with the test that was the first to use it."""
    lines = ["| permission | first used by |", "| --- | --- |"]
    for permission in sorted(allowed):
        uses = (each for each in noted if each.allowed and _is(each.permission, permission))
        first = next(uses, None)
        lines.append(f"| {permission} | {test_of(first, tests) if first else 'nothing'} |")
    return "\n".join(lines) + "\n\n"


def _is(used, permission):
    same = (used.verb, used.group, used.resource, used.everywhere) == (
        permission.verb, permission.group, permission.resource, permission.everywhere
    )  # fmt: skip
    return same and permission.name in {"", used.name}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.stdout.write(" ".join(FILES) + "\n")
    else:
        sys.exit(main(Path(sys.argv[1])))
