#!/usr/bin/env bash
# Install the system packages of scripts/packages.txt that are missing, where that is possible; else name them and go on.
set -u
here=$(cd "$(dirname "$0")" && pwd)
missing=()
while read -r name _; do
    case $name in '' | '#'*) continue ;; esac
    state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || state=absent
    [ "$state" = installed ] || missing+=("$name")
done <"$here/packages.txt"
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing system packages (install them as root, with Debian's apt-get or your own means): ${missing[*]}" >&2
    exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# No service of a package may start here: the lab wants the programs alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$log" "$policy"' EXIT
fi
echo "installing system packages: ${missing[*]}" >&2
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    echo "some system packages could not be installed; what needs them will say so: ${missing[*]}" >&2
fi
exit 0
