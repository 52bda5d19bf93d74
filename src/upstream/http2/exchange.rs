//! One request and its response, on a stream of their own.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderValue, Request, Response, header::CONTENT_LENGTH};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

use super::{
    super::{Error, cancel::RequestBody, classify, exchange::Body},
    Connection, Counted,
    reset::Pace,
};

/// Sends a request, and waits for the head of its response. Holds `permit` until the
/// stream has ended, which may be after the result is dropped. (An async function would
/// hold the request twice.)
pub(in super::super) fn send<P: Send + Unpin + 'static>(
    connection: &Connection,
    permit: P,
    request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<Body>, Error>> + use<P> {
    let opened = open(connection, permit, request);
    async move {
        let (sender, mut stream, mut body) = opened?;
        await_open(sender).await?;
        if let Some(bytes) = body.take() {
            // The future of a request that is cancelled is about to be dropped.
            let bytes = bytes.map_err(|_| Error::Timeout)?;
            stream.send_body(bytes);
        }
        let head =
            poll_fn(|cx| stream.poll_head(cx)).await.inspect_err(|_| stream.end())?;
        let left = stated_length(&head);
        Ok(head.map(|()| ResponseBody { stream, left }.boxed_unsync()))
    }
}

/// Opens a stream with the head of a request. Returns the body, which is still to be sent.
fn open<P: Send + 'static>(
    connection: &Connection,
    permit: P,
    request: Request<RequestBody>,
) -> Result<(SendRequest<Bytes>, Stream<P>, RequestBody), Error> {
    let (mut head, body) = request.into_parts();
    if body.len() > 0 {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut sender = connection.sender.clone();
    let (response, sending) = sender
        .send_request(Request::from_parts(head, ()), body.len() == 0)
        .map_err(|error| Error::Connect(error.into()))?;
    let stream = Stream {
        open: Some(OpenStream {
            response: Some(response),
            sending,
            receiving: None,
            has_begun: false,
        }),
        held: Some((permit, connection.open.add())),
        pace: Arc::clone(&connection.pace),
    };
    Ok((sender, stream, body))
}

/// Waits until the stream that was opened last is within Polytomic's limit. It always is,
/// unless Polytomic has just lowered the limit, or a reset waits to be written.
async fn await_open(mut sender: SendRequest<Bytes>) -> Result<(), Error> {
    poll_fn(|cx| sender.poll_ready(cx)).await.map_err(classify::http2)
}

/// A stream. Dropped before its end, it is reset at the connection's pace.
struct Stream<P: Send + 'static> {
    open: Option<OpenStream>,
    held: Option<(P, Counted)>,
    pace: Arc<Pace>,
}

/// The parts of a stream. Dropped before its end, it is reset immediately.
struct OpenStream {
    response: Option<ResponseFuture>,
    sending: SendStream<Bytes>,
    receiving: Option<RecvStream>,
    /// Whether an interim response has come (1xx), after which the request was sent,
    /// whatever the peer says.
    has_begun: bool,
}

impl<P: Send + 'static> Stream<P> {
    fn send_body(&mut self, bytes: Bytes) {
        if let Some(open) = &mut self.open {
            // If the peer has ended the stream, the response or the lack of one says why.
            let _ = open.sending.send_data(bytes, true);
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Error>> {
        let open = self.open.as_mut().expect("the stream is open before its head");
        let head = ready!(open.poll_head(cx));
        Poll::Ready(head.map_err(|error| {
            if open.has_begun {
                classify::http2_body(error)
            } else {
                classify::http2(error)
            }
        }))
    }

    /// Drops the stream, which has ended.
    fn end(&mut self) {
        self.open = None;
        self.held = None;
    }
}

impl OpenStream {
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, h2::Error>> {
        let response = self.response.as_mut().expect("a head is awaited once");
        while let Poll::Ready(Some(Ok(_))) = response.poll_informational(cx) {
            self.has_begun = true;
        }
        let (head, receiving) = ready!(Pin::new(response).poll(cx))?.into_parts();
        self.response = None;
        self.receiving = Some(receiving);
        Poll::Ready(Ok(Response::from_parts(head, ())))
    }

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let Some(receiving) = &mut self.receiving else { return Poll::Ready(None) };
        let Some(bytes) = ready!(receiving.poll_data(cx)?) else {
            return Poll::Ready(None);
        };
        // An error means that the stream has ended, which the next poll reports.
        let _ = receiving.flow_control().release_capacity(bytes.len());
        Poll::Ready(Some(Ok(bytes)))
    }

    /// Reads to the end of the response.
    async fn discard(&mut self) -> Result<(), h2::Error> {
        if self.response.is_some() {
            poll_fn(|cx| self.poll_head(cx)).await?;
        }
        while poll_fn(|cx| self.poll_data(cx)).await.transpose()?.is_some() {}
        Ok(())
    }
}

impl<P: Send + 'static> Drop for Stream<P> {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let (held, pace) = (self.held.take(), Arc::clone(&self.pace));
        // Without a runtime, the connection has ended too.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // Most responses end before the pace allows a reset, and need none.
            tokio::select! {
                biased;
                _ = open.discard() => {}
                () = pace.wait() => {}
            }
            drop(open);
            drop(held);
        });
    }
}

/// The body of a response.
struct ResponseBody<P: Send + 'static> {
    stream: Stream<P>,
    /// The bytes that are still to come, if Polytomic stated the length.
    left: Option<u64>,
}

impl<P: Send + Unpin + 'static> http_body::Body for ResponseBody<P> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(open) = &mut self.stream.open else { return Poll::Ready(None) };
        let frame = match ready!(open.poll_data(cx)) {
            Some(Ok(bytes)) => {
                let read = bytes.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(read));
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            // Also `NO_ERROR`: `h2` reports no error after the end of a response.
            Some(Err(error)) => Some(Err(classify::http2_body(error))),
            None => None,
        };
        self.stream.end();
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Returns the length that a response states for its body. `h2` rejects a body of
/// another length.
fn stated_length(head: &Response<()>) -> Option<u64> {
    head.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
