"""After all the tests together: the Roles grant what was used, and nothing else. Ends with 1 where they do not.

    python tests/permissions.py FOLDER

The folder is that of the run (see conftest.py). A part of the tests does not tell, nor do those of a machine where some
are skipped: there it is only said.
"""

import sys
from pathlib import Path

from mlflow_ops_sandbox.cluster.apiserver import least_privilege

ROLES = sorted((Path(__file__).parents[1] / "deploy" / "kubernetes").glob("*/*role.yaml"))


def main(run):
    found = least_privilege.differences(least_privilege.granted(ROLES), least_privilege.used(run / "permissions"))
    sys.stdout.write("\n".join(found or ["The Roles grant exactly what these tests used."]) + "\n")
    return 1 if found and not (run / "skipped").exists() else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
