"""The confirmatory study, and the races that its settings are chosen by: runs seed by seed, without Snakemake."""
