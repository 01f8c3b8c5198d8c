"""One thread per process, as in every run of the workflow: two threads under load are many times slower.

Property tests draw the same examples each time, so that a failure is the change's; HYPOTHESIS_PROFILE=search looks on.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
