"""Earlier runs: journals, summaries, reports."""
