"""What people see: a terminal, the report's page, reports to show."""
