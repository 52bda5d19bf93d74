//! An upstream that holds its responses until a test releases them.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::fake::{JSON, LISTED, answer};

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

/// A request that waits for its response.
pub struct Request(TcpStream);

impl Request {
    /// Responds with an empty list.
    pub async fn answer(&mut self) {
        self.0.write_all(&answer(200, JSON, LISTED.as_bytes())).await.unwrap();
    }

    /// Waits until the gateway has abandoned the request.
    pub async fn given_up(mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}
