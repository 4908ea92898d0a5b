"""Rules without a kernel: events in, findings out, through the world, the fields and the engine of the sidecar.

`stage` puts the engine together without sensors, `transcript` reads and runs what authors of rules write down as
tests, `recorded` reads the events of a journal or of batches, and `rerun` runs rules over them.
"""
