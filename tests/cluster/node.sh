#!/usr/bin/env bash
# A real single-node Kubernetes on a Debian 12 machine, without Docker and
# without downloading a release: the control plane and the kubelet are built
# from Debian's own `kubernetes` source package; the runtime is Debian's
# containerd with runc and the CNI bridge plugin.
#
#   node.sh build            build the binaries once into the cache (about 5 minutes on 2 cores)
#   node.sh up               start etcd, apiserver, controllers, scheduler, proxy, containerd, kubelet
#   node.sh status           succeed if it is up
#   node.sh images           list the images the node has
#   node.sh pull IMAGE       pull an image ahead of the pods that want it
#   node.sh load IMAGE.tar   import an OCI or docker archive into the node
#   node.sh env              print the exports a client needs (KUBECONFIG, NODE_IP, PATH)
#   node.sh down             stop and remove everything that `up` made
#
# Runs as root. State: $NODE_DIR (default /var/tmp/k8s-node). Binaries: $NODE_CACHE
# (default ~/.cache/k8s-node/1.20.2). Pods get addresses in 10.88.0.0/16; the host is
# reachable from pods at 10.88.0.1, and every server here listens there or on loopback.
# Image pulls go to http://10.88.0.1:5000, whatever registry a reference names.
# There is no cluster DNS.
set -euo pipefail
export LC_ALL=C.UTF-8

VERSION=1.20.2
NODE_DIR=${NODE_DIR:-/var/tmp/k8s-node}
NODE_CACHE=${NODE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/k8s-node/$VERSION}
NODE_IP=10.88.0.1
POD_CIDR=10.88.0.0/16
SERVICE_CIDR=10.96.0.0/24
SERVICE_IP=10.96.0.1
ETCD=http://127.0.0.1:12379
API=https://$NODE_IP:16443
REGISTRY=http://$NODE_IP:5000
BINARIES=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl)
PROCESSES=(kubelet proxy scheduler controllers containerd apiserver etcd)
PAUSE_IMAGE=docker.io/local/pause:1
BRIDGE=k8s-node0
RUN_DIR=/run/k8s-node
SOCKET=$RUN_DIR/containerd.sock
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { echo "node: $*" >&2; }
die() { say "$*"; exit 1; }
ctr_() { ctr --address "$SOCKET" --namespace k8s.io "$@"; }

wait_for() { # TENTHS COMMAND...: until it succeeds
    local left=$1; shift
    until "$@" >/dev/null 2>&1; do
        [ $((left -= 1)) -gt 0 ] || return 1
        sleep 0.1
    done
}

build() {
    local b missing=
    for b in "${BINARIES[@]}"; do [ -x "$NODE_CACHE/bin/$b" ] || missing=1; done
    [ -n "$missing" ] || [ ! -e "$NODE_CACHE/pause.tar" ] || return 0
    "$HERE/debian.sh" install golang-go golang-github-modern-go-reflect2-dev gcc libc6-dev make \
        rsync jq dpkg-dev python3
    work=$(mktemp -d /var/tmp/k8s-build.XXXXXX)
    trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT # the Go module tree is read-only
    mkdir -p "$NODE_CACHE/bin"
    build_pause
    [ -z "$missing" ] || build_kubernetes
}

build_kubernetes() {
    # The source package is Debian 12's; a private apt configuration leaves the
    # machine's own sources alone.
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    echo "deb-src $("$HERE/debian.sh" mirror) bookworm main" >"$work/apt/sources.list"
    local apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent
        -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    (cd "$work" && "${apt[@]}" source --download-only kubernetes)
    local src=$work/go/src/k8s.io/kubernetes
    mkdir -p "$src"
    tar xzf "$work"/kubernetes_*.orig.tar.gz -C "$src" --strip-components=1
    # reflect2 1.0.1, vendored in 1.20, crashes when built with Go 1.18 or later:
    # Debian's own 1.0.2 takes its place.
    rm -rf "$src/vendor/github.com/modern-go/reflect2"
    cp -rL /usr/share/gocode/src/github.com/modern-go/reflect2 "$src/vendor/github.com/modern-go/reflect2"
    rm -f "$src"/vendor/github.com/modern-go/reflect2/*_test.go
    say "building Kubernetes $VERSION (about 5 minutes on 2 cores)"
    (cd "$src" && GOPATH=$work/go GO111MODULE=off CGO_ENABLED=0 \
        KUBE_GIT_VERSION=v$VERSION KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 KUBE_GIT_TREE_STATE=clean KUBE_GIT_COMMIT=debian \
        make WHAT="${BINARIES[*]/#/cmd/}" GOFLAGS='' GOLDFLAGS='-s -w' >"$work/build.log" 2>&1) ||
        { tail -40 "$work/build.log" >&2; die "the build failed"; }
    local b
    for b in "${BINARIES[@]}"; do install -m 755 "$src/_output/bin/$b" "$NODE_CACHE/bin/$b"; done
}

build_pause() { # the image every pod is held open with: one static program that waits
    mkdir -p "$work/pause"
    gcc -static -O2 -o "$work/pause/pause" -x c - <<'C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) ; }
int main(void) { signal(SIGTERM, stop); signal(SIGINT, stop); signal(SIGCHLD, reap); for (;;) pause(); }
C
    "$HERE/image.py" "$NODE_CACHE/pause.tar" $PAUSE_IMAGE "$work/pause" /pause
}

start() { # NAME PROGRAM ARGUMENT...: in the background, remembered as NAME
    local name=$1; shift
    # It writes its own number: no interruption comes between the start and the record.
    (echo "$BASHPID $1" >"$NODE_DIR/pid/$name" && exec setsid "$@") >"$NODE_DIR/log/$name.log" 2>&1 </dev/null &
}

pid_of() { # NAME: fail where it does not run
    local pid program
    [ -e "$NODE_DIR/pid/$1" ] && read -r pid program <"$NODE_DIR/pid/$1" &&
        # After a reboot the number may be another process's.
        [[ $(readlink "/proc/$pid/exe") == */"$program" ]] && echo "$pid"
}

