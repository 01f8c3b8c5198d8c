"""Real problems with scpo.SafeOptimizer around their optimiser: docs/examples.md."""
