#!/usr/bin/env bash
# @platformatic/kafka 1.35.0 beside kafkajs 2.2.4 and kafka-python 3.0.12: half of the keys go to another partition,
# unless the number of partitions is a power of two.
#
# It has the murmur2 of the Java client, but takes the hash as an unsigned number where Java, and all who follow it,
# clear the sign. The two differ by 2 to the 31st, which is nothing modulo 1, 2, 4 or 8: a test topic of one or four
# partitions agrees for every key, and one of three, six or twelve disagrees for each key whose hash is negative. Two
# services that write the same order's events are then in no order, a compacted topic keeps two records for one key, and
# a join of two topics by partition misses half. There is a compatibilityPartitioner, which one has to ask for.
#
# Seen:  keys of 1000 that differ, by partitions: 1: 0  2: 0  3: 499  4: 0  6: 499  8: 0  12: 499   compatibility: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @platformatic/kafka@1.35.0 kafkajs@2.2.4
cat > seen.mjs <<'JS'
import assert from "assert";
import { writeFileSync } from "fs";
import { compatibilityPartitioner, defaultPartitioner } from "@platformatic/kafka";
import kafkajs from "kafkajs";

const keys = [...Array(1000).keys()].map((at) => Buffer.from("order-" + at));
const java = kafkajs.Partitioners.DefaultPartitioner();
const wanted = {};
const differing = (partitioner, count) => {
  const partitionMetadata = [...Array(count).keys()].map((partitionId) => ({ partitionId, leader: 1 }));
  const expected = keys.map((key) => java({ topic: "orders", partitionMetadata, message: { key } }));
  wanted[count] = expected;
  return expected.filter((partition, at) => partitioner({}, keys[at]) % count !== partition).length;
};
const counts = [1, 2, 3, 4, 6, 8, 12];
const seen = counts.map((count) => differing(defaultPartitioner, count));
const asked = counts.map((count) => differing(compatibilityPartitioner, count));
console.log(counts.map((count, at) => count + ": " + seen[at]).join("  "), "  compatibility:", ...asked);
writeFileSync("wanted.json", JSON.stringify(wanted));
assert(seen.every((n, at) => [3, 6, 12].includes(counts[at]) ? n > 400 : n === 0), "this has changed");
assert(asked.every((n) => n === 0), "this has changed");
JS
node seen.mjs
# The others agree with each other.
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check kafka-python==3.0.12
venv/bin/python - <<'PY'
import json
from kafka.partitioner.default import murmur2

for count, partitions in json.load(open("wanted.json")).items():
    assert partitions == [(murmur2(b"order-%d" % at) & 0x7fffffff) % int(count) for at in range(1000)]
PY
