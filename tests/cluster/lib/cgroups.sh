# shellcheck shell=bash
# The one control group that holds every pod of a cluster: under each hierarchy of this machine (v1) or the only one (v2).

# cgroup_roots: prints the folder of each hierarchy.
cgroup_roots() {
    if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
        echo /sys/fs/cgroup
    else
        find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
    fi
}

cgroup_exists() {
    local root
    for root in $(cgroup_roots); do
        [[ ! -d $root/$CGROUP ]] || return 0
    done
    return 1
}

# create_cgroups: kubelet wants its root to exist with every controller, and makes the rest itself.
create_cgroups() {
    local root file
    for root in $(cgroup_roots); do
        [[ ! -f $root/cgroup.subtree_control ]] || delegate "$root"
        mkdir -p "$root/$CGROUP"
        [[ ! -f $root/cgroup.subtree_control ]] || delegate "$root/$CGROUP"
        # A new v1 cpuset is empty, and no process may enter an empty one.
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -f $root/cpuset.sched_load_balance ]] || cat "$root/$file" >"$root/$CGROUP/$file"
        done
    done
}

# delegate FOLDER: lets the groups below a v2 group use every controller it has; some kernels refuse some of them.
delegate() {
    local controller
    for controller in $(<"$1/cgroup.controllers"); do
        echo "+$controller" 2>/dev/null >"$1/cgroup.subtree_control" || true
    done
}

# remove_cgroups: deepest first; fails while a process is still ending in one of them.
remove_cgroups() {
    local root
    for root in $(cgroup_roots); do
        [[ ! -d $root/$CGROUP ]] || find "$root/$CGROUP" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    ! cgroup_exists
}
