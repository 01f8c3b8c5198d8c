"""Results: the files of finished runs, the table of quantities, statistics over seeds, comparisons."""
