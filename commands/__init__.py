"""What may be asked: one module per chapter of the runbook, the grammar, and who may ask."""
