"""The audit record: who did what, its export to the backups' bucket, and whether anybody has changed it."""
