"""MLflow as it was at a moment, to be looked at by people and changed by nobody.

A program beside the worker (`host`) replays a base and WAL in a private PostgreSQL, which stays in recovery, so that it
takes no writes, and lets MLflow's role in by TCP. A Job in the cluster (`pod`, `pod_program`) runs the Deployment's
image on it. What is asked for stands in Redis (`state`): once it is not there any more, or its time is over, all goes.
"""
