"""The contract between the ends: events, findings, batches, enrolment and errors.

This package imports nothing of ours. Whatever the sidecar and the collector both need to agree on is here.
"""
