"""JSON documents, of others or our own, read into typed records with bounds."""
