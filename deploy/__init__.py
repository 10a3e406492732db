"""Ways to run mlflow-ops."""
