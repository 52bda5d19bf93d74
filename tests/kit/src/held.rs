//! An upstream that holds its answers until a test lets them go.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::fake::answer;

/// An upstream that accepts, reads a request, and waits.
pub struct Held(TcpListener);

impl Held {
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Waits for the next request.
    pub async fn request(&self) -> Request {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        Request(stream)
    }
}

/// A request that waits for its answer.
pub struct Request(TcpStream);

impl Request {
    /// Answers with an empty list.
    pub async fn answer(&mut self) {
        let json = [("content-type", "application/json")];
        self.0.write_all(&answer(200, &json, br#"{"data":[]}"#)).await.unwrap();
    }

    /// Waits until the gateway has given the request up.
    pub async fn given_up(mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}
