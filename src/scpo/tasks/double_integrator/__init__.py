"""Task 2: the constrained double integrator with a malicious expert."""

from scpo.tasks.double_integrator.dataset import generate_dataset
from scpo.tasks.double_integrator.task import DoubleIntegratorTask

__all__ = ["DoubleIntegratorTask", "generate_dataset"]
