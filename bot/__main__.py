"""`python -m bot` is `mlflow-ops`."""

from bot.process.cli import main

if __name__ == "__main__":
    main()
