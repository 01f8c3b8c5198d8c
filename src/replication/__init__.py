"""The replication of the paper: tasks, training, results, claims and report.  It uses the library ``scpo``."""
