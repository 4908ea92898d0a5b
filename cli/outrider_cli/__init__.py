"""The `outrider` command. May import all of ours; is imported by none."""
