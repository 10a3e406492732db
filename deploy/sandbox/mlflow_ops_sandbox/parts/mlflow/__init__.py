"""MLflow: its own server, and what it holds on the first day."""
