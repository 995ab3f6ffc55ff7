#!/usr/bin/env bash
# cloudevents 2.2.0 (Python): an event that is read from Kafka and written again is another event.
#
# Reading turns the record's key into an extension attribute "partitionkey" that the producer never set, so the copy
# carries a header ce_partitionkey; and ce_time loses what it has below a microsecond. A relay, or a dead-letter topic,
# therefore changes what it passes on, and a signature or hash over the attributes no longer fits. A key that is not
# UTF-8 (a binary id, which Kafka allows) makes the whole record unreadable: UnicodeDecodeError.
#
# Seen:  ce_partitionkey b'order-1'   ce_time b'2026-01-02T03:04:05.123456Z'   binary key: UnicodeDecodeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0 python-dateutil==2.9.0.post0
"$folder/venv/bin/python" - <<'PY'
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat

headers = {
    "ce_specversion": b"1.0", "ce_type": b"order.moved", "ce_source": b"/orders", "ce_id": b"1",
    "ce_time": b"2026-01-02T03:04:05.123456789Z", "content-type": b"application/json",
}
record = kafka.KafkaMessage(headers=headers, key=b"order-1", value=b'{"phase":"Cooking"}')
copy = kafka.to_binary(kafka.from_kafka(record, JSONFormat()), JSONFormat())
try:
    kafka.from_kafka(kafka.KafkaMessage(headers=headers, key=bytes([0xC3, 0x28, 0xA0, 0xA1]), value=b"{}"), JSONFormat())
    binary_key = "read"
except UnicodeDecodeError as error:
    binary_key = type(error).__name__
print("ce_partitionkey", copy.headers["ce_partitionkey"], "  ce_time", copy.headers["ce_time"], "  binary key:", binary_key)
assert "ce_partitionkey" not in headers
assert copy.headers["ce_partitionkey"] == b"order-1", "this has changed"
assert copy.headers["ce_time"] == b"2026-01-02T03:04:05.123456Z", "this has changed"
assert binary_key == "UnicodeDecodeError", "this has changed"
PY
