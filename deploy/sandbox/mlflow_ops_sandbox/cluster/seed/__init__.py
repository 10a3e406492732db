"""The cluster as it is on the first day: what the runbook takes for granted."""
