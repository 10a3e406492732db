"""The node: pods as real processes, their probes, logs and figures, and the addresses they are reached by."""
