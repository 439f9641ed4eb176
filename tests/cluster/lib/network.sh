# shellcheck shell=bash
# The addresses of a cluster, all derived from its slot, and the one pair of interfaces that joins it to this machine.
# shellcheck disable=SC2034  # read by the other parts

# slot_addresses N: every slot has ranges of its own, so that clusters run side by side and all can be routed to.
slot_addresses() {
    SLOT=$1
    HOST_LINK=trackway$SLOT
    HOST_ADDRESS=10.219.$SLOT.1
    NODE_ADDRESS=10.219.$SLOT.2
    POD_RANGE=10.220.$SLOT.0/24
    SERVICE_RANGE=10.221.$SLOT.0/24
    SERVICE_ADDRESS=10.221.$SLOT.1
    CGROUP=trackway$SLOT
}

# claim_slot: takes the first slot that no cluster, interface or cgroup of this machine uses, and creates STATE with it.
claim_slot() {
    local slot lock
    exec {lock}>"$TOOLS_CACHE/.slots"
    flock "$lock"
    for ((slot = 0; slot < 250; slot++)); do
        slot_addresses "$slot"
        if ! grep -qsx "$slot" "$CLUSTERS"/*/slot && ! ip link show "$HOST_LINK" >/dev/null 2>&1 && ! cgroup_exists; then
            mkdir -p "$STATE"
            echo "$slot" >"$STATE/slot"
            exec {lock}>&-
            return
        fi
    done
    die "all 250 slots are taken; end a cluster first: ls $CLUSTERS"
}

# join_network PID: gives the namespaces of PID one end of a pair of interfaces, and this machine the other and the routes.
join_network() {
    ip link add "$HOST_LINK" type veth peer name eth0 netns "$1" ||
        die "cannot create the interface $HOST_LINK: this needs root and the kernel's veth driver"
    ip address add "$HOST_ADDRESS/30" dev "$HOST_LINK"
    ip link set "$HOST_LINK" up
    nsenter --target "$1" --net ip address add "$NODE_ADDRESS/30" dev eth0
    nsenter --target "$1" --net ip link set lo up
    nsenter --target "$1" --net ip link set eth0 up
    nsenter --target "$1" --net ip route add default via "$HOST_ADDRESS"
    ip route add "$POD_RANGE" via "$NODE_ADDRESS"
    ip route add "$SERVICE_RANGE" via "$NODE_ADDRESS"
}

# leave_network: the routes go with the interface.
leave_network() {
    ! ip link show "$HOST_LINK" >/dev/null 2>&1 || ip link delete "$HOST_LINK" 2>/dev/null || true
}
