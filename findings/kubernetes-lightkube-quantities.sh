#!/usr/bin/env bash
# lightkube 1.0.1 (Python) beside apimachinery 0.35.4: what the metrics API writes of CPU time is no quantity to the client.
#
# metrics-server tells CPU time in billionths of a core, and apimachinery writes such a number with the suffix n, or u
# where it comes out even. lightkube's parse_quantity, made for comparing what a server shows, knows neither and raises;
# it fails on almost every PodMetrics and NodeMetrics, while requests and limits, which are written in m, are read. Its
# table has Z, Y, Zi and Yi instead, which Kubernetes refuses. A capital E before an exponent, which Kubernetes takes,
# raises too.
#
# Seen:  12345678n, 25u and 1E3 raise "Invalid unit suffix"; 25m and 1e3 are read; 1Z is read as 10^21, refused by Go
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check lightkube==1.0.1 lightkube-models==1.37.0.8
cat > server.go <<'GO'
package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	for _, billionths := range []int64{12345678, 25000, 25000000} {
		fmt.Println(resource.NewScaledQuantity(billionths, resource.Nano).String())
	}
	for _, text := range []string{"1E3", "1Z"} {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			fmt.Println(text, "refused")
			continue
		}
		fmt.Println(text, "taken, written", quantity.String())
	}
}
GO
go mod init server 2>/dev/null
go get k8s.io/apimachinery/pkg/api/resource@v0.35.4 2>/dev/null
diff <(go run server.go) - <<'SEEN'
12345678n
25u
25m
1E3 taken, written 1E3
1Z refused
SEEN
cat > client.py <<'PY'
from lightkube.utils.quantity import parse_quantity

for text in ("12345678n", "25u", "25m", "1E3", "1e3", "1Z"):
    try:
        print(text, parse_quantity(text).normalize())
    except ValueError as error:
        print(text, error)
PY
diff <(venv/bin/python client.py) - <<'SEEN'
12345678n Invalid unit suffix: n
25u Invalid unit suffix: u
25m 0.025
1E3 Invalid unit suffix: E3
1e3 1E+3
1Z 1E+21
SEEN
echo "lightkube 1.0.1 reads no CPU usage of the metrics API: n and u are not in its table"
