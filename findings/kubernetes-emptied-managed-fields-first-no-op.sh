#!/usr/bin/env bash
# Kubernetes 1.36.3 (kube-apiserver, etcd 3.6): the first request that changes nothing is written after all, where an
# admission policy has emptied a custom object's managed fields at its creation.
#
# A MutatingAdmissionPolicy that sets /metadata/managedFields to [] at CREATE ends the tracking of fields for the life
# of the object, which makes writes cheaper. Every answer leaves the empty list out. In etcd it stands, until the object
# is encoded again: so a patch of what is there already gets a new resourceVersion, once, and every watcher an event with
# nothing new in it; the second such patch writes nothing, as usual. Who counts writes, or takes a new version for a
# change, is wrong by one for every object.
#
# Seen:  tracked: same version, same version    emptied: newer version, same version
set -euo pipefail
folder=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT
cd "$folder"

# The control plane, from its own modules: some minutes.
cat > go.mod <<'MOD'
module seen
go 1.26.0
MOD
# Its parts are of version 0.0.0 in its own go.mod; published they are 0.36.3.
for part in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap \
  code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming \
  csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator \
  kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission \
  sample-apiserver sample-cli-plugin sample-controller streaming; do
  go mod edit -replace "k8s.io/$part=k8s.io/$part@v0.36.3"
done
go get -tool k8s.io/kubernetes/cmd/kube-apiserver@v1.36.3 k8s.io/kubernetes/cmd/kubectl@v1.36.3 \
  go.etcd.io/etcd/server/v3@v3.6.8 2> get.log
mkdir bin
# It does not start without its version.
CGO_ENABLED=0 GOBIN="$folder/bin" go install -ldflags "-s -w $(printf ' -X k8s.io/component-base/version.%s' \
  gitVersion=v1.36.3 gitMajor=1 gitMinor=36)" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl \
  go.etcd.io/etcd/server/v3

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
etcd=$(port) server=$(port)
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
echo 'word,admin,admin,system:masters' > tokens.csv
bin/server --data-dir etcd --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
  --listen-peer-urls http://127.0.0.1:0 > etcd.log 2>&1 &
bin/kube-apiserver --etcd-servers "http://127.0.0.1:$etcd" --secure-port "$server" --bind-address 127.0.0.1 \
  --cert-dir certs --token-auth-file tokens.csv --authorization-mode RBAC --service-account-key-file sa.pub \
  --service-account-signing-key-file sa.key --service-account-issuer https://kubernetes.default.svc \
  --service-cluster-ip-range 10.0.0.0/24 --endpoint-reconciler-type none > server.log 2>&1 &
kubectl() {
  HOME=$folder bin/kubectl --server "https://127.0.0.1:$server" --insecure-skip-tls-verify --token word "$@"
}
for _ in $(seq 120); do kubectl get --raw /readyz > /dev/null 2>&1 && break; sleep 1; done
for _ in $(seq 60); do kubectl get namespace default > /dev/null 2>&1 && break; sleep 1; done

kubectl apply -f - > /dev/null <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: notes.example.com }
spec:
  group: example.com
  names: { kind: Note, plural: notes }
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: { openAPIV3Schema: { type: object, properties: { word: { type: string } } } }
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: { name: untracked }
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
      - { apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [notes] }
  matchConditions:
    - { name: wanted, expression: "object.metadata.name.startsWith('emptied')" }
  mutations:
    - patchType: JSONPatch
      jsonPatch: { expression: "[JSONPatch{op: 'add', path: '/metadata/managedFields', value: []}]" }
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: { name: untracked }
spec: { policyName: untracked }
YAML
sleep 5
see() {
  local before after said=()
  before=$(kubectl create -o 'jsonpath={.metadata.resourceVersion}' -f - <<YAML
{ apiVersion: example.com/v1, kind: Note, metadata: { name: $1 }, word: one }
YAML
)
  for _ in 1 2; do
    after=$(kubectl patch note "$1" --type merge -p '{"word":"one"}' -o 'jsonpath={.metadata.resourceVersion}')
    if [ "$after" = "$before" ]; then said+=("same version"); else said+=("newer version"); fi
    before=$after
  done
  echo "$1: ${said[0]}, ${said[1]}"
}
diff <(see tracked; see emptied) - <<'SEEN'
tracked: same version, same version
emptied: newer version, same version
SEEN
echo "1.36.3 writes an object without managed fields once more when somebody changes nothing"
