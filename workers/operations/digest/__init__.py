"""The morning's digest: one calm message, from the health check, its history, the audit record and what waits."""
