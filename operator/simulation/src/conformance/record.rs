//! Sends the requests of a scenario, and writes down what came of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use super::call::{Call, Step, User};
use super::world::World;

/// How often something is looked at that is waited for, and for how long.
const POLL: Duration = Duration::from_millis(100);
const POLLS: usize = 300;
/// How long a watch is read that brings less than is expected.
const PATIENCE: Duration = Duration::from_secs(10);

/// A scenario on its way.
pub(super) struct Recorder<'a> {
    world: &'a dyn World,
    clients: BTreeMap<User, kube::Client>,
    text: String,
    /// What `$name.uid` and `$name.rv` stand for.
    names: BTreeMap<String, String>,
    /// Uids in the order in which they appeared.
    uids: Vec<String>,
    /// The last resourceVersion of each uid.
    versions: BTreeMap<String, u64>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(world: &'a dyn World) -> Self {
        let clients = User::ALL.into_iter().map(|user| (user, world.client(user))).collect();
        let names = BTreeMap::from([("ns".to_owned(), world.namespace().to_owned())]);
        Self { world, clients, text: String::new(), names, uids: Vec::new(), versions: BTreeMap::new() }
    }

    pub(super) fn transcript(self) -> String {
        self.text
    }

    pub(super) async fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Send(call) => {
                let (code, body) = self.send(call).await?;
                self.write(call, code, &body);
            }
            Step::Prepare(call) => {
                let (code, body) = self.send(call).await?;
                ensure!(code < 300, "{call:?}: {code} {body}");
                self.learn(call, &body);
            }
            Step::Until(call, wanted) => self.until(call, |code, _| code == *wanted).await?,
            Step::UntilIs(call, pointer, wanted) => {
                self.until(call, |_, body| body.pointer(pointer).unwrap_or(&Value::Null) == wanted).await?;
            }
            Step::Watch(call, events) => self.watch(call, *events).await?,
            Step::Forget => self.world.forget(),
            Step::Restart => {
                self.world.restart().await?;
                self.text.push_str("The API server is started anew\n");
            }
        }
        Ok(())
    }

    async fn until(&mut self, call: &Call, is_it: impl Fn(u16, &Value) -> bool) -> Result<()> {
        let mut last = (0, Value::Null);
        for _ in 0..POLLS {
            self.world.settle().await;
            last = self.send(call).await?;
            if is_it(last.0, &last.1) {
                self.write(call, last.0, &last.1);
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("waited in vain: {call:?}: {} {}", last.0, last.1)
    }

    fn request(&self, call: &Call) -> Result<http::Request<Body>> {
        let namespace = self.world.namespace();
        let mut path = match call.plural {
            "namespaces" => "/api/v1/namespaces".to_owned(),
            "configmaps" | "secrets" => format!("/api/v1/namespaces/{namespace}/{}", call.plural),
            "events" => format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"),
            "leases" => format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            "paymentproviders" => "/apis/fooddelivery.dev/v1alpha1/paymentproviders".to_owned(),
            plural => format!("/apis/fooddelivery.dev/v1alpha1/namespaces/{namespace}/{plural}"),
        };
        for part in [call.name.as_str(), call.subresource] {
            if !part.is_empty() {
                let _ = write!(path, "/{}", self.filled(part));
            }
        }
        if !call.query.is_empty() {
            let _ = write!(path, "?{}", self.filled(&call.query));
        }
        let request = http::Request::builder().method(call.method).uri(path);
        let request = request.header(http::header::CONTENT_TYPE, call.content_type);
        let mut body = call.body.clone();
        self.fill(&mut body);
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Ok(request.body(Body::from(bytes))?)
    }

    async fn send(&self, call: &Call) -> Result<(u16, Value)> {
        let request = self.request(call)?;
        let response = self.clients[&call.user].send(request).await.with_context(|| format!("{call:?}"))?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&bytes).with_context(|| format!("{call:?}: {bytes:?}"))?))
    }

    /// Puts in what `$…` stands for.
    fn filled(&self, text: &str) -> String {
        // Longer names first: one may begin with another.
        self.names
            .iter()
            .rev()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }

    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) if text.contains('$') => *text = self.filled(text),
            Value::Array(list) => list.iter_mut().for_each(|element| self.fill(element)),
            Value::Object(map) => map.values_mut().for_each(|value| self.fill(value)),
            _ => {}
        }
    }

    /// Remembers uid and resourceVersion of an object, and says how the version stands to the one before.
    fn learn(&mut self, call: &Call, object: &Value) -> Option<&'static str> {
        let metadata = &object["metadata"];
        let (uid, name) = (metadata["uid"].as_str()?, metadata["name"].as_str()?);
        if !self.uids.iter().any(|known| known == uid) {
            self.uids.push(uid.to_owned());
        }
        let Some(version) = metadata["resourceVersion"].as_str() else { return Some("no version") };
        for name in [Some(name), call.kept].into_iter().flatten() {
            self.names.insert(format!("{name}.uid"), uid.to_owned());
            self.names.insert(format!("{name}.rv"), version.to_owned());
        }
        let version: u64 = version.parse().ok()?;
        Some(match self.versions.insert(uid.to_owned(), version) {
            None => "first version",
            Some(before) if before == version => "same version",
            Some(before) if before < version => "newer version",
            Some(_) => "OLDER version",
        })
    }

    fn write(&mut self, call: &Call, code: u16, body: &Value) {
        let mut head = format!("{:?} {} {}", call.user, call.method, call.plural);
        for part in [call.name.as_str(), call.subresource] {
            if !part.is_empty() {
                let _ = write!(head, "/{part}");
            }
        }
        if !call.query.is_empty() {
            let _ = write!(head, "?{}", call.query);
        }
        let _ = write!(self.text, "{head}: {code}");
        if code >= 300 {
            self.write_refusal(body);
        } else {
            if let Some(relation) = self.learn(call, body) {
                let _ = write!(self.text, ", {relation}");
            } else if body["kind"] == "Status" {
                let _ = write!(self.text, ", gone");
            }
            self.text.push('\n');
        }
        for pointer in &call.shown {
            let shown = self.shown(pointer, body.pointer(pointer));
            let _ = writeln!(self.text, "    {pointer} = {shown}");
        }
    }

    /// Reason, sentence and causes. A sentence that several causes are put into is left out: their order is not
    /// defined; the causes themselves are sorted.
    fn write_refusal(&mut self, body: &Value) {
        let reason = body["reason"].as_str().unwrap_or("-");
        let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
        let mut lines: Vec<String> = causes
            .iter()
            .map(|cause| {
                let text = |field: &str| cause[field].as_str().unwrap_or_default();
                let (reason, field, message) = (text("reason"), text("field"), text("message"));
                self.neutral(&format!("    {field} {reason}: {message}"))
            })
            .collect();
        lines.sort();
        let _ = writeln!(self.text, " {reason}");
        if reason != "Invalid" || lines.len() < 2 {
            let message = self.neutral(body["message"].as_str().unwrap_or_default());
            let _ = writeln!(self.text, "    {message}");
        }
        if reason == "Invalid" || body["details"]["causes"][0]["reason"].is_string() {
            for line in lines {
                let _ = writeln!(self.text, "{line}");
            }
        }
        let details = &body["details"];
        if code_has_details(body) {
            let about = [&details["name"], &details["group"], &details["kind"]];
            let about: Vec<&str> = about.iter().map(|v| v.as_str().unwrap_or("-")).collect();
            let about = self.neutral(&about.join(" "));
            let _ = writeln!(self.text, "    about {about}");
        }
    }

    /// Without what differs from run to run.
    fn neutral(&self, text: &str) -> String {
        let mut text = text.replace(self.world.namespace(), "$ns");
        for (n, uid) in self.uids.iter().enumerate() {
            text = text.replace(uid, &format!("uid-{n}"));
        }
        if text.to_lowercase().contains("resource version") || text.contains("ResourceVersion") {
            text = text.split(' ').map(unnumbered).collect::<Vec<_>>().join(" ");
        }
        text
    }

    fn shown(&self, pointer: &str, value: Option<&Value>) -> String {
        let Some(value) = value else { return "-".into() };
        if pointer.ends_with("Timestamp") {
            return "a time".into();
        }
        if pointer.ends_with("managedFields") {
            return if value.as_array().is_some_and(|list| !list.is_empty()) { "some" } else { "none" }
                .into();
        }
        self.neutral(&value.to_string())
    }

    async fn watch(&mut self, call: &Call, events: usize) -> Result<()> {
        let request = self.request(call)?;
        let response = self.clients[&call.user].send(request).await?;
        let code = response.status().as_u16();
        let _ = write!(self.text, "{:?} watches {}?{}: {code}", call.user, call.plural, call.query);
        if code >= 300 {
            let bytes = response.into_body().collect().await?.to_bytes();
            self.write_refusal(&serde_json::from_slice(&bytes)?);
            return Ok(());
        }
        let mut body = response.into_body().into_data_stream();
        self.text.push('\n');
        let mut buffer: Vec<u8> = Vec::new();
        let mut count = 0;
        while count < events {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                self.write_event(call, &serde_json::from_slice(&line)?);
                count += 1;
                continue;
            }
            match tokio::time::timeout(PATIENCE, body.next()).await {
                Ok(Some(chunk)) => buffer.extend_from_slice(&chunk?),
                Ok(None) => {
                    let _ = writeln!(self.text, "    the end");
                    return Ok(());
                }
                Err(_) => {
                    let _ = writeln!(self.text, "    nothing more");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn write_event(&mut self, call: &Call, event: &Value) {
        let object = &event["object"];
        let type_ = event["type"].as_str().unwrap_or("-");
        if type_ == "ERROR" {
            let message = self.neutral(object["message"].as_str().unwrap_or_default());
            let _ = writeln!(self.text, "    ERROR {} {}: {message}", object["code"], object["reason"]);
            return;
        }
        if type_ == "BOOKMARK" {
            let ended = !object["metadata"]["annotations"]["k8s.io/initial-events-end"].is_null();
            let word = if ended { " ends what was there at first" } else { "" };
            let kind = object["kind"].as_str().unwrap_or("-");
            let _ = writeln!(self.text, "    BOOKMARK {kind}{word}");
            return;
        }
        let name = object["metadata"]["name"].as_str().unwrap_or("-").to_owned();
        let uid = object["metadata"]["uid"].as_str().unwrap_or("-").to_owned();
        let number = self.uids.iter().position(|known| *known == uid);
        let number = number.map_or_else(|| "new".into(), |n| n.to_string());
        let _ = write!(self.text, "    {type_} {name} uid-{number}");
        for pointer in &call.shown {
            let shown = self.shown(pointer, object.pointer(pointer));
            let _ = write!(self.text, ", {pointer} = {shown}");
        }
        self.text.push('\n');
    }
}

/// Which refusals say what they are about.
fn code_has_details(body: &Value) -> bool {
    matches!(body["code"].as_u64(), Some(403 | 404 | 409 | 422)) && !body["details"]["kind"].is_null()
}

/// A word without its digits, if it is a number.
fn unnumbered(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_digit());
    if !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit()) {
        word.replace(bare, "N")
    } else {
        word.into()
    }
}
