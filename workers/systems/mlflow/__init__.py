"""MLflow: its server over HTTP, and its own tables where the server cannot be asked for many at once."""
