//! Listing what was sent: by request or between dates, and of that by the sender's own id.
//!
//! Dates are Korean time, as everywhere in this API.

use std::collections::HashMap;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::protocol::{authenticate, head, refused, server_error};
use crate::faults::Operation;
use crate::front::Arrival;
use crate::idempotency::Answer;
use crate::messages::exchange::{Call, Desk};
use crate::messages::log::Listing;
use crate::messages::record::{MessageRecord, MessageResult};

const KOREA: Offset = Offset::constant(9);
/// Format of the dates in a query.
const QUERY_DATE: &str = "%Y-%m-%d %H:%M";
/// Maximum range between two dates.
const RANGE_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);
/// Messages on a page, unless the query says otherwise.
const DEFAULT_PAGE_SIZE: usize = 15;
/// Maximum number of messages on a page.
const PAGE_SIZE_MAX: usize = 1_000;

/// A well-formed query.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Find {
    request_id: Option<String>,
    between: Option<(DateTime, DateTime)>,
    grouping_key: Option<String>,
    page: usize,
    page_size: usize,
}

impl Call for Find {
    const OPERATION: Operation = Operation::MessageResult;

    fn read(arrival: &Arrival) -> Result<Self, Answer> {
        authenticate(arrival)?;
        Self::parse(arrival.query()).map_err(|(code, message)| refused(200, code, message))
    }

    fn server_error(status: u16) -> Answer {
        server_error(status)
    }

    /// Unknown before the search.
    fn order_uid(&self) -> Option<&str> {
        None
    }

    fn perform(&self, desk: Desk<'_>) -> Answer {
        let found = desk.messages.listed(self.grouping_key.as_deref(), desk.now);
        let found: Vec<_> =
            found.into_iter().filter(|(record, listing)| self.covers(record, listing)).collect();
        let page = found.iter().skip((self.page - 1) * self.page_size).take(self.page_size);
        let messages: Vec<Value> = page.map(|(record, listing)| shown(record, listing)).collect();
        let list = json!({ "messages": messages, "totalCount": found.len() });
        let body = json!({ "header": head(0, "SUCCESS"), "messageSearchResultResponse": list });
        Answer::new(200, body.to_string())
    }
}

impl Find {
    fn parse(query: &str) -> Result<Self, (i64, &'static str)> {
        const INVALID: (i64, &str) = (-4000, "Invalid parameter");
        let query: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let date = |name: &str| {
            let text = query.get(name)?;
            Some(DateTime::strptime(QUERY_DATE, text).map_err(|_| INVALID))
        };
        let number = |name: &str, default: usize| match query.get(name) {
            Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or(INVALID),
            None => Ok(default),
        };
        let range = match (date("startRequestDate"), date("endRequestDate")) {
            (Some(start), Some(end)) => Some((start?, end?)),
            _ => None,
        };
        let request_id = query.get("requestId").cloned();
        if request_id.is_none() && range.is_none() {
            return Err((-4103, "RequestId or startRequestDate/endRequestDate is invalid."));
        }
        if range.is_some_and(|(start, end)| start > end) {
            return Err(INVALID);
        }
        if range.is_some_and(|(start, end)| end.duration_since(start) > RANGE_MAX) {
            return Err((-4003, "Search is possible within 31 days."));
        }
        Ok(Self {
            request_id,
            between: range,
            grouping_key: query.get("recipientGroupingKey").cloned(),
            page: number("pageNum", 1)?,
            page_size: number("pageSize", DEFAULT_PAGE_SIZE)?.min(PAGE_SIZE_MAX),
        })
    }

    fn covers(&self, record: &MessageRecord, listing: &Listing) -> bool {
        let asked_for = KOREA.to_datetime(record.at);
        self.request_id.as_ref().is_none_or(|id| *id == listing.request_id)
            // The end is a minute, and all of it.
            && self.between.is_none_or(|(start, end)| {
                start <= asked_for && asked_for.duration_since(end) < SignedDuration::from_mins(1)
            })
    }
}

fn shown(record: &MessageRecord, listing: &Listing) -> Value {
    let (status, code, name) = match record.result {
        MessageResult::Sent => ("COMPLETED", Some("MRC01"), Some("SUCCESS")),
        MessageResult::Failed => {
            ("FAILED", Some("MRC02"), Some("FAILED: the recipient is no KakaoTalk user"))
        }
        MessageResult::Pending => ("SENDING", None, None),
    };
    let date = date(record.at);
    let received = Some(&date).filter(|_| record.result != MessageResult::Pending);
    json!({
        "requestId": listing.request_id,
        "recipientSeq": listing.recipient_seq,
        "plusFriendId": "@sandbox",
        "senderKey": listing.sender_key,
        "templateCode": listing.template_code,
        "recipientNo": record.recipient,
        "content": record.text,
        "requestDate": date,
        "createDate": date,
        "receiveDate": received,
        "resendStatus": "RSC01",
        "resendStatusName": "Not a target of resending",
        "messageStatus": status,
        "resultCode": code,
        "resultCodeName": name,
        "senderGroupingKey": record.order_uid,
        "recipientGroupingKey": record.id,
    })
}

fn date(at: Timestamp) -> String {
    KOREA.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S%.1f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> i64 {
        Find::parse(query).unwrap_err().0
    }

    #[test]
    fn a_question_names_a_request_or_two_dates_within_a_month() {
        let find =
            Find::parse("startRequestDate=2026-03-01%2000:00&endRequestDate=2026-03-30+23:59").unwrap();
        assert!(find.between.is_some() && find.page == 1 && find.page_size == DEFAULT_PAGE_SIZE, "{find:?}");
        assert!(Find::parse("requestId=r").is_ok());
        assert_eq!(code(""), -4103);
        assert_eq!(code("startRequestDate=2026-03-01+00:00"), -4103);
        assert_eq!(code("startRequestDate=2026-03-01&endRequestDate=2026-03-02"), -4000);
        assert_eq!(code("startRequestDate=2026-03-02+00:00&endRequestDate=2026-03-01+00:00"), -4000);
        assert_eq!(code("startRequestDate=2026-01-01+00:00&endRequestDate=2026-03-01+00:00"), -4003);
        assert_eq!(code("requestId=r&pageNum=0"), -4000);
    }

    #[test]
    fn dates_are_korean_time() {
        assert_eq!(date("2026-03-10T15:30:59.29Z".parse().unwrap()), "2026-03-11 00:30:59.2");
    }
}
