#!/usr/bin/env bash
# kubernetes 37.0.2 (Python): the client's new SharedInformer takes no custom resources, and the obvious repair makes
# it deliver the past again each time its watch is renewed.
#
# A list of custom objects is a dict, and the informer reads resp.items: that is the dict's own method. It fails with a
# TypeError, waits five seconds and lists again, for ever; the cache stays empty and only a handler for ERROR hears of
# it. Wrapped so that the list has attributes, it works until the watch ends, by a proxy or by the API server, which
# lets none live longer than an hour. Watch notes a resourceVersion only where it finds a return type on the function
# that it is given; a lambda or a plain wrapper has none, so each new watch begins at the first list's version and
# brings all events since then once more, as long as the server has them: what was deleted long ago is ADDED and
# DELETED again. With "-> object" on the wrapper it goes on where it was, as it does for a built-in kind.
#
# Seen:  as it is: TypeError, cache empty   wrapped: watches from 10 10 10, p ADDED 3 times
#        wrapped, -> object: watches from 10 12 12, p ADDED once   ConfigMaps: the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check kubernetes==37.0.2
"$folder/venv/bin/python" - <<'PY'
import functools, http.server, json, logging, threading, urllib.parse
from types import SimpleNamespace
from kubernetes import client
from kubernetes.informer import ADDED, DELETED, ERROR, SharedInformer

logging.disable(logging.CRITICAL)

def thing(version, name):
    return {"metadata": {"name": name, "namespace": "town", "resourceVersion": str(version)}}

# The list is at version 10; at 11 came p, at 12 it went. A watch brings what is later than its version, and ends.
HISTORY = [("ADDED", 11), ("DELETED", 12)]

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    watches, enough = [], threading.Event()

    def log_message(self, *_):
        pass

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        if query.get("watch", "").lower() == "true":
            since = int(query["resourceVersion"])
            events = [{"type": kind, "object": thing(at, "p")} for kind, at in HISTORY if at > since]
            body = "".join(json.dumps(event) + "\n" for event in events)
            if len(self.watches) == 3:
                self.enough.set()
                body = ""
            else:
                self.watches.append(since)
        else:
            body = json.dumps({"metadata": {"resourceVersion": "10"}, "items": [thing(9, "o")]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
api = client.ApiClient(client.Configuration(host="http://127.0.0.1:%d" % server.server_port))
custom = client.CustomObjectsApi(api)
orders = functools.partial(custom.list_namespaced_custom_object, "example.org", "v1", plural="orders")

def wrapped(**options):
    answer = orders(**options)
    if options.get("watch"):
        return answer
    version = client.V1ListMeta(resource_version=answer["metadata"]["resourceVersion"])
    return SimpleNamespace(items=answer["items"], metadata=version)

def annotated(**options) -> object:
    return wrapped(**options)

def see(what, function):
    Server.watches.clear()
    Server.enough.clear()
    added, failed = [], []
    name = lambda it: it["metadata"]["name"] if isinstance(it, dict) else it.metadata.name
    informer = SharedInformer(function, namespace="town")
    informer.add_event_handler(ADDED, lambda it: added.append(name(it)))
    informer.add_event_handler(ERROR, lambda error: (failed.append(type(error).__name__), Server.enough.set()))
    informer.start()
    assert Server.enough.wait(30)
    cached = informer.cache.list_keys()
    informer.stop()
    seen = (failed[:1], cached, list(Server.watches), added.count("p"))
    print(what + ":", *seen)
    return seen

assert see("as it is", orders) == (["TypeError"], [], [], 0), "this has changed"
assert see("wrapped", wrapped)[2:] == ([10, 10, 10], 3), "this has changed"
assert see("wrapped, -> object", annotated)[2:] == ([10, 12, 12], 1), "this has changed"
assert see("ConfigMaps", client.CoreV1Api(api).list_namespaced_config_map)[2:] == ([10, 12, 12], 1), "this has changed"
PY
