"""MLflow's ConfigMap: shown, and changed together with the pods that take their values from it."""
