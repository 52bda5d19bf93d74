//! Request messages: the oracle and the transcoder read the JSON of a request as
//! the message that it was made from.

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, Value};

use super::{super::*, LAXER, choices, generate, oracle, same};
use crate::transcode::{RequestError, request};

const POST: &str = "/every.v1.EveryService/Post";

/// Returns the wire bytes of a generated message, and the message.
fn generated(choices: &[u8]) -> Option<(Vec<u8>, DynamicMessage)> {
    let schema = &TESTS.contract.rpc(EVERY).unwrap().response;
    let json = generate(EVERY, choices);
    let bytes = response(schema, json.as_bytes(), 16 * json.len()).ok()?;
    let every = TESTS.pool.get_message_by_name(&schema.root().name).unwrap();
    let message = DynamicMessage::decode(every, bytes.as_slice()).unwrap();
    Some((bytes, message))
}

/// Reports whether an error is about a number that JSON cannot write.
fn is_about_numbers(error: &RequestError) -> bool {
    let RequestError::Invalid(violations) = error else { return false };
    violations.iter().all(|violation| violation.description.contains("finite"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn body_is_read_as_the_request_message(choices in choices()) {
        let Some((bytes, message)) = generated(&choices) else { return Ok(()) };
        let rest = match request(TESTS.contract.rpc(POST).unwrap(), &bytes) {
            Ok(rest) => rest,
            Err(error) => {
                prop_assert!(is_about_numbers(&error), "{error:?}");
                return Ok(());
            }
        };
        let body = rest.body.unwrap();
        let shown = String::from_utf8_lossy(&body);
        let ours = transcode(EVERY, &body).map_err(|error| {
            TestCaseError::fail(format!("{error}: {shown}"))
        })?;
        let message = Value::Message(message);
        prop_assert!(same(&message, &Value::Message(ours)), "{shown}\n{message}");
        match oracle(EVERY, &body) {
            Ok(theirs) => {
                prop_assert!(same(&message, &Value::Message(theirs)), "{shown}\n{message}");
            }
            Err(error) => {
                let known = LAXER.iter().any(|known| error.contains(known));
                prop_assert!(known, "{error}: {shown}");
            }
        }
    }

    #[test]
    fn mutated_messages_are_read_as_by_the_oracle(
        choices in choices(),
        position: u16,
        with: u8,
    ) {
        let Some((mut bytes, _)) = generated(&choices) else { return Ok(()) };
        if !bytes.is_empty() {
            let position = usize::from(position) % bytes.len();
            bytes[position] = with;
        }
        let Ok(rest) = request(TESTS.contract.rpc(POST).unwrap(), &bytes) else {
            return Ok(());
        };
        let every = TESTS.pool.get_message_by_name("every.v1.Every").unwrap();
        let message = DynamicMessage::decode(every, bytes.as_slice()).map_err(|error| {
            TestCaseError::fail(format!("the oracle refuses {bytes:?}: {error}"))
        })?;
        let body = rest.body.unwrap();
        let ours = transcode(EVERY, &body).map_err(|error| {
            TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&body)))
        })?;
        let (theirs, ours) = (Value::Message(message), Value::Message(ours));
        // A null is a null, but the oracle tells those apart whose number is wrong.
        if (1..=9).any(|digit| theirs.to_string().contains(&format!("null_value:{digit}"))) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&body);
        prop_assert!(same(&ours, &theirs), "{shown}\n{ours}\n{theirs}");
    }
}
