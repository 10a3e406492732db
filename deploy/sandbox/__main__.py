"""`python -m deploy.sandbox`: the same as `mlflow-ops sandbox`, for when the product is not installed."""

from .cli import sandbox

if __name__ == "__main__":
    sandbox(prog_name="mlflow-ops sandbox")
