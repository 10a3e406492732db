"""Takes the schema out of a CRD, without its descriptions: python tests/deploy/crds/take.py SOURCE < crd.yaml

SOURCE is said in the file: repository, commit and path. One file for each version that is served, beside this script.
"""

import json
import sys
from pathlib import Path

import yaml


def bare(schema):
    """What a validator reads of it."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # `description` is a sentence where it is one; of `properties` it is a name.
    return {key: bare(value) for key, value in schema.items() if key != "description" or not isinstance(value, str)}


def main():
    spec = yaml.safe_load(sys.stdin)["spec"]
    for version in spec["versions"]:
        if version["served"]:
            kind = spec["names"]["kind"]
            made = {
                "source": sys.argv[1],
                "apiVersion": f"{spec['group']}/{version['name']}",
                "kind": kind,
                "schema": bare(version["schema"]["openAPIV3Schema"]),
            }
            file = Path(__file__).with_name(f"{kind.lower()}-{version['name']}.json")
            file.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
