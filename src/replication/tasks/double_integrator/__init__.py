"""Task 2: the constrained double integrator with a malicious expert."""
