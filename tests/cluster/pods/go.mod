// Programs that run in pods of a local cluster; they need nothing but the standard library.
module trackway.dev/tests/cluster/pods

go 1.26.0
