"""Mlflow."""
