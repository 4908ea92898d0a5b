"""The collector's threat lists: fetched when they changed, verified, kept beside the journal, handed on."""
