#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{panic::AssertUnwindSafe, sync::mpsc, thread};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio::{sync::oneshot, task::yield_now};

use super::*;
use crate::{
    auth::{Authenticator, Mode, Settings},
    contract::{Contract, DESCRIPTOR_SET},
    gateway::IdentityClient,
    upstream::Upstream,
};

const LIST: &str = "/polytomic.connections.v1.PartnerSharedConnectionsService/\
                    ListPartnerSharedConnections";

/// Returns a response of about this many bytes.
async fn translation(bytes: usize) -> Translation {
    let upstream = Upstream::in_memory(|_| http::Response::default(), 1024);
    let look_up = IdentityClient::new(upstream, HeaderValue::from_static("v"));
    let mut settings = Settings::new(Mode::Passthrough, "u", "v");
    settings.verify = false;
    let authenticator = Authenticator::start(settings, look_up).await.unwrap();
    let key = "Bearer a-key".parse().unwrap();
    let metadata = HeaderMap::from_iter([(AUTHORIZATION, key)]);
    let body = format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "i".repeat(bytes));
    Translation {
        rpc: Arc::clone(Contract::compile(DESCRIPTOR_SET).unwrap().rpc(LIST).unwrap()),
        response: Response {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
        },
        credentials: authenticator.credentials(&metadata).await.unwrap(),
    }
}

#[tokio::test]
async fn only_small_responses_are_translated_in_place() {
    let translator = Translator::new();
    for (bytes, in_place) in
        [(0, true), (LARGEST_IN_PLACE / 2, true), (LARGEST_IN_PLACE, false)]
    {
        let translation = translation(bytes).await;
        let room = translation.response.body.len();
        let mut translating = Box::pin(translator.run(&translation, room, ()));
        // The runtime of this test has one thread: what is ready at once blocked it.
        let first = (&mut translating).now_or_never();
        assert_eq!(first.is_some(), in_place, "{bytes}");
        let message = match first {
            Some(message) => message,
            None => translating.await,
        };
        assert!(message.unwrap().len() > bytes);
    }
}

#[tokio::test]
async fn half_of_the_processors_translate_at_the_same_time() {
    let translator = Translator::new();
    let most = available_parallelism().map_or(1, usize::from).div_ceil(2);
    let held: Vec<_> =
        (0..most).map(|_| translator.threads.try_acquire().unwrap()).collect();
    let mut working = Box::pin(translator.on_thread((), || thread::current().id()));
    assert_eq!((&mut working).now_or_never(), None);
    drop(held);
    assert_ne!(working.await, thread::current().id());
}

#[tokio::test]
async fn panic_on_a_thread_is_one_of_its_rpc() {
    let translator = Translator::new();
    let work = translator.on_thread((), || panic!("a panic"));
    let caught: Result<(), _> = AssertUnwindSafe(work).catch_unwind().await;
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"a panic"));
    assert!(translator.threads.try_acquire().is_ok());
}

#[tokio::test]
async fn abandoned_work_holds_its_memory_to_the_end() {
    let translator = Translator::new();
    let memory = Arc::new(());
    let (proceed, proceeds) = mpsc::channel::<()>();
    let (start, running) = oneshot::channel();
    let work = translator.on_thread(Arc::clone(&memory), move || {
        start.send(()).unwrap();
        proceeds.recv().unwrap();
    });
    let mut work = Box::pin(work);
    assert_eq!((&mut work).now_or_never(), None);
    running.await.unwrap();
    drop(work);
    assert_eq!(Arc::strong_count(&memory), 2);
    proceed.send(()).unwrap();
    while Arc::strong_count(&memory) > 1 {
        yield_now().await;
    }
}
