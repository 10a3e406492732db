"""/mlflow hello, as an example of commands of your own."""
