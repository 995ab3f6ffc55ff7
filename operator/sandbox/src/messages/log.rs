//! What was accepted, in order of arrival, and how a repeat is recognised.
//!
//! Bounded: with the oldest messages goes what is known of them. Nothing here does I/O or reads a clock.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::record::{Channel, MessageRecord, MessageResult};
use crate::config::Config;

/// A message that is to be noted.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) channel: Channel,
    pub(super) id: String,
    pub(super) order_uid: Option<String>,
    pub(super) step: Option<i64>,
    pub(super) phase: Option<String>,
    pub(super) recipient: String,
    pub(super) text: Option<String>,
    pub(super) fate: Fate,
    pub(super) listing: Option<Listing>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Failed,
    /// Sent, which is known only then.
    SentBy(Timestamp),
}

impl Fate {
    fn result(self, now: Timestamp) -> MessageResult {
        match self {
            Self::Sent => MessageResult::Sent,
            Self::Failed => MessageResult::Failed,
            Self::SentBy(then) if then <= now => MessageResult::Sent,
            Self::SentBy(_) => MessageResult::Pending,
        }
    }
}

/// What AlimTalk's list says of a message beside the record.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) request_id: String,
    pub(super) recipient_seq: usize,
    pub(super) sender_key: String,
    pub(super) template_code: String,
}

#[derive(Debug)]
struct Noted {
    seq: u64,
    at: Timestamp,
    repeat: bool,
    message: Arrived,
}

/// The messages that are remembered.
#[derive(Debug)]
pub(crate) struct Messages {
    kept: usize,
    key_retention: Duration,
    count: u64,
    noted: VecDeque<Noted>,
    /// The deliveries, by what they are known by.
    delivered: HashMap<(Channel, String), Vec<u64>>,
    /// AlimTalk's idempotency keys, and until when they are recognised.
    keys: HashMap<String, Timestamp>,
    /// How many calls met the outage of messages that is, or the last one.
    pub(crate) refused: u64,
}

impl Messages {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            kept: config.messages_kept.max(1),
            key_retention: config.message_key_retention,
            count: 0,
            noted: VecDeque::new(),
            delivered: HashMap::new(),
            keys: HashMap::new(),
            refused: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.refused = 0;
        self.noted.clear();
        self.delivered.clear();
        self.keys.clear();
    }

    /// How many were accepted so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether a key was used within its retention.
    pub(super) fn recognises(&self, key: &str, now: Timestamp) -> bool {
        self.keys.get(key).is_some_and(|until| now < *until)
    }

    /// Remembers a key.
    pub(super) fn use_key(&mut self, key: &str, now: Timestamp) {
        if self.keys.len() >= self.kept {
            self.keys.retain(|_, until| now < *until);
        }
        self.keys.insert(key.to_owned(), now.saturating_add(self.key_retention).unwrap_or(now));
    }

    /// Whether a message was delivered before.
    pub(super) fn has(&self, channel: Channel, id: &str) -> bool {
        self.delivered.contains_key(&(channel, id.to_owned()))
    }

    /// Notes a message, and forgets the oldest if there are too many.
    pub(super) fn note(&mut self, message: Arrived, repeat: bool, at: Timestamp) {
        self.count += 1;
        let seq = self.count;
        if !repeat {
            self.delivered.entry((message.channel, message.id.clone())).or_default().push(seq);
        }
        self.noted.push_back(Noted { seq, at, repeat, message });
        while self.noted.len() > self.kept {
            let Some(oldest) = self.noted.pop_front() else { break };
            let key = (oldest.message.channel, oldest.message.id);
            if let Some(seqs) = self.delivered.get_mut(&key) {
                seqs.retain(|seq| *seq != oldest.seq);
                if seqs.is_empty() {
                    self.delivered.remove(&key);
                }
            }
        }
    }

    /// All that are remembered, oldest first.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<MessageRecord> {
        self.noted.iter().map(|noted| self.record(noted, now)).collect()
    }

    /// AlimTalk's deliveries, by the sender's id or all, with what its list says of them.
    pub(super) fn listed(&self, id: Option<&str>, now: Timestamp) -> Vec<(MessageRecord, &Listing)> {
        let noted: Vec<&Noted> = match id {
            Some(id) => {
                let seqs = self.delivered.get(&(Channel::AlimTalk, id.to_owned()));
                seqs.into_iter().flatten().filter_map(|seq| self.by_seq(*seq)).collect()
            }
            None => self.noted.iter().filter(|noted| !noted.repeat).collect(),
        };
        let listed = |noted: &&'_ Noted| noted.message.listing.is_some();
        let pairs = noted.into_iter().filter(listed);
        pairs.filter_map(|noted| Some((self.record(noted, now), noted.message.listing.as_ref()?))).collect()
    }

    fn by_seq(&self, seq: u64) -> Option<&Noted> {
        let first = self.noted.front()?.seq;
        self.noted.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    fn record(&self, noted: &Noted, now: Timestamp) -> MessageRecord {
        let Arrived { channel, id, order_uid, step, phase, recipient, text, fate, listing: _ } =
            noted.message.clone();
        let repeated = self.delivered.get(&(channel, id.clone())).filter(|_| noted.repeat);
        let repeated = repeated.and_then(|seqs| self.by_seq(*seqs.last()?));
        let result = repeated.map_or(fate, |repeated| repeated.message.fate).result(now);
        MessageRecord {
            seq: noted.seq,
            at: noted.at,
            channel,
            id,
            repeat: noted.repeat,
            order_uid,
            step,
            phase,
            recipient,
            text,
            result,
        }
    }
}

