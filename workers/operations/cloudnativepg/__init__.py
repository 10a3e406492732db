"""MLflow's database in CloudNativePG: the Cluster that it is in (`live`), whether that has archived what is wanted
(`archived`), and a second Cluster as it was at a moment (`manifest`, `beside`), there only while it is needed.
"""
