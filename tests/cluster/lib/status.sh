# shellcheck shell=bash
# status: what a person wants to know about one cluster.

cluster_status() {
    local health=up
    require_state
    if ! init_pid >/dev/null; then
        health=down
    elif component_ended >/dev/null; then
        health="broken: $(component_ended) ended, see $STATE/logs"
    elif ! is_up; then
        health="starting or broken, see $STATE/logs"
    fi
    show name "$NAME"
    show state "$health"
    show kubeconfig "$STATE/kubeconfig"
    show API "https://$NODE_ADDRESS:6443"
    show addresses "node $NODE_ADDRESS, this machine seen from pods $HOST_ADDRESS, pods $POD_RANGE, services $SERVICE_RANGE"
    if [[ $health == up ]]; then
        show node "$(node_ready && echo ready || echo 'not ready'), $(kubectl get pods --all-namespaces --no-headers 2>/dev/null | wc -l) pods"
        show versions "Kubernetes $(kubernetes_version), $(containerd --version | awk '{ print "containerd " $3 }'), CoreDNS $(tool_field coredns 2 | sed 's/.*@//')"
        show memory "$(memory) MB"
        show uptime "$(ps -o etime= -p "$(outer_pid)" | tr -d ' ')"
    fi
    [[ $health == up ]]
}

show() { printf '%-11s %s\n' "$1" "$2"; }

kubernetes_version() { awk '$1 == "k8s.io/kubernetes" { print $2 }' "$KUBERNETES_DIR/go.mod"; }

# memory: megabytes resident in every process below the outer one.
memory() {
    ps -e -o pid=,ppid=,rss= | awk -v root="$(outer_pid)" '
        { parent[$1] = $2; rss[$1] = $3 }
        END {
            for (pid in rss) {
                for (above = pid; above in parent && above != root; above = parent[above]);
                if (above == root) total += rss[pid]
            }
            printf "%d", total / 1024
        }'
}
