"""What people read: a terminal, the report's page, sample reports."""
