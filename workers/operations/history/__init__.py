"""What the health check has measured before: kept in Redis, compared, drawn, and followed into the future."""
