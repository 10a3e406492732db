"""Values of a parameter that are more of the same: the first is for everybody, the others for who has the time."""

import pytest


def slow(*values):
    """These values, for `.ci/run` alone."""
    return [pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.slow) for each in values]
