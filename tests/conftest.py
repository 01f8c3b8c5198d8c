"""One thread per process, as in every run of the workflow: two threads under load are many times slower."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
