"""What is done: one folder for each chapter of the runbook; each operation plans, runs and reports."""
