"""MLflow's experiments: found by name or id, listed with what is in them, made, renamed, deleted and brought back."""
