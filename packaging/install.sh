#!/usr/bin/env bash
# Install, update or remove Outrider on a machine: an environment under /opt/outrider, a systemd unit, its settings.
#
#   install.sh [--wheels FOLDER] [--collector URL] [--token-file FILE] [--python PROGRAM] [--no-start] [--root FOLDER]
#   install.sh --uninstall [--purge]
#
#   --wheels FOLDER    install from the wheels in there and from nowhere else; without it, from where pip is set up to
#   --collector URL    where batches go; an update keeps what is set
#   --token-file FILE  the bootstrap token, copied to /etc/outrider/token
#   --python PROGRAM   Python 3.11 or later; by default the newest that is found
#   --no-start         enable the unit, and start nothing
#   --root FOLDER      treat FOLDER as the root of the machine, and leave systemd alone
#   --purge            also remove the settings and the journal
#
# Run it again to update: settings stay, the unit is made anew. Exit 0 well, 2 misuse, 77 not possible here.
set -euo pipefail

root='' wheels='' collector='' token_file='' python='' start=yes action=install purge=no

fail() { # CODE TEXT
    echo "install.sh: $2" >&2
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --wheels | --collector | --token-file | --python | --root)
        [ $# -ge 2 ] || fail 2 "$1 needs a value"
        case $1 in
        --wheels) wheels=$2 ;;
        --collector) collector=$2 ;;
        --token-file) token_file=$2 ;;
        --python) python=$2 ;;
        --root) root=${2%/} ;;
        esac
        shift 2
        ;;
    --no-start) start=no && shift ;;
    --uninstall) action=uninstall && shift ;;
    --purge) purge=yes && shift ;;
    -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail 2 "unknown option $1 (--help shows them)" ;;
    esac
done

program=/opt/outrider
prefix=$root$program
settings=$root/etc/outrider
journal=$root/var/lib/outrider
units=$root/etc/systemd/system
unit=$units/outrider.service
mark=$prefix/.made-by-outrider-install

[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || fail 77 'needs root'

systemd() { # systemctl, where this is the machine itself and systemd runs it
    [ -z "$root" ] && [ -d /run/systemd/system ] || return 0
    systemctl "$@"
}

remove_environment() {
    [ -e "$prefix" ] || return 0
    [ -e "$mark" ] || fail 2 "$prefix is there and was not made by this script: it is left alone"
    rm -rf -- "$prefix"
}

if [ "$action" = uninstall ]; then
    [ -e "$unit" ] && systemd disable --now outrider.service
    rm -f -- "$unit"
    systemd daemon-reload
    remove_environment
    if [ "$purge" = yes ]; then
        rm -rf -- "$settings" "$journal" "$units/outrider.service.d"
        echo "removed $prefix, its unit, settings and journal"
    else
        echo "removed $prefix and its unit; kept $settings and $journal (--purge removes them)"
    fi
    exit 0
fi

find_python() {
    local candidate
    for candidate in ${python:+"$python"} python3.14 python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        [ -z "$python" ] || break
    done
    fail 77 "no ${python:-Python} that is 3.11 or later and has venv (Amazon Linux: dnf install python3.11)"
}

if [ -n "$wheels" ]; then
    wheels=$(cd "$wheels" 2>/dev/null && pwd) || fail 2 "--wheels: no such folder"
    compgen -G "$wheels/outrider-*.whl" >/dev/null || fail 2 "--wheels: no outrider-*.whl in $wheels"
fi
[ -z "$token_file" ] || [ -r "$token_file" ] || fail 2 "--token-file: cannot read $token_file"
case $collector in
'' | https://* | http://*) ;;
*) fail 2 '--collector must start with https:// (or http:// for a lab)' ;;
esac
[[ $collector != *[[:space:]\"\'\\\$\`]* ]] || fail 2 '--collector: not an address'

found=$(find_python)

# Made beside the old one and put in its place whole: a failure leaves what was there.
[ ! -e "$prefix" ] || [ -e "$mark" ] || fail 2 "$prefix is there and was not made by this script: it is left alone"
rm -rf -- "$prefix.new"
mkdir -p "$(dirname "$prefix")"
trap 'rm -rf -- "$prefix.new"' EXIT
(
    umask 022
    "$found" -m venv "$prefix.new"
    if [ -n "$wheels" ]; then
        "$prefix.new/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" outrider
    else
        "$prefix.new/bin/python" -m pip install --quiet --disable-pip-version-check outrider
    fi
    # Scripts name the interpreter by the path that they were installed at.
    sed -i "1s|^#!.*|#!$program/bin/python|" "$prefix.new/bin/outrider"
    "$prefix.new/bin/python" -m pip uninstall --quiet --yes --disable-pip-version-check pip setuptools 2>/dev/null || true
    touch "$prefix.new/${mark##*/}"
)
remove_environment
mv -- "$prefix.new" "$prefix"

mkdir -p "$units"
install -d -m 0700 "$settings"
(
    umask 077
    "$prefix/bin/python" -m outrider_cli.main unit --program "$program/bin/outrider" >"$unit.new"
    chmod 0644 "$unit.new"
    mv -- "$unit.new" "$unit"
    if [ -n "$token_file" ]; then
        cat -- "$token_file" >"$settings/token.new"
        mv -- "$settings/token.new" "$settings/token"
    fi
    [ -e "$settings/outrider.env" ] || cat >"$settings/outrider.env" <<-'END'
	# Settings of Outrider on this machine: OUTRIDER_ and the name in capitals, one a line.
	# `outrider run --print-settings` shows all; docs/settings.md explains them. Then: systemctl restart outrider
	END
    set_to() { # NAME VALUE: the one line that sets it
        { grep -v "^$1=" "$settings/outrider.env" || true; echo "$1=$2"; } >"$settings/outrider.env.new"
        mv -- "$settings/outrider.env.new" "$settings/outrider.env"
    }
    [ -z "$collector" ] || set_to OUTRIDER_COLLECTOR_URL "$collector"
    [ -z "$token_file" ] || set_to OUTRIDER_TOKEN_FILE /etc/outrider/token
)

systemd daemon-reload
systemd enable --quiet outrider.service
[ "$start" = no ] || systemd restart outrider.service
echo "installed $prefix, $unit and $settings/outrider.env"