/// For people.
pub(crate) fn table(messages: &[MessageRecord]) -> String {
    let mut table = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "{:>5}  {:<24}  {:<8}  {:<6}  {:<7}  {:<44}  {:<13}  TEXT OR PHASE",
        "SEQ", "AT", "CHANNEL", "REPEAT", "RESULT", "ID", "RECIPIENT"
    );
    for message in messages {
        let _ = writeln!(
            table,
            "{:>5}  {:<24}  {:<8}  {:<6}  {:<7}  {:<44}  {:<13}  {}",
            message.seq,
            message.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            format!("{:?}", message.channel),
            if message.repeat { "repeat" } else { "" },
            format!("{:?}", message.result),
            message.id,
            message.recipient,
            message.text.as_deref().or(message.phase.as_deref()).unwrap_or_default()
        );
    }
    let repeats = messages.iter().filter(|message| message.repeat).count();
    let _ = writeln!(table, "{} messages, {repeats} of them repeats", messages.len());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, fate: Fate) -> Arrived {
        Arrived {
            channel: Channel::AlimTalk,
            id: id.to_owned(),
            order_uid: None,
            step: None,
            phase: None,
            recipient: "01012345678".to_owned(),
            text: None,
            fate,
            listing: Some(Listing {
                request_id: "r".into(),
                recipient_seq: 1,
                sender_key: "s".into(),
                template_code: "t".into(),
            }),
        }
    }

    fn messages(kept: usize) -> Messages {
        Messages::new(&Config { messages_kept: kept, ..Config::default() })
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_repeat_has_the_result_of_what_it_repeats_which_can_come_later() {
        let mut messages = messages(10);
        messages.note(message("a", Fate::SentBy(at(5))), false, NOW);
        messages.note(message("a", Fate::Sent), true, NOW);
        let results = |now| messages.all(now).iter().map(|one| one.result).collect::<Vec<_>>();
        assert_eq!(results(at(4)), [MessageResult::Pending; 2]);
        assert_eq!(results(at(5)), [MessageResult::Sent; 2]);
        assert_eq!(messages.listed(Some("a"), NOW).len(), 1, "a repeat is no delivery");
    }

    #[test]
    fn with_the_oldest_messages_goes_what_is_known_of_them() {
        let mut messages = messages(2);
        for id in ["a", "b", "a", "c"] {
            messages.note(message(id, Fate::Sent), false, NOW);
        }
        assert_eq!(messages.all(NOW).iter().map(|one| one.seq).collect::<Vec<_>>(), [3, 4]);
        assert!(messages.has(Channel::AlimTalk, "a") && !messages.has(Channel::AlimTalk, "b"));
        assert_eq!(messages.listed(Some("a"), NOW).len(), 1);
        assert_eq!(messages.listed(None, NOW).len(), 2);
    }

    #[test]
    fn a_key_is_recognised_for_its_retention() {
        let mut messages = messages(2);
        messages.use_key("k", NOW);
        assert!(messages.recognises("k", at(599)) && !messages.recognises("k", at(600)));
        assert!(!messages.recognises("other", NOW));
    }

    #[test]
    fn the_table_has_a_line_for_each_and_counts_the_repeats() {
        let mut messages = messages(10);
        messages.note(message("a", Fate::Sent), false, NOW);
        messages.note(message("a", Fate::Sent), true, NOW);
        let table = table(&messages.all(NOW));
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.ends_with("2 messages, 1 of them repeats\n"), "{table}");
    }
}
