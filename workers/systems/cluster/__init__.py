"""Kubernetes: its objects, programs in its pods, and what its answers mean."""
