"""The model registry: which models there are, their versions, aliases, stages and source runs."""
