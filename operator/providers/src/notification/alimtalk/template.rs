//! The template's parameters, which the customer reads in Korean, and the format of phone numbers.
//!
//! Pure: a message in, the template's parameters out.

use std::collections::BTreeMap;

use fooddelivery_saga::phases::OrderPhase;

use crate::notification::port::Message;

/// Maximum length of a parameter's value; the whole text is limited to 1,300 characters.
const VALUE_CHARS_MAX: usize = 100;
/// Value of a parameter that is not known.
const NONE: &str = "-";
/// Number of digits of a phone number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// The template's parameters: all of them, always.
pub(super) fn parameters(message: &Message) -> BTreeMap<&'static str, String> {
    let optional = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let status = match phase(OrderPhase::parse(&message.phase)) {
        Some(words) => words.to_owned(),
        None => message.phase.clone(),
    };
    [
        ("가게", or_none(optional(&message.store))),
        ("주문", message.order_name.clone()),
        ("상태", status),
        ("금액", or_none(message.total.map(won))),
        ("사유", or_none(optional(&message.reason))),
    ]
    .map(|(name, value)| (name, value.chars().take(VALUE_CHARS_MAX).collect()))
    .into()
}

/// None for a word of another version, which is shown as it is.
fn phase(phase: OrderPhase) -> Option<&'static str> {
    Some(match phase {
        OrderPhase::AwaitingPayment => "결제 대기",
        OrderPhase::PaymentDeferred => "결제 지연",
        OrderPhase::AwaitingStore => "가게 확인 대기",
        OrderPhase::Accepted => "주문 접수",
        OrderPhase::Cooking => "조리 중",
        OrderPhase::AwaitingRider => "라이더 배정 대기",
        OrderPhase::RiderAssigned => "라이더 배정 완료",
        OrderPhase::PickedUp => "배달 중",
        OrderPhase::Delivered => "배달 완료",
        OrderPhase::Completed => "주문 완료",
        OrderPhase::Cancelling => "취소 처리 중",
        OrderPhase::Cancelled => "취소 완료",
        OrderPhase::Rejected => "가게에서 주문 거절",
        OrderPhase::PaymentFailed => "결제 실패",
        OrderPhase::Unknown => return None,
    })
}

/// `28,500원`.
fn won(amount: i64) -> String {
    let digits = amount.unsigned_abs().to_string();
    let mut text = String::from(if amount < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + "원"
}

/// A number in digits alone, a Korean one as it is dialled at home; None when it is not one.
pub(super) fn number(contact: &str) -> Option<String> {
    let plain: String =
        contact.chars().filter(|char| !char.is_whitespace() && !"-.()".contains(*char)).collect();
    let digits = match plain.strip_prefix("+82") {
        Some(home) => format!("0{}", home.trim_start_matches('0')),
        None => plain.strip_prefix('+').unwrap_or(&plain).to_owned(),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && PHONE_DIGITS.contains(&digits.len());
    is_number.then_some(digits)
}

#[cfg(test)]
mod tests {
    use fooddelivery_saga::time::Timestamp;

    use super::*;

    fn message() -> Message {
        Message {
            id: "uid-3".into(),
            order_namespace: "food".into(),
            order_name: "lunch".into(),
            order_uid: "uid".into(),
            step: 3,
            phase: "Cooking".into(),
            at: Timestamp(0),
            customer: "kim".into(),
            store: Some("한옥".into()),
            total: Some(28_500),
            reason: None,
            contact: None,
        }
    }

    #[test]
    fn the_parameters_are_in_korean_and_all_there() {
        let shown: Vec<_> = parameters(&message()).into_iter().collect();
        let expected =
            [("가게", "한옥"), ("금액", "28,500원"), ("사유", "-"), ("상태", "조리 중"), ("주문", "lunch")];
        assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_what_is_long_is_cut() {
        let bare =
            Message { store: Some(String::new()), total: None, reason: Some("x".repeat(500)), ..message() };
        let shown = parameters(&bare);
        assert_eq!((shown["가게"].as_str(), shown["금액"].as_str()), ("-", "-"));
        assert_eq!(shown["사유"].len(), VALUE_CHARS_MAX);
    }

    #[test]
    fn every_phase_has_words_of_its_own_and_a_word_of_another_version_stays() {
        let mut words: Vec<_> = OrderPhase::ALL.iter().map(|known| phase(*known).unwrap()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), OrderPhase::ALL.len());
        let newer = Message { phase: "OnTheMoon".into(), ..message() };
        assert_eq!(parameters(&newer)["상태"], "OnTheMoon");
    }

    #[test]
    fn amounts_are_grouped_by_thousands() {
        for (amount, text) in
            [(0, "0원"), (900, "900원"), (1_000, "1,000원"), (1_234_567, "1,234,567원"), (-5_000, "-5,000원")]
        {
            assert_eq!(won(amount), text);
        }
    }

    #[test]
    fn a_number_is_written_in_digits_and_a_korean_one_without_its_country() {
        for (contact, digits) in [
            ("010-1234-5678", "01012345678"),
            ("+82 10 1234 5678", "01012345678"),
            ("+82 (0)10.1234.5678", "01012345678"),
            ("+1 212 555 0100", "12125550100"),
        ] {
            assert_eq!(number(contact).as_deref(), Some(digits), "{contact}");
        }
        for nonsense in ["", "119", "kim@example.com", "010-1234-567x", "+", "1234567890123456"] {
            assert_eq!(number(nonsense), None, "{nonsense}");
        }
    }
}
