#!/usr/bin/env bash
# cloudevents 2.2.0 (Python): an event without data is never a Kafka tombstone, and a tombstone cannot be told from one.
#
# A compacted topic forgets a key when a record with a null value comes. An event without data is written with an empty
# value instead, zero bytes, which compaction keeps for ever; reading an empty value and reading a null one give the same
# event with data None. So whoever means to delete a key by an event without data deletes nothing.
#
# Seen:  written b''   read from b'': None   read from null: None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0 python-dateutil==2.9.0.post0
"$folder/venv/bin/python" - <<'PY'
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

event = CloudEvent(attributes={"type": "order.forgotten", "source": "/orders", "id": "1", "partitionkey": "order-1"}, data=None)
written = kafka.to_binary(event, JSONFormat())
read = lambda value: kafka.from_kafka(kafka.KafkaMessage(headers=written.headers, key=b"order-1", value=value), JSONFormat()).get_data()
print("written", written.value, "  read from b'':", read(b""), "  read from null:", read(None))
assert written.value == b"", "this has changed"
assert read(b"") is None and read(None) is None, "this has changed"
PY
