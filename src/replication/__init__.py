"""The replication of the paper: experiments, training, results, claims and report.  It uses the library ``scpo``."""
