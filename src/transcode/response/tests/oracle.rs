//! Compares the transcoder with `prost-reflect`, an implementation of proto3's JSON
//! form that builds messages and shares no code with the transcoder.

mod generator;
mod requests;

use std::str;

use proptest::prelude::*;
use prost_reflect::{DeserializeOptions, FieldDescriptor, SerializeOptions, Value};

use self::generator::{Choices, Generator};
use super::*;

/// Errors of the transcoder about JSON that the oracle reads.
const STRICTER: [&str; 7] = [
    // The oracle reads an object with only unknown keys as an empty message.
    "has none of the keys",
    // The oracle reads the last of two.
    "occurs twice",
    // The oracle does not check escapes in values that it skips.
    "half of a surrogate pair",
    // The oracle drops the digits of a fraction after the ninth, and reads dates
    // that do not exist.
    "expected an RFC 3339 time",
    // The oracle reads "+1" and "01", and rounds 18446744073709551616.0 down.
    "bit integer",
    // The oracle reads ".5", "5.", "+5", "inf" and "nan" in strings.
    "expected a float",
    "expected a double",
];

/// Errors of the oracle about JSON that the transcoder reads.
const LAXER: [&str; 4] = [
    // The transcoder reads 1e400 in a value of any shape, as a string.
    "number out of range",
    // The transcoder reads 3.4028235e38, the usual form of the greatest float.
    "float value out of range",
    // The transcoder reads lower-case `t` and `z`, as the RFC requires.
    "rfc3339",
    // The transcoder reads "1e3" and "1.0" as integers, in strings too.
    "invalid digit found in string",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn generated_responses_are_read_as_by_the_oracle(choices in choices()) {
        for rpc in [LIST, EVERY] {
            let json = generate(rpc, &choices);
            agree(rpc, json.as_bytes())?;
        }
    }

    #[test]
    fn mutated_responses_are_read_as_by_the_oracle(
        choices in choices(),
        mutations in prop::collection::vec(any::<(u16, u8, u8)>(), 1..4),
    ) {
        for rpc in [LIST, EVERY] {
            let mut json = generate(rpc, &choices).into_bytes();
            for mutation in &mutations {
                mutate(&mut json, *mutation);
            }
            agree(rpc, &json)?;
        }
    }

    #[test]
    fn generated_response_cut_short_is_rejected(choices in choices(), end: u16) {
        for rpc in [LIST, EVERY] {
            let json = generate(rpc, &choices);
            let end = usize::from(end) % json.trim_end().len();
            prop_assert!(transcode(rpc, &json.as_bytes()[..end]).is_err());
        }
    }

    #[test]
    fn json_of_the_oracle_is_read_as_the_same_message(choices in choices()) {
        let Ok(message) = transcode(EVERY, generate(EVERY, &choices).as_bytes()) else {
            return Ok(());
        };
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut json = serde_json::Serializer::new(Vec::new());
        message.serialize_with_options(&mut json, &options).unwrap();
        let json = String::from_utf8(json.into_inner()).unwrap();
        // The oracle knows two keys per field, and this field has a third.
        if !json.contains(r#""renamed""#) {
            let again = transcode(EVERY, json.as_bytes()).unwrap();
            prop_assert!(same(&Value::Message(again), &Value::Message(message)), "{json}");
        }
    }

    #[test]
    fn message_is_the_same_in_any_room_and_never_outgrows_it(choices in choices()) {
        for rpc in [LIST, EVERY] {
            let json = generate(rpc, &choices);
            let table = if rpc == LIST { &OURS } else { &TESTS };
            let schema = &table.contract.rpc(rpc).unwrap().response;
            let whole = response(schema, json.as_bytes(), 16 * json.len());
            let Ok(whole) = whole else { continue };
            for room in [json.len(), json.len() + 8, 2 * json.len()] {
                match response(schema, json.as_bytes(), room) {
                    Ok(message) => {
                        prop_assert_eq!(&message, &whole);
                        prop_assert!(message.capacity() <= room + SLACK);
                    }
                    Err(error) => {
                        prop_assert!(error.is_too_large(), "{}", error);
                        prop_assert!(whole.len() + json.len() > room);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_as_by_the_oracle(json: Vec<u8>) {
        agree(EVERY, &json)?;
    }
}

pub(in crate::transcode) fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

pub(in crate::transcode) fn generate(path: &str, choices: &[u8]) -> String {
    Generator::new(&rpc(path).response, Choices::new(choices)).response()
}

pub(in crate::transcode) fn mutate(
    json: &mut Vec<u8>,
    (position, what, with): (u16, u8, u8),
) {
    const TOKENS: [&str; 26] = [
        "null", "true", "0", "1", "9", "-", "+", ".", ".0", "e", "e5", "E-1", "\"", "\\",
        "\\u", "\\ud800", "\\udc00", "{", "}", "[", "]", ",", ":", " ", "t", "z",
    ];

    let position = usize::from(position) % json.len().max(1);
    let token = TOKENS[usize::from(with) % TOKENS.len()].bytes();
    match what % 5 {
        0 => json.truncate(position),
        1 => drop(json.splice(position..(position + 1).min(json.len()), [])),
        2 => drop(json.splice(position..(position + 1).min(json.len()), token)),
        3 => drop(json.splice(position..position, token)),
        _ => drop(json.splice(position..position, [with])),
    }
}

/// Checks that both read JSON as the same message, that both reject it, or that
/// the difference is one of those above.
fn agree(rpc: &str, json: &[u8]) -> Result<(), TestCaseError> {
    let shown = String::from_utf8_lossy(json);
    match (transcode(rpc, json), oracle(rpc, json)) {
        (Ok(ours), Ok(theirs)) => {
            let (ours, theirs) = (Value::Message(ours), Value::Message(theirs));
            prop_assert!(same(&ours, &theirs), "{shown}\n{ours}\n{theirs}");
        }
        (Err(_), Err(_)) => {}
        (Err(ours), Ok(_)) => {
            prop_assert!(
                STRICTER.iter().any(|known| ours.contains(known)),
                "{shown}\n{ours}"
            );
        }
        (Ok(_), Err(theirs)) => {
            prop_assert!(
                LAXER.iter().any(|known| theirs.contains(known)),
                "{shown}\n{theirs}"
            );
        }
    }
    Ok(())
}

fn oracle(rpc: &str, json: &[u8]) -> Result<DynamicMessage, String> {
    let table = if rpc == LIST { &OURS } else { &TESTS };
    let name = &table.contract.rpc(rpc).unwrap().response.root().name;
    let message = table.pool.get_message_by_name(name).unwrap();
    // The oracle's JSON reader checks UTF-8 only in strings that it builds.
    let json = str::from_utf8(json).map_err(|error| error.to_string())?;
    let mut json = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(message, &mut json, &options)
        .map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    Ok(message)
}

/// Compares two values.
#[expect(clippy::cast_precision_loss, reason = "the oracle loses it as well")]
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::F32(ours), Value::F32(theirs)) => near((*ours).into(), (*theirs).into()),
        (Value::F64(ours), Value::F64(theirs)) => near(*ours, *theirs),
        // The oracle reads an integer with an exponent as a double.
        (Value::I64(ours), Value::I64(theirs)) => near(*ours as f64, *theirs as f64),
        (Value::U64(ours), Value::U64(theirs)) => near(*ours as f64, *theirs as f64),
        (Value::List(ours), Value::List(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Value::Map(ours), Value::Map(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| {
                    theirs.get(key).is_some_and(|their| same(value, their))
                })
        }
        (Value::Message(ours), Value::Message(theirs)) if is_rounded(ours, theirs) => {
            true
        }
        (Value::Message(ours), Value::Message(theirs)) => {
            // The oracle reads `null` in place of a list of `Value`s as one `Value`.
            let is_set = |(field, value): &(FieldDescriptor, &Value)| {
                !field.is_list() || value.as_list().is_some()
            };
            ours.fields().count() == theirs.fields().filter(is_set).count()
                && ours.fields().all(|(field, value)| {
                    theirs.has_field(&field) && same(value, &theirs.get_field(&field))
                })
        }
        _ => ours == theirs,
    }
}

/// Reports whether two values of any shape are an integer in digits and the double that
/// the oracle rounds it to. A test of values checks which integers are in digits.
fn is_rounded(ours: &DynamicMessage, theirs: &DynamicMessage) -> bool {
    let digits = ours.get_field_by_name("string_value");
    let digits = digits.as_ref().and_then(|digits| digits.as_str()?.parse().ok());
    let double = theirs.get_field_by_name("number_value");
    let double = double.and_then(|double| double.as_f64());
    let is_set = theirs.has_field_by_name("number_value");
    digits.zip(double).is_some_and(|(ours, theirs)| {
        is_set && f64::abs(ours) > 9e15 && near(ours, theirs)
    })
}

/// Compares two numbers. NaN equals NaN, and the oracle's JSON reader may be wrong
/// in the last bit.
fn near(ours: f64, theirs: f64) -> bool {
    ours.to_bits().abs_diff(theirs.to_bits()) <= 1 || ours.is_nan() && theirs.is_nan()
}
