"""The description of the HTTP interface, after OpenAPI 3.1."""
