#!/usr/bin/env bash
# kubernetes 37.0.2 and lightkube 1.0.1 (Python) beside apimachinery 0.35.4: a Lease on the full second is refused.
#
# The times of a Lease, and the eventTime of an Event, are MicroTime: the API server wants six digits of the second, no
# fewer. Both clients hold them as datetime and write isoformat(), which leaves the digits out when they are all zero.
# So a time that was made with replace(microsecond=0) never gets through, one from the clock fails once in a million
# renewals, and a Lease that was read from the server with ...05.000000Z and is sent back as it is, gets a 400. The
# OpenAPI document calls both kinds of time "date-time", so no generated client can know.
#
# Seen:  read ...05.000000Z   written ...05+00:00 and ...05Z: cannot parse as ".000000"   a microsecond later: taken
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check kubernetes==37.0.2 \
  lightkube==1.0.1 lightkube-models==1.37.0.8
cat > relay.py <<'PY'
import json, sys
from kubernetes.client import ApiClient
from lightkube.resources.coordination_v1 import Lease

def relayed(time):
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": time}}
    api = ApiClient()
    by_kubernetes = api.sanitize_for_serialization(api.deserialize(json.dumps(lease), "V1Lease", "application/json"))
    by_lightkube = Lease.from_dict(lease).to_dict()
    return [copy["spec"]["renewTime"] for copy in (by_kubernetes, by_lightkube)]

for time in ("2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.000001Z"):
    print("\n".join([time, *relayed(time)]))
PY
cat > read.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var time v1.MicroTime
		verdict := "taken"
		if err := time.UnmarshalJSON([]byte(`"` + lines.Text() + `"`)); err != nil {
			verdict = err.Error()[strings.Index(err.Error(), "cannot"):]
		}
		fmt.Println(lines.Text(), verdict)
	}
}
GO
go mod init read 2>/dev/null
go get k8s.io/apimachinery/pkg/apis/meta/v1@v0.35.4 2>/dev/null
venv/bin/python relay.py | go run read.go > seen.txt
cat seen.txt
diff seen.txt - <<'SEEN'
2026-01-02T03:04:05.000000Z taken
2026-01-02T03:04:05+00:00 cannot parse "+00:00" as ".000000"
2026-01-02T03:04:05Z cannot parse "Z" as ".000000"
2026-01-02T03:04:05.000001Z taken
2026-01-02T03:04:05.000001+00:00 taken
2026-01-02T03:04:05.000001Z taken
SEEN
