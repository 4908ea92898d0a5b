#!/usr/bin/env bash
# User data for an EC2 container instance on Amazon Linux 2023: join a cluster, and guard the machine from the start.
# Set the four values. The folder in S3 holds install.sh and the wheels (docs/ec2.md says how to fill it); the machine's
# role may read it, and the token's parameter.
set -euo pipefail
CLUSTER=my-cluster
WHEELS=s3://my-bucket/outrider
COLLECTOR=https://collector.example:8440
TOKEN_PARAMETER=/outrider/token

echo "ECS_CLUSTER=$CLUSTER" >>/etc/ecs/ecs.config

# Whatever goes wrong here, the machine joins its cluster: the log says what, and the collector misses an agent.
export WHEELS COLLECTOR TOKEN_PARAMETER
bash -euo pipefail <<'END' || echo 'outrider is not installed' >&2
umask 077
dnf install -q -y python3.11 awscli-2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
aws s3 cp --quiet --recursive "$WHEELS" "$folder"
aws ssm get-parameter --with-decryption --name "$TOKEN_PARAMETER" --query Parameter.Value --output text >"$folder/token"
bash "$folder/install.sh" --wheels "$folder" --collector "$COLLECTOR" --token-file "$folder/token"
END
