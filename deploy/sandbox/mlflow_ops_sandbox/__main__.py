"""`python -m mlflow_ops_sandbox`: the same as `mlflow-ops sandbox`."""

from mlflow_ops_sandbox.cli import sandbox

if __name__ == "__main__":
    sandbox(prog_name="mlflow-ops sandbox")
