"""JSON that is read again: inventories, plans and audit reports, each with its schema version."""
