"""The double integrator: imitation under constraints, with a malicious expert."""
