#!/usr/bin/env bash
# httpx-sse 0.4.3 (Python) and @microsoft/fetch-event-source 2.0.1: a keep-alive comes out as an empty event.
#
# A server sends a comment and a blank line every few seconds so that proxies keep the stream open; axum's KeepAlive
# does. By the HTML standard a comment is ignored, and a blank line dispatches nothing while there is no data. httpx-sse
# does so only until the first event with an id: from then on it yields an event of type "message" without data for each
# keep-alive, so json() fails on an idle stream, and a test whose events have no id never sees it. fetch-event-source
# calls onmessage for every one, from the first, and loses data of empty lines. It is what one takes in a browser to
# send a token along, which EventSource cannot. eventsource-parser 3.1.1 does as the standard has it. Skip what has no
# data.
#
# Seen:  comment, event, event with id, comment, comment, data of two empty lines
#        eventsource-parser ["a","b","\n"]   httpx-sse ["a","b","","","\n"]   fetch-event-source ["","a","b","","",""]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf ':\n\ndata: a\n\nid: 7\ndata: b\n\n:\n\n:\n\ndata:\ndata:\n\n' > stream
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check httpx==0.28.1 httpx-sse==0.4.3
venv/bin/python - <<'PY'
import httpx
from httpx_sse import EventSource

response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=open("stream", "rb").read())
seen = [event.data for event in EventSource(response).iter_sse()]
print("httpx-sse", seen)
assert seen == ["a", "b", "", "", "\n"], "this has changed"
PY
npm init -y >/dev/null
npm install --silent --no-audit --no-fund eventsource-parser@3.1.1 @microsoft/fetch-event-source@2.0.1
cat > seen.mjs <<'JS'
import assert from "assert";
import { readFileSync } from "fs";
import { createParser } from "eventsource-parser";
import { fetchEventSource } from "@microsoft/fetch-event-source";

const stream = readFileSync("stream", "utf8");
const parsed = [];
createParser({ onEvent: (event) => parsed.push(event.data) }).feed(stream);
console.log("eventsource-parser", JSON.stringify(parsed));
assert.deepStrictEqual(parsed, ["a", "b", "\n"], "this has changed");

// What it uses of a browser.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const fetched = [];
await fetchEventSource("http://localhost/", {
  fetch: async () => new Response(stream, { headers: { "content-type": "text/event-stream" } }),
  openWhenHidden: true,
  onmessage: (event) => fetched.push(event.data),
});
console.log("fetch-event-source", JSON.stringify(fetched));
assert.deepStrictEqual(fetched, ["", "a", "b", "", "", ""], "this has changed");
JS
node seen.mjs
