"""What runs did: journals, summaries, reports."""
