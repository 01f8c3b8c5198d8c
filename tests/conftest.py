"""One thread per process, as in every run of the workflow: two threads under load are many times slower.

Property tests draw the same examples each time, so that a failure is the change's; HYPOTHESIS_PROFILE=search looks on.
"""

import fcntl
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# jsonschema, which notebooks load, would spend two seconds on a grammar of addresses that no notebook is held against
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# how long a draw takes says how busy the machine is, and nothing about the test
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **BUSY)
settings.register_profile("search", derandomize=False, **BUSY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

#: files that take longest: each is one process's from the first test to the last, so they are begun first
LONGEST = ("test_workflow.py", "test_double_integrator_report.py", "test_verify.py", "test_certificate_certify.py")

#: files whose tests train, certify, draw the whole report or run the pipeline: `make quick` leaves them out
SLOW = {
    *LONGEST,
    "test_backend_agreement.py",
    "test_bundle.py",
    "test_certificate_cells.py",
    "test_certificate_intervals.py",
    "test_compare.py",
    "test_device.py",
    "test_double_integrator_sets.py",
    "test_falsification.py",
    "test_falsification_page.py",
    "test_few_arms.py",
    "test_literal.py",
    "test_quantities.py",
    "test_referee.py",
    "test_referee_certificates.py",
    "test_referee_inputs.py",
    "test_regression_proof.py",
    "test_regression_tables.py",
    "test_report_figures.py",
    "test_report_numbers.py",
    "test_report_provenance.py",
    "test_report_tables.py",
    "test_stationarity.py",
    "test_training.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in SLOW or item.path.parent.name == "pipeline":
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def shipped_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped results, restored, with their table of quantities and their verdicts: made once, to be read alone."""
    from replication.claims import decide, verdicts
    from replication.experiments import quantities
    from replication.paths import REPOSITORY
    from replication.results.quantities import FILE
    from replication.shipped import ship

    shipped, own = REPOSITORY / "shipped/results/study", tmp_path_factory.getbasetemp()
    if not (shipped / ship.MANIFEST).is_file():
        pytest.skip("no shipped results in this checkout")
    of_all = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder = of_all / "restored/results/shipped/study"
    with (of_all / "restored.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / verdicts.NAME).is_file():
            ship.restore(shipped, folder)
            quantities.main(folder, folder / FILE)
            decide.write(folder, folder / verdicts.NAME)
    return folder
