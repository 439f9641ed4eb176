# shellcheck shell=bash
# up: from nothing to a node that runs pods.

NODE_TOOLS=(kubernetes pause coredns)

# cluster_up ARGUMENT...: the arguments of the whole command, for the part that runs as root.
cluster_up() {
    UP_STARTED=$SECONDS
    if is_up; then
        say "cluster \"$NAME\" is up: KUBECONFIG=$STATE/kubeconfig"
        return
    fi
    if [[ -z ${OWNER:-} ]]; then # not yet under sudo
        announce
        prepare
    fi
    as_root "$@"
    UP_STARTED=$SECONDS
    PATH=$PATH:/usr/sbin:/sbin
    umask 022
    lock_name
    clear_remains
    claim_slot
    say "starting cluster \"$NAME\" in $STATE"
    write_credentials
    write_configs
    create_cgroups
    start_init
    wait_until_ready
    exec 8>&-
    say "cluster \"$NAME\" is up after $((SECONDS - UP_STARTED)) s: export KUBECONFIG=$STATE/kubeconfig"
}

# lock_name: two callers never start the same cluster; the second one finds it up.
lock_name() {
    mkdir -p "$CLUSTERS"
    exec 8>"$STATE.lock"
    flock --nonblock 8 && return
    say "another \"up\" of cluster \"$NAME\" is at work, waiting for it"
    flock 8
    ! is_up || { say "cluster \"$NAME\" is up: KUBECONFIG=$STATE/kubeconfig" && exit 0; }
}

# clear_remains: what a failed start or a restart of the machine left; never a cluster that runs.
clear_remains() {
    [[ -d $STATE ]] || return 0
    [[ ! -f $STATE/ready ]] || ! init_pid >/dev/null ||
        die "cluster \"$NAME\" runs but its API does not answer; look at $STATE/logs, then: $CLUSTER_DIR/cluster down --name $NAME"
    say "removing what is left of an earlier cluster \"$NAME\""
    cluster_paths "$NAME"
    remove_everything
}

is_up() {
    [[ -f $STATE/ready ]] && init_pid >/dev/null && kubectl get --raw /readyz >/dev/null 2>&1
}

# announce: says what is going to happen, before it does.
announce() {
    say "Kubernetes $(kubernetes_version) on this machine, named \"$NAME\":"
    say "  - runs as root, in network, mount and process namespaces of its own, with about 1.2 GB of memory"
    say "  - takes about 15 s once its programs are there; \"$CLUSTER_DIR/cluster down --name $NAME\" removes it without a trace"
}

# prepare: installs and builds what is missing; only the first time takes long.
prepare() {
    local packages=() tool minutes=0
    mapfile -t packages < <(missing_packages)
    for tool in "${NODE_TOOLS[@]}"; do
        [[ -x $(tool_path "$tool") ]] || minutes=$((minutes + $(tool_field "$tool" 3)))
    done
    ((${#packages[@]} == 0)) || say "first, as root, installs Debian packages: ${packages[*]}"
    ((minutes == 0)) || say "first builds its programs from source, about $minutes min on two cores, into $TOOLS_CACHE"
    install_packages "${packages[@]}"
    "$TOOLS_DIR/ensure" "${NODE_TOOLS[@]}" >/dev/null
    mkdir -p "$CLUSTERS" # as this user, before root puts something there
}

write_credentials() {
    "$(tool_path kubernetes)" credentials --dir "$STATE/credentials" --cluster "$NAME" --node "$NODE_NAME" \
        --address "$NODE_ADDRESS" --service-address "$SERVICE_ADDRESS"
    install -m 600 "$STATE/credentials/admin.kubeconfig" "$STATE/kubeconfig"
    [[ -z ${OWNER:-} ]] || chown "$OWNER" "$STATE/kubeconfig"
    # The API server appends to it and would itself make it readable to root alone.
    install -m 644 /dev/null "$STATE/audit.log"
}

# start_init: one process holds every namespace; when it ends, everything inside ends with it.
start_init() {
    setsid --fork unshare --net --mount --pid --fork --kill-child "$CLUSTER_DIR/init" "$STATE" \
        </dev/null >"$STATE/logs/init.log" 2>&1 8>&-
    await 10 "process namespaces" init_pid
    join_network "$(init_pid)"
}

wait_until_ready() {
    await 30 "container runtime" cluster_exec ctr version
    await 60 "API server" kubectl get --raw /readyz
    "$CLUSTER_DIR/../images/build" trackway.dev/pause "$(tool_path pause)" --tag 1 --out "$STATE/pause.tar" >/dev/null
    await 30 "sandbox image" cluster_exec ctr --namespace k8s.io image import "$STATE/pause.tar"
    await 60 "default service account" kubectl get serviceaccount default
    await 60 "node ready" node_ready
    await 30 "cluster DNS" dns_ready
    touch "$STATE/ready"
}

node_ready() {
    [[ $(kubectl get node "$NODE_NAME" --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

# dns_ready: asks the name server's own readiness page, which waits for its first full list.
dns_ready() (
    exec {answer}<>"/dev/tcp/$NODE_ADDRESS/8181"
    printf 'GET /ready HTTP/1.0\r\n\r\n' >&"$answer"
    head -n 1 <&"$answer" | grep -q ' 200 '
)
