"""A small Kubernetes API server, and the node behind it, for one bare machine.

It answers the official clients and kubectl as a real one does for the kinds that MLflow's runbook touches. Pods are
real in this sense: a ready ``mlflow`` pod is a listening gateway to the one real MLflow server, Services forward to
ready pods only, probes are performed, logs are what was written, and metrics are measured.

Reading order: ``resources`` (which kinds exist), ``store`` (where objects are), ``requests`` (a URL's meaning),
``server`` (the way of one request), ``cluster`` (what runs beside it).
"""
