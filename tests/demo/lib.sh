# Shared by the demo's scripts. Sourced.
# shellcheck shell=bash

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/trackway
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
binaries=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/debug

die() { echo "error: $*" >&2; exit 1; }

# step TEXT: what happens now, with the seconds since the start.
step() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }

# tool NAME: path of a pinned tool, built when it is missing.
tool() { "$repo/tests/cluster/tools/bin" "$1"; }

# quietly WHAT COMMAND...: shows the output only when the command fails.
quietly() {
    local what=$1 log
    shift
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "$what failed; its output is above"
    fi
    rm -f "$log"
}
