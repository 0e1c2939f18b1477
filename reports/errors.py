"""Errors of reports."""


class ReportError(Exception):
    """Runs that cannot be found or shown together; the message says what to do."""
