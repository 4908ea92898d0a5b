"""Deployment documents, made by pure functions: no AWS call, no clock, nothing heavy imported.

`outrider unit` prints the systemd unit; `python -m outrider_cdk` writes the committed documents under `task-defs/`
and `packaging/` into a checkout, and a test holds them to what it would write.
"""
