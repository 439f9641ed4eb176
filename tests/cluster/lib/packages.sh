# shellcheck shell=bash
# The Debian packages a node needs, found by the programs they bring.

# missing_packages: prints the packages whose programs are not there.
missing_packages() {
    local program package
    while read -r program package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || printf '%s\n' "$package"
    done <<'LIST'
containerd containerd
ctr containerd
runc runc
iptables iptables
conntrack conntrack
ip iproute2
nsenter util-linux
/usr/lib/cni/ptp containernetworking-plugins
LIST
}

# install_packages PACKAGE...: through apt, as root.
install_packages() {
    (($#)) || return 0
    command -v apt-get >/dev/null ||
        die "missing: $*; this machine has no apt, so install them by hand (containerd, runc and the CNI plugins in /usr/lib/cni) and run this again"
    local sudo=() log
    ((EUID == 0)) || sudo=(sudo)
    log=$(mktemp)
    say "installing $*"
    if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "apt could not install $*; full output in $log"
    fi
    rm -f "$log"
}
