#!/usr/bin/env bash
# cloudevents 2.2.0 (Python), cloudevents 10.0.0 (Node) and sdk-go 2.16.2: what has no time is given one by its reader.
#
# The time of an event says when it happened; it is optional, and only the producer may put the current time for it.
# The SDKs for Python and Node fill it in while they read, so that nobody can tell it from one that was sent: the same
# record, read twice (a redelivery, a replay from offset 0, two consumer groups), has two times, last year's event
# happened just now, and a relay writes the invention into ce_time for all who come after it. Go's leaves it out.
# Whoever orders events by time should look for it in the headers or the document before the SDK does.
#
# Seen:  python: two times for one record, relayed with ce_time   node: likewise with ce-time   go: none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check cloudevents==2.2.0 python-dateutil==2.9.0.post0
venv/bin/python - <<'PY'
import time
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat

headers = {"ce_specversion": b"1.0", "ce_type": b"order.moved", "ce_source": b"/orders", "ce_id": b"1"}
record = kafka.KafkaMessage(headers=headers, key=None, value=b"{}")
first = kafka.from_kafka(record, JSONFormat())
time.sleep(0.01)
second = kafka.from_kafka(record, JSONFormat())
relayed = kafka.to_binary(first, JSONFormat()).headers
print("python: first", first.get_time(), "  second", second.get_time(), "  relayed", relayed.get("ce_time"))
assert first.get_time() < second.get_time() and "ce_time" in relayed, "this has changed"
PY
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0
cat > seen.js <<'JS'
const assert = require("assert");
const { HTTP } = require("cloudevents");

const headers = { "ce-specversion": "1.0", "ce-type": "order.moved", "ce-source": "/orders", "ce-id": "1" };
const first = HTTP.toEvent({ headers: { ...headers }, body: "" });
setTimeout(() => {
  const second = HTTP.toEvent({ headers: { ...headers }, body: "" });
  const relayed = HTTP.binary(first).headers;
  console.log("node: first", first.time, "  second", second.time, "  relayed", relayed["ce-time"]);
  assert(first.time < second.time && relayed["ce-time"] === first.time, "this has changed");
}, 10);
JS
node seen.js
cat > seen.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func main() {
	headers := http.Header{}
	attributes := map[string]string{"specversion": "1.0", "type": "order.moved", "source": "/orders", "id": "1"}
	for name, value := range attributes {
		headers.Set("ce-"+name, value)
	}
	event, err := binding.ToEvent(context.Background(), ce.NewMessage(headers, nil))
	if err != nil || !event.Time().IsZero() {
		fmt.Println("this has changed:", event, err)
		os.Exit(1)
	}
	fmt.Println("go: none")
}
GO
go mod init seen 2>/dev/null
go get github.com/cloudevents/sdk-go/v2@v2.16.2 2>/dev/null
go run seen.go