stop() { # NAME...: at once, for their state is thrown away
    local name pid
    for name in "$@"; do
        pid=$(pid_of "$name") || continue
        kill -KILL "$pid"
        wait_for 100 test ! -e "/proc/$pid/exe" || die "$name does not end"
    done
}

certificates() {
    local pki=$NODE_DIR/pki
    "$HERE/pki.sh" "$pki" apiserver IP:$NODE_IP IP:$SERVICE_IP DNS:kubernetes.default.svc
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$pki/sa.key"
    openssl pkey -in "$pki/sa.key" -pubout -out "$pki/sa.pub"
}

kubeconfig() {
    : >"$KUBECONFIG" # kubectl warns about a missing file
    local token; token=$(openssl rand -hex 16)
    (umask 077; echo "$token,admin,1,\"system:masters\"" >"$NODE_DIR/pki/tokens.csv")
    {
        kubectl config set-cluster node --server=$API --certificate-authority="$NODE_DIR/pki/ca.crt" --embed-certs
        kubectl config set-credentials admin --token="$token"
        kubectl config set-context node --cluster=node --user=admin
        kubectl config use-context node
    } >/dev/null
}

healthy() {
    local name
    for name in "${PROCESSES[@]}"; do pid_of "$name" >/dev/null || return 1; done
    ctr_ version >/dev/null 2>&1 &&
        (exec 3<>/dev/tcp/127.0.0.1/10248) 2>/dev/null && # the kubelet
        KUBECONFIG=$NODE_DIR/kubeconfig "$NODE_CACHE/bin/kubectl" --request-timeout=3s get --raw /readyz >/dev/null 2>&1
}

up() {
    [ "$(id -u)" = 0 ] || die "up needs root"
    healthy && { say "already up"; return; }
    build
    "$HERE/debian.sh" install etcd-server containerd runc containernetworking-plugins iptables iproute2 \
        conntrack socat openssl procps
    down # what an earlier node left behind
    mkdir -p "$NODE_DIR"/{pki,log,pid,cni,certs.d/_default} $RUN_DIR
    export PATH=$NODE_CACHE/bin:$PATH KUBECONFIG=$NODE_DIR/kubeconfig
    certificates
    kubeconfig
    ip link add $BRIDGE type bridge
    ip addr add $NODE_IP/16 dev $BRIDGE
    ip link set $BRIDGE up
    iptables -t nat -A POSTROUTING -s $POD_CIDR ! -d $POD_CIDR -m comment --comment k8s-node -j MASQUERADE
    sysctl -qw net.ipv4.ip_forward=1
    start_control_plane
    start_containerd
    start_kubelet
    kubectl apply -f - >/dev/null <<C
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: hostpath, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/host-path
C
    wait_for 600 kubectl get node node1 # `kubectl wait` fails at once where it is not registered yet
    kubectl wait --for=condition=Ready --timeout=60s node/node1 >/dev/null || die "the node is not ready: $NODE_DIR/log/kubelet.log"
    # A pod made before its namespace has the default service account is refused.
    wait_for 300 kubectl get serviceaccount default || die "no default service account: $NODE_DIR/log/controllers.log"
    say "ready: KUBECONFIG=$KUBECONFIG"
}

