//! Bridges between tasks that wait and threads that block, with a bounded number of buffers in between.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;

/// Buffers between both ends.
pub(super) const BUFFERS: usize = 4;

/// Reads what a task sends.
#[derive(Debug)]
pub(super) struct PipeReader {
    receiver: mpsc::Receiver<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
}

impl PipeReader {
    pub(super) fn new(receiver: mpsc::Receiver<Vec<u8>>) -> PipeReader {
        PipeReader { receiver, buffer: Vec::new(), at: 0 }
    }
}

impl Read for PipeReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.buffer.len() {
            match self.receiver.blocking_recv() {
                Some(next) => (self.buffer, self.at) = (next, 0),
                None => return Ok(0),
            }
        }
        let taken = out.len().min(self.buffer.len() - self.at);
        out[..taken].copy_from_slice(&self.buffer[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// Largest buffer that is sent at once.
const PIECE: usize = 256 << 10;

/// Sends what is written to a task.
#[derive(Debug)]
pub(super) struct PipeWriter(pub mpsc::Sender<Vec<u8>>);

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.0.blocking_send(piece.to_vec()).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the writer to the cluster has ended"))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
