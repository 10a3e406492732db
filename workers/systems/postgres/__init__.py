"""PostgreSQL: the database that MLflow uses, the server that it is on, and the programs that dump and restore it."""
