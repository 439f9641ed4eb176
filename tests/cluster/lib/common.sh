# shellcheck shell=bash
# What every command shares: where a cluster keeps its files, how it is recognised, how a condition is awaited.
# shellcheck disable=SC2034  # read by the other parts

CLUSTERS=${XDG_STATE_HOME:-$HOME/.local/state}/trackway/clusters

# cluster_paths NAME: sets NAME, STATE and NODE_NAME, and the addresses when the cluster has a slot.
cluster_paths() {
    NAME=$1
    [[ $NAME =~ ^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
        die "--name \"$NAME\": want at most 40 of a-z, 0-9 and \"-\", beginning and ending with a letter or digit"
    STATE=$CLUSTERS/$NAME
    NODE_NAME=$NAME
    [[ ! -f $STATE/slot ]] || slot_addresses "$(<"$STATE/slot")"
}

require_state() {
    [[ -f $STATE/slot ]] || die "there is no cluster \"$NAME\"; start one with: $CLUSTER_DIR/cluster up --name $NAME"
}

# as_root COMMAND...: returns when this is root; otherwise runs the same command again under sudo.
as_root() {
    ((EUID)) || return 0
    command -v sudo >/dev/null || die "\"$1\" needs root for namespaces, mounts and interfaces, and there is no sudo; run it as root"
    exec sudo env "HOME=$HOME" "PATH=$PATH" "XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache}" \
        "XDG_STATE_HOME=${XDG_STATE_HOME:-$HOME/.local/state}" "OWNER=$(id -u):$(id -g)" "$CLUSTER_DIR/cluster" "$@"
}

# outer_pid: the host's number of the process that holds everything; fails when it does not run.
outer_pid() {
    local process
    # A recorded number could be another's by now; the folder in its command line is this cluster's alone.
    while read -r process; do
        if [[ $(cat "/proc/$process/comm" 2>/dev/null) == unshare ]]; then
            printf '%s\n' "$process"
            return
        fi
    done < <(grep -lzxF -- "$STATE" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3)
    return 1
}

# init_pid: the host's number of the first process inside the namespaces.
init_pid() {
    local outer inner
    outer=$(outer_pid) && inner=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null) && [[ -n $inner ]] && printf '%s\n' "${inner% }"
}

# await SECONDS WHAT COMMAND...: runs the command until it succeeds; ends the program with the guilty log when it never does.
await() {
    local limit=$1 what=$2 started=$SECONDS shown=0
    shift 2
    until "$@" >/dev/null 2>&1; do
        if component_ended >/dev/null; then
            fail_with_log "$(component_ended)" "ended while waiting for $what"
        fi
        ((SECONDS - started < limit)) || fail_with_log "$(suspect "$what")" "$what: not after $limit s"
        if ((SECONDS - started >= shown + 5)); then
            shown=$((SECONDS - started))
            say "  waiting for $what, $shown s"
        fi
        sleep 0.2
    done
    say "  $what ($((SECONDS - UP_STARTED)) s)"
}

# component_ended: prints the first component that ended by itself; fails when all run.
component_ended() {
    local ended
    ended=$(find "$STATE/ended" -type f 2>/dev/null | head -n 1)
    [[ -n $ended ]] && basename "$ended"
}

# suspect WHAT: the component whose log most likely explains why a condition never came true.
suspect() {
    case $1 in
        API*) echo kube-apiserver ;;
        *DNS*) echo coredns ;;
        *node*) echo kubelet ;;
        *account*) echo kube-controller-manager ;;
        *image* | *runtime*) echo containerd ;;
        *) echo init ;;
    esac
}

fail_with_log() {
    say "last lines of $STATE/logs/$1.log:"
    tail -n 15 "$STATE/logs/$1.log" >&2 || true
    die "$1: $2. All logs: $STATE/logs. To start afresh: $CLUSTER_DIR/cluster down --name $NAME"
}

# kubectl ARGUMENT...: without the preferences and the cache of the user's home, where root must not write.
kubectl() { KUBERC=off "$(tool_path kubectl)" --kubeconfig "$STATE/kubeconfig" --cache-dir "$STATE/discovery" "$@"; }