start_control_plane() {
    start etcd etcd --data-dir "$NODE_DIR/etcd" --unsafe-no-fsync --listen-client-urls $ETCD \
        --advertise-client-urls $ETCD --listen-peer-urls http://127.0.0.1:12380
    start apiserver kube-apiserver --etcd-servers=$ETCD --bind-address=$NODE_IP --secure-port=${API##*:} \
        --tls-cert-file="$NODE_DIR/pki/apiserver.crt" --tls-private-key-file="$NODE_DIR/pki/apiserver.key" \
        --token-auth-file="$NODE_DIR/pki/tokens.csv" --service-account-key-file="$NODE_DIR/pki/sa.pub" \
        --service-account-signing-key-file="$NODE_DIR/pki/sa.key" --service-account-issuer=https://kubernetes.default.svc \
        --service-cluster-ip-range=$SERVICE_CIDR --authorization-mode=Node,RBAC --allow-privileged=true \
        --kubelet-preferred-address-types=InternalIP
    wait_for 450 kubectl get --raw /readyz || die "the apiserver did not come up: $NODE_DIR/log/apiserver.log"
    start controllers kube-controller-manager --kubeconfig="$KUBECONFIG" --port=0 --bind-address=127.0.0.1 --leader-elect=false \
        --root-ca-file="$NODE_DIR/pki/ca.crt" --service-account-private-key-file="$NODE_DIR/pki/sa.key" --enable-hostpath-provisioner
    start scheduler kube-scheduler --kubeconfig="$KUBECONFIG" --port=0 --bind-address=127.0.0.1 --leader-elect=false
    start proxy kube-proxy --kubeconfig="$KUBECONFIG" --hostname-override=node1 --cluster-cidr=$POD_CIDR \
        --healthz-bind-address=127.0.0.1:10256 --nodeport-addresses=$POD_CIDR,127.0.0.0/8 \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}

start_containerd() {
    cat >"$NODE_DIR/cni/10-bridge.conflist" <<C
{"cniVersion": "0.4.0", "name": "k8s-node", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$NODE_DIR/ipam", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
    printf '[host."%s"]\n  capabilities = ["pull", "resolve"]\n' $REGISTRY >"$NODE_DIR/certs.d/_default/hosts.toml"
    # restrict_oom_score_adj: a sandboxed root may not lower its OOM score.
    cat >"$NODE_DIR/containerd.toml" <<C
version = 2
root = "$NODE_DIR/containerd"
state = "$RUN_DIR/containerd"
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$NODE_DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$NODE_DIR/certs.d"
C
    start containerd containerd -c "$NODE_DIR/containerd.toml"
    wait_for 100 ctr_ version || die "containerd did not come up: $NODE_DIR/log/containerd.log"
    load "$NODE_CACHE/pause.tar"
}

start_kubelet() {
    # The node tells at most every nodeStatusUpdateFrequency that it has become ready.
    # By default it makes five requests in a second, and a pod that stops waits behind its events.
    # Anyone who reaches 10.88.0.1 may use the kubelet's API: this node runs tests only.
    cat >"$NODE_DIR/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: 100Mi}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
syncFrequency: 10s
nodeStatusUpdateFrequency: 1s
kubeAPIQPS: 100
kubeAPIBurst: 200
C
    # --containerd: cAdvisor looks for it elsewhere, for five seconds.
    start kubelet kubelet --config="$NODE_DIR/kubelet.yaml" --kubeconfig="$KUBECONFIG" --hostname-override=node1 --node-ip=$NODE_IP \
        --container-runtime=remote --container-runtime-endpoint=unix://"$SOCKET" \
        --containerd="$SOCKET" --root-dir="$NODE_DIR/kubelet" --cert-dir="$NODE_DIR/pki"
}

load() { ctr_ images import "$1" >/dev/null; }

mounts() { awk -v a="$NODE_DIR/" -v b="$RUN_DIR/" 'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts | sort -r; }

down() {
    [ -d "$NODE_DIR" ] || return 0
    local pid m table
    stop "${PROCESSES[@]}"
    # Each pod's processes hang on a shim, which outlives containerd by design.
    for pid in $(pgrep -f "^/usr/bin/containerd-shim.* -address $SOCKET"); do
        # A process that ended by itself meanwhile is none to kill.
        pkill -KILL -P "$pid" || true
        kill -KILL "$pid" 2>/dev/null || true
    done
    for m in $(mounts); do umount --lazy "$m"; done
    [ -z "$(mounts)" ] || die "something is still mounted under $NODE_DIR"
    [ ! -e /sys/class/net/$BRIDGE ] || ip link del $BRIDGE
    for table in mangle filter nat; do
        iptables-save -c -t $table | grep -vE 'KUBE-|k8s-node' | iptables-restore -c -T $table
    done
    # Busy until the last process of a pod is gone.
    wait_for 50 find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + || die "a pod does not end"
    # What kubelet, containerd and the plugins keep in places of their own choice.
    rm -rf /var/log/{pods,containers} /var/lib/cni/results/{k8s-node,cni-loopback}-* /run/containerd/runc/k8s.io /tmp/hostpath_pv
    rm -rf "$NODE_DIR" $RUN_DIR
}

case "${1:-}" in
    build) build ;;
    up) up ;;
    status) healthy ;;
    images) ctr_ images ls -q ;;
    pull) ctr_ images pull --hosts-dir "$NODE_DIR/certs.d" "$2" >/dev/null ;;
    load) load "$2" ;;
    env) echo "export KUBECONFIG=$NODE_DIR/kubeconfig NODE_IP=$NODE_IP PATH=$NODE_CACHE/bin:\$PATH" ;;
    down) down ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
