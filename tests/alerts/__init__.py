"""The rules, their tests and their runbooks."""
