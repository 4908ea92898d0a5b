"""The shell around the rewriter: describe, rewrite, register, update, and a walk over whole clusters.

`ecs_client` makes boto3's client; everything else takes one. Waits for nothing unless asked to.
"""
