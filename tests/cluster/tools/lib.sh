# shellcheck shell=bash
# Where the tools of this folder live and how one is built. Sourced, never run.
# A tool is built from source by Go into the user's cache, once per version, and shared by every checkout.

TOOLS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_ROOT=$(dirname "$TOOLS_DIR")
KUBERNETES_DIR=$CLUSTER_ROOT/kubernetes
TOOLS_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/trackway/bin

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# tool_field NAME COLUMN: a column of the versions file; fails for an unknown name.
tool_field() {
    awk -v name="$1" -v column="$2" '$1 == name { print $column; found = 1 } END { exit !found }' "$TOOLS_DIR/versions" ||
        die "unknown tool \"$1\"; known: $(awk '!/^#/ { printf "%s ", $1 }' "$TOOLS_DIR/versions")"
}

# sources_key DIR: a hash of every source file of the Go module, a folder beside this one, that ./MODULE/... is in.
sources_key() {
    local module
    module=$(cut -d/ -f2 <<<"$1")
    (cd "$CLUSTER_ROOT/$module" && find . -name '*.go' -o -name 'go.*' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
}

# tool_path NAME: the full path of the program, whether or not it is built yet.
tool_path() {
    local package version
    package=$(tool_field "$1" 2) || exit 1
    case $package in
        ./*) version=$(sources_key "$package") ;;
        =*) printf '%s\n' "$(dirname "$(tool_path "${package#=}")")/$1" && return ;;
        *) version=${package##*@} ;;
    esac
    printf '%s\n' "$TOOLS_CACHE/$1-$version/$1"
}

# kubernetes_flags: the linker flags that make the programs report their version, which Helm and clients read.
kubernetes_flags() {
    local version variable flags=
    version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$KUBERNETES_DIR/go.mod")
    for variable in "gitVersion=$version" "gitMajor=1" "gitMinor=$(cut -d. -f2 <<<"$version")" "gitTreeState=clean"; do
        flags+=" -X k8s.io/component-base/version.$variable -X k8s.io/client-go/pkg/version.$variable"
    done
    printf '%s\n' "$flags"
}

# compile NAME PACKAGE DIR: one static program into DIR.
compile() {
    local name=$1 package=$2 dir=$3 built
    export CGO_ENABLED=0 GOBIN=$dir GOFLAGS="-trimpath -buildvcs=false"
    case $package in
        ./*) go -C "$CLUSTER_ROOT/$package" build -ldflags "-s -w $(kubernetes_flags)" -o "$dir/$name" . ;;
        *) go install -ldflags '-s -w' "$package" ;;
    esac
    built=$(find "$dir" -type f)
    [[ $built == "$dir/$name" ]] || mv "$built" "$dir/$name"
    # One binary, many names: it looks at the name it was started under.
    [[ $name != kubernetes ]] || ln -s kubernetes "$dir/kubectl"
}
