# shellcheck shell=bash
# down: ends one cluster and removes every trace of it on this machine.

cluster_down() {
    local started=$SECONDS
    if [[ ! -d $STATE ]]; then
        say "there is no cluster \"$NAME\""
        return
    fi
    remove_everything
    rm -f "$STATE.lock"
    rmdir "$CLUSTERS" 2>/dev/null || true # of other clusters there may be some
    say "cluster \"$NAME\" is gone after $((SECONDS - started)) s"
}

# remove_everything: the processes first, for they hold the rest.
remove_everything() {
    local outer inner
    if outer=$(outer_pid); then
        inner=$(init_pid) || inner=
        kill -KILL "$outer"
        await_end "$outer" "$inner"
    fi
    if [[ -n ${SLOT:-} ]]; then
        leave_network
        eventually remove_cgroups || die "cannot remove the control groups $CGROUP: a process is still in one of them; run this again"
    fi
    rm -rf "$STATE" || die "cannot remove $STATE: something still uses it; run this again"
}

# await_end PID...: until none of the processes exists.
await_end() {
    local pid
    for pid in "$@"; do
        eventually process_gone "$pid" || die "process $pid does not end; run this again"
    done
}

process_gone() { ! kill -0 "$1" 2>/dev/null; }

# eventually COMMAND...: retries for 20 s; fails when it never succeeds.
eventually() {
    local started=$SECONDS
    until "$@"; do
        ((SECONDS - started < 20)) || return 1
        sleep 0.1
    done
}
