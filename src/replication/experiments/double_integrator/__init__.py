"""The double integrator: references, certificates, figures, tables and numbers."""
