"""Threat lists: read from where they are kept, compiled to one signed document, and announced to the sidecars."""
