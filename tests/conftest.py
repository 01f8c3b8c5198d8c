"""One thread per process, as in every run of the workflow: two threads under load are many times slower.

Property tests draw the same examples each time, so that a failure is the change's; HYPOTHESIS_PROFILE=search looks on.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

#: files that take longest: each is one process's from the first test to the last, so they are begun first
LONGEST = ("test_workflow.py", "test_double_integrator_report.py", "test_verify.py", "test_certificate_certify.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
