#!/usr/bin/env bash
# cloudevents 2.2.0 (Python), cloudevents 10.0.0 (Node) and sdk-go 2.16.2: null in a JSON event is not "left out".
#
# The JSON format lets a producer write null for an attribute that is not set (as what serialises a record type does),
# and a reader must take that as if it were not there. Python refuses such an event for subject, dataschema and
# datacontenttype as a value of the wrong type, fails on time with a TypeError, and keeps an extension as None.
# Node keeps an extension as null, and so hands null over as a header when it passes the event on. Go takes all of them,
# but of datacontenttype it makes an empty string: the event that it has just read does not pass its own Validate(), so
# its client does not send it on. So leave unset attributes out.
#
# Seen:  subject, dataschema, datacontenttype, time, extension:
#        python: CloudEventValidationError thrice, TypeError, None   node: unset four times, null
#        go: valid and unset, but for datacontenttype: invalid
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check cloudevents==2.2.0 python-dateutil==2.9.0.post0
venv/bin/python - <<'PY'
import json
from cloudevents.core.formats.json import JSONFormat

def read(name):
    event = {"specversion": "1.0", "type": "order.moved", "source": "/orders", "id": "1", name: None}
    try:
        attributes = JSONFormat().read(None, json.dumps(event)).get_attributes()
    except Exception as error:
        return type(error).__name__
    return repr(attributes[name]) if name in attributes else "unset"

seen = [read(name) for name in ("subject", "dataschema", "datacontenttype", "time", "shopid")]
print("python:", *seen)
assert seen == ["CloudEventValidationError"] * 3 + ["TypeError", "None"], "this has changed"
PY
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0
cat > seen.js <<'JS'
const assert = require("assert");
const { HTTP } = require("cloudevents");

const read = (name) => {
  const body = JSON.stringify({ specversion: "1.0", type: "order.moved", source: "/orders", id: "1", [name]: null });
  const event = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body });
  // time is then the time of reading
  return event[name] === null ? "null" : "unset";
};
const seen = ["subject", "dataschema", "datacontenttype", "time", "shopid"].map(read);
const relayed = HTTP.binary(HTTP.toEvent({
  headers: { "content-type": "application/cloudevents+json" },
  body: '{"specversion":"1.0","type":"order.moved","source":"/orders","id":"1","shopid":null}',
})).headers;
console.log("node:", ...seen, "  header", relayed["ce-shopid"]);
assert.deepStrictEqual(seen, ["unset", "unset", "unset", "unset", "null"], "this has changed");
assert.strictEqual(relayed["ce-shopid"], null, "this has changed");
JS
node seen.js
cat > seen.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
)

func main() {
	for _, name := range []string{"subject", "dataschema", "datacontenttype", "time", "shopid"} {
		var read event.Event
		text := `{"specversion":"1.0","type":"order.moved","source":"/orders","id":"1","` + name + `":null}`
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			fmt.Println(name, err)
			continue
		}
		written, _ := json.Marshal(read)
		var again map[string]any
		json.Unmarshal(written, &again)
		value, set := again[name]
		fmt.Printf("go: %s valid %t set %t empty %t\n", name, read.Validate() == nil, set, value == "")
	}
}
GO
go mod init seen 2>/dev/null
go get github.com/cloudevents/sdk-go/v2@v2.16.2 2>/dev/null
go run seen.go > seen.txt
cat seen.txt
diff seen.txt - <<'SEEN'
go: subject valid true set false empty false
go: dataschema valid true set false empty false
go: datacontenttype valid false set true empty true
go: time valid true set false empty false
go: shopid valid true set false empty false
SEEN
