"""Tells the logger (src/replication/progress) what the events do not: how long jobs take, and what to look at."""

if workflow.is_main_process:
    logger.info("", extra={"plan": {"seconds": resources.expected(SETTINGS), "made": [*all_pdfs(), EXPLORER]}})
