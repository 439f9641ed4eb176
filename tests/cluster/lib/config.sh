# shellcheck shell=bash
# The configuration files of one cluster, written into STATE/config.

# write_configs: everything the components read, but keys and certificates.
write_configs() {
    mkdir -p "$STATE/config/cni" "$STATE/logs" "$STATE/ended" "$STATE/kubelet"
    # What init needs to know, as it runs without this program's variables.
    cat >"$STATE/config/env" <<END
STATE=$STATE
CGROUP=$CGROUP
HOST_ADDRESS=$HOST_ADDRESS
NODE_ADDRESS=$NODE_ADDRESS
NODE_NAME=$NODE_NAME
POD_RANGE=$POD_RANGE
SERVICE_RANGE=$SERVICE_RANGE
KUBERNETES=$(tool_path kubernetes)
COREDNS=$(tool_path coredns)
END
    echo "nameserver $NODE_ADDRESS" >"$STATE/config/resolv.conf"
    write_audit_policy
    write_containerd_config
    write_cni_config
    write_kubelet_config
    write_dns_config
}

# Reads would make the log large and say nothing that is counted.
write_audit_policy() {
    cat >"$STATE/config/audit.yaml" <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
  - {level: None}
END
}

write_containerd_config() {
    local snapshotter=overlayfs
    # The kernel does not stack an overlay on an overlay.
    [[ $(stat -f -c %T "$STATE") != overlayfs ]] || snapshotter=native
    cat >"$STATE/config/containerd.toml" <<END
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "trackway.dev/pause:1"
  # Without CAP_SYS_RESOURCE a sandbox may not ask for the score it would like.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/config/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
END
}

# Every packet between pods passes the node's routing, so Services need no bridge filter of the kernel.
write_cni_config() {
    cat >"$STATE/config/cni/10-pods.conflist" <<END
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "$POD_RANGE"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
}

write_kubelet_config() {
    cat >"$STATE/config/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/credentials/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
clusterDNS: [$NODE_ADDRESS]
clusterDomain: cluster.local
resolvConf: $STATE/config/resolv.conf
maxPods: 250
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}
# No image can be pulled again, so none may be collected.
imageGCHighThresholdPercent: 100
# A component that a test kills comes back at once, not after up to 5 minutes.
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
volumePluginDir: $STATE/kubelet/volume-plugins
END
}

# The node answers for the cluster's names and for nothing else: no other name server is reachable from here.
write_dns_config() {
    cat >"$STATE/config/Corefile" <<END
cluster.local in-addr.arpa ip6.arpa {
    bind $NODE_ADDRESS
    errors
    ready $NODE_ADDRESS:8181
    kubernetes {
        kubeconfig $STATE/credentials/coredns.kubeconfig
        ttl 5
    }
}
. {
    bind $NODE_ADDRESS
    errors
    template ANY ANY {
        rcode NXDOMAIN
    }
}
END
    cat >"$STATE/config/dns-access.yaml" <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
  - {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: system:coredns}]
END
}
