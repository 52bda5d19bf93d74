//! The upstream's side of HTTP/1.1.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::sleep,
};

use super::{
    Response, Seen,
    play::{Side, write_all},
};

pub(super) struct Http1<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Http1<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    async fn read(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }

    async fn read_request(&mut self) -> Option<Seen> {
        let is_end = |window: &[u8]| window == b"\r\n\r\n";
        let end = loop {
            if let Some(place) = self.buffer.windows(4).position(is_end) {
                break place;
            }
            self.read().await?;
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        while self.buffer.len() < length {
            self.read().await?;
        }
        let body = self.buffer.drain(..length).collect();
        Some(Seen { line, headers, body })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side for Http1<'_, S> {
    async fn request(&mut self) -> io::Result<Option<Seen>> {
        Ok(self.read_request().await)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.stream, bytes).await
    }

    async fn respond(&mut self, response: Response) -> io::Result<()> {
        let response = response.with_length();
        let bytes = [head(&response), response.body].concat();
        self.write(&bytes).await
    }

    async fn head(&mut self, response: &Response) -> io::Result<()> {
        self.write(&head(response)).await
    }

    async fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).await
    }

    async fn frame(&mut self, _: u8, _: u8, _: Option<u32>, _: &[u8]) -> io::Result<()> {
        unreachable!("HTTP/1.1 has no frames")
    }

    async fn pause(&mut self, time: Duration) -> io::Result<()> {
        sleep(time).await;
        Ok(())
    }

    async fn abandoned(&mut self) {
        while self.read().await.is_some() {}
    }

    fn is_reset(&self) -> bool {
        false
    }

    async fn close_write(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// Writes the status line and the headers of a response.
pub(super) fn head(response: &Response) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", response.status);
    for (name, value) in &response.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    head.into_bytes()
}
