#!/usr/bin/env bash
# cloudevents 10.0.0 (Node): the HTTP binding neither encodes nor decodes what is outside ASCII, and cuts the time.
#
# The HTTP binding of CloudEvents has header values percent-encoded. HTTP.binary() leaves a Korean subject as it is, so
# Node's own http module refuses to send it (ERR_INVALID_CHAR); HTTP.toEvent() leaves a subject encoded that a conforming
# sender has encoded. The time is cut to milliseconds over HTTP in both directions, while Kafka.binary() of the same
# event keeps all digits: one event has two times, by the way that it went.
#
# Seen:  sent 김치   node: ERR_INVALID_CHAR   received %EA%B9%80%EC%B9%98
#        http 2026-01-02T03:04:05.123Z   kafka 2026-01-02T03:04:05.123456789Z
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0
cat > seen.js <<'JS'
const assert = require("assert");
const http = require("http");
const { CloudEvent, HTTP, Kafka } = require("cloudevents");

const event = new CloudEvent({
  type: "order.moved", source: "/orders", id: "1", subject: "김치", time: "2026-01-02T03:04:05.123456789Z", data: { phase: "Cooking" },
});
const sent = HTTP.binary(event).headers;
let node = "taken";
try { http.validateHeaderValue("ce-subject", sent["ce-subject"]); } catch (error) { node = error.code; }
const received = HTTP.toEvent({
  headers: { "ce-specversion": "1.0", "ce-type": "order.moved", "ce-source": "/orders", "ce-id": "1", "ce-subject": "%EA%B9%80%EC%B9%98" },
  body: "",
});
console.log("sent", sent["ce-subject"], "  node:", node, "  received", received.subject);
const kafka = Kafka.binary(event).headers["ce_time"];
console.log("http", sent["ce-time"], "  kafka", kafka);
assert.deepStrictEqual([sent["ce-subject"], node, received.subject], ["김치", "ERR_INVALID_CHAR", "%EA%B9%80%EC%B9%98"], "this has changed");
assert.deepStrictEqual([sent["ce-time"], kafka], ["2026-01-02T03:04:05.123Z", "2026-01-02T03:04:05.123456789Z"], "this has changed");
JS
node seen.js
