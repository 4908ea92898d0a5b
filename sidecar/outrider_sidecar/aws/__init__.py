"""AWS's own interfaces, as far as the guard needs them, without boto3: 34 MiB of memory for two questions."""
