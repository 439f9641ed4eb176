# shellcheck shell=bash
# Commands that run inside a cluster's namespaces.

# cluster_exec COMMAND...: in the folder it was called from.
cluster_exec() {
    local inner
    (($#)) || die "usage: cluster exec [--name NAME] COMMAND [ARGUMENT...]"
    inner=$(init_pid) || die "cluster \"$NAME\" does not run; start it with: $CLUSTER_DIR/cluster up --name $NAME"
    # shellcheck disable=SC2016  # expanded by the inner shell
    nsenter --target "$inner" --net --mount --pid -- sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
}

# cluster_load_image FILE...: afterwards pods can name the images with imagePullPolicy IfNotPresent or Never.
cluster_load_image() {
    local file
    (($#)) || die "usage: cluster load-image [--name NAME] FILE..."
    for file in "$@"; do
        [[ -r $file ]] || die "cannot read $file: want a docker-archive or OCI tar, as tests/images/build writes"
        cluster_exec ctr --namespace k8s.io image import "$(realpath "$file")"
    done
}
