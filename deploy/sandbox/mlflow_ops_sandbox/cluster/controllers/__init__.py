"""The controllers: each brings one kind of object in step with what it should be."""
