"""The reader of documents, and a sandbox with a backup in it."""

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("documents", Path(__file__).with_name("documents.py"))
_documents = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_documents)


@pytest.fixture(scope="session")
def documents():
    """See documents.py."""
    return _documents
