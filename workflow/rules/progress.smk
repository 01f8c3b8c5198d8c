"""Tells the logger (src/replication/progress) the expected times of jobs, and the files to look at in the end."""

if workflow.is_main_process:
    logger.info("", extra={"plan": {"seconds": resources.expected(SETTINGS), "made": [*all_pdfs(), EXPLORER]}})
