"""The partners' pages."""
