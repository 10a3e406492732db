"""The rules that objects of each kind must keep, with the server's sentences; one module per family of kinds."""
