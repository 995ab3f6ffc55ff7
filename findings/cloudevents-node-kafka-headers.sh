#!/usr/bin/env bash
# cloudevents 10.0.0 (Node) beside kafkajs 2.2.4: what one hands over is not what the other takes, in both directions.
#
# kafkajs gives a consumer its headers as Buffers. Kafka.toEvent() of the CloudEvents SDK expects strings and fails on
# them with "contentType.startsWith is not a function". With the headers turned into strings it takes the record, and
# puts the key, a Buffer too, as such into the extension attribute "partitionkey". The other way round Kafka.binary()
# hands over the data as an object and numbers and Booleans as they are, which kafkajs does not encode, and writes the
# content type twice: as content-type, which the Kafka binding has, and as ce_datacontenttype, which it has not.
#
# Seen:  headers from kafkajs: Buffer   read: contentType.startsWith is not a function   partitionkey: Buffer
#        written: value object, ce_replayed boolean, ce_datacontenttype application/json   encoded: TypeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cloudevents@10.0.0 kafkajs@2.2.4
cat > seen.js <<'JS'
const assert = require("assert");
const { CloudEvent, Kafka } = require("cloudevents");
const record = require("kafkajs/src/protocol/recordBatch/record/v0");
const decode = require("kafkajs/src/protocol/recordBatch/record/v0/decoder");
const Decoder = require("kafkajs/src/protocol/decoder");

const plain = {
  "ce_specversion": "1.0", "ce_type": "order.moved", "ce_source": "/orders", "ce_id": "1", "content-type": "application/json",
};
// As a producer encodes a record and a consumer decodes it.
const wire = (message) => {
  const encoded = record({ timestamp: 0, ...message });
  const decoder = new Decoder(encoded.buffer);
  decoder.readVarInt(); // the record's length
  return decode(decoder, { firstOffset: "0", firstTimestamp: "0", magicByte: 2, isControlBatch: false });
};
const received = wire({ key: "order-1", value: '{"phase":"Cooking"}', headers: plain });
const headers = Buffer.isBuffer(received.headers.ce_id) ? "Buffer" : typeof received.headers.ce_id;
let read = "taken";
try { Kafka.toEvent(received); } catch (error) { read = error.message; }
const texts = Object.fromEntries(Object.entries(received.headers).map(([name, value]) => [name, value.toString()]));
const event = Kafka.toEvent({ ...received, headers: texts });
const key = Buffer.isBuffer(event.partitionkey) ? "Buffer" : typeof event.partitionkey;
console.log("headers from kafkajs:", headers, "  read:", read, "  partitionkey:", key);

const written = Kafka.binary(new CloudEvent({
  type: "order.moved", source: "/orders", id: "1", datacontenttype: "application/json", replayed: true, data: { phase: "Cooking" },
}));
let encoded = "taken";
try { wire(written); } catch (error) { encoded = error.constructor.name; }
console.log("written: value", typeof written.value + ", ce_replayed", typeof written.headers.ce_replayed
  + ", ce_datacontenttype", written.headers.ce_datacontenttype, "  encoded:", encoded);
assert.deepStrictEqual([headers, read, key], ["Buffer", "contentType.startsWith is not a function", "Buffer"], "this has changed");
assert.deepStrictEqual([typeof written.value, typeof written.headers.ce_replayed, written.headers.ce_datacontenttype, encoded],
  ["object", "boolean", "application/json", "TypeError"], "this has changed");
JS
node seen.js
