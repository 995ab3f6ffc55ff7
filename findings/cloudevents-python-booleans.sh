#!/usr/bin/env bash
# cloudevents 2.2.0 (Python): a Boolean attribute leaves as "True".
#
# CloudEvents names one string for each type of attribute: a Boolean is "true" or "false", in small letters. The new
# core of the Python SDK takes Python's str() of the value in binary mode, over HTTP as over Kafka; in structured mode
# the same event has the JSON value true. So a consumer that reads the attribute as the specification has it sees
# neither true nor false, and sees it only when the producer uses binary mode.
#
# Seen:  kafka b'True'   http 'True'   structured true
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0 python-dateutil==2.9.0.post0
"$folder/venv/bin/python" - <<'PY'
import json
from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

event = CloudEvent(attributes={"type": "order.moved", "source": "/orders", "id": "1", "repeated": True}, data={})
over_kafka = kafka.to_binary(event, JSONFormat()).headers["ce_repeated"]
over_http = http.to_binary(event, JSONFormat()).headers["ce-repeated"]
structured = json.loads(kafka.to_structured(event, JSONFormat()).value)["repeated"]
print("kafka", over_kafka, "  http", repr(over_http), "  structured", json.dumps(structured))
assert over_kafka == b"True" and over_http == "True" and structured is True, "this has changed"
PY
